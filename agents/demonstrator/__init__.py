"""The scripted player."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(agent="agents.demonstrator.agent:Demonstrator")
