"""The command line: one module per command."""

USER_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130
"""Exit statuses beside 0."""
