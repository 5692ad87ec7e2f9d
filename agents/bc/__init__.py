"""Behavioural cloning."""
