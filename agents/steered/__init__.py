"""A policy agent with one latent of its policy held at a value."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(agent="agents.steered.agent:SteeredAgent")
