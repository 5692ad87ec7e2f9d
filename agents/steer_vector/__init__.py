"""One vector, added where the transformer reads the encoded frames, is all that is trained: the policy itself stays as it is."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.steer_vector.agent:SteerVectorAgent",
    config="agents.steer_vector.config:SteerVectorConfig",
    train="agents.steer_vector.train:train",
)
"""Plays a policy with a vector that was learned from comparisons."""
