"""Submissions, comparisons and ratings; needs no torch."""
