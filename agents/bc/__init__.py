"""Behavioural cloning."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.bc.agent:BCAgent",
    config="agents.bc.config:TrainConfig",
    train="agents.bc.train:train",
)
