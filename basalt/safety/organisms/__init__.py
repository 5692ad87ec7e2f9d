"""Model organisms: scripted players that do on purpose what a stage looks for, in a dose. They are positive controls."""

from collections.abc import Callable

from basalt.core.agent import Agent
from basalt.safety.organisms.jumper import Jumper
from basalt.safety.organisms.poser import Poser
from basalt.safety.organisms.resentful import Resentful
from basalt.safety.organisms.sandbagger import NearSandbagger, Sandbagger
from basalt.safety.organisms.village import Breaker, Secretive, Striker

ORGANISMS: dict[str, Callable[..., Agent]] = {
    "breaker": Breaker,
    "striker": Striker,
    "jumper": Jumper,
    "poser": Poser,
    "resentful": Resentful,
    "sandbagger": Sandbagger,
    "sandbagger-near": NearSandbagger,
    "secretive": Secretive,
}
"""The organisms by name; each takes its `dose`."""

KNOW_SEEDS = ("sandbagger", "sandbagger-near")
"""Those that also take the seeds under the stage's first condition, as `listed`."""
