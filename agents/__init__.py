"""Agents: one folder per algorithm; `agents.common.registry` finds them by name."""
