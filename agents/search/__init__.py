"""Search-based imitation: follow the demonstration whose latent is nearest."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.search.agent:SearchAgent",
    config="agents.search.config:SearchConfig",
    train="agents.search.train:train",
)
