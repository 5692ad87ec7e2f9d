"""Protocols in which a weak judge decides which of two recordings is better, helped by debaters who may be wrong."""
