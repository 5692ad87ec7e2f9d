"""The random agent."""
