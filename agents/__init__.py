"""Agents: one readable module each; `agents.registry` finds them by name."""
