"""Contrastive preference learning: the actions of preferred clips become more likely than those of the others, without a reward."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.cpl.agent:CPLAgent",
    config="agents.cpl.config:CPLConfig",
    train="agents.cpl.train:train",
)
"""Plays a policy that was trained by contrastive preference learning."""
