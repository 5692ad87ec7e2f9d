"""Advantage-weighted regression: imitate all steps, those more that a reward model finds better than usual."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.awr.agent:AWRAgent",
    config="agents.awr.config:AWRConfig",
    train="agents.awr.train:train",
)
"""Plays a policy that was trained by advantage-weighted regression."""
