"""The random agent."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(agent="agents.random.agent:RandomAgent")
