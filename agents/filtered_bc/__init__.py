"""Filtered behavioural cloning: imitate only the clips that were preferred. The baseline of learning from comparisons."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.filtered_bc.agent:FilteredBCAgent",
    config="agents.filtered_bc.config:FilteredBCConfig",
    train="agents.filtered_bc.train:train",
)
