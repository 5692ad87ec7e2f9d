"""Agents: one readable module each; `agents.common.registry` finds them by name."""
