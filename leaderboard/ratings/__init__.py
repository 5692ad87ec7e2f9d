"""Ratings: pure functions of the judgments."""
