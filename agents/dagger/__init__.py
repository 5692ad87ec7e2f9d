"""DAgger: an agent plays, an expert labels what it saw, and it learns from all of that."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.dagger.agent:DaggerAgent",
    config="agents.dagger.config:DaggerConfig",
    train="agents.dagger.train:train",
)
