"""Staged evaluations that look for dangerous behaviour in players of a world, with controls that must be caught."""
