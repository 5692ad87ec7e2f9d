"""Judging a pair."""
