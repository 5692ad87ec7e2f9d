"""The agent that does nothing."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(agent="agents.noop.agent:NoopAgent")
"""What happens in an episode without a player."""
