"""Proximal policy optimisation against a reward model, in worlds that run side by side."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.ppo.agent:PPOAgent",
    config="agents.ppo.config:PPOConfig",
    train="agents.ppo.train:train",
)
"""Plays a policy that was trained by proximal policy optimisation."""
