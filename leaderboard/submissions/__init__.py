"""Submissions: verified recordings of one agent."""
