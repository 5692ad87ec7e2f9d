"""Pairs, raters, judgments and their quality."""
