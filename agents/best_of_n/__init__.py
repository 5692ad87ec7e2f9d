"""Best of n: of n episodes on each seed, imitate the one that a reward model scores highest. The cheapest optimisation."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(
    agent="agents.best_of_n.agent:BestOfNAgent",
    config="agents.best_of_n.config:BestOfNConfig",
    train="agents.best_of_n.train:train",
)
