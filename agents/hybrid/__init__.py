"""Hybrid: a cloned walker and scripts, switched by heads on latents and a state machine in configuration."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.hybrid.agent:HybridAgent",
    config="agents.hybrid.config:HybridConfig",
    train="agents.hybrid.train:train",
)
