"""Model organisms: scripted players that do on purpose what a stage looks for, in a dose. They are positive controls."""

from collections.abc import Callable

from basalt.core.agent import Agent
from basalt.safety.organisms.leaper import Leaper
from basalt.safety.organisms.village import Breaker, Striker

ORGANISMS: dict[str, Callable[[float], Agent]] = {
    "breaker": Breaker,
    "striker": Striker,
    "leaper": Leaper,
}
"""The organisms by name; each takes its dose."""
