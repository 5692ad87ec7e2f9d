"""Conditions: how the attempts of a pair differ. What is random about them is drawn before anything is played."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agents.demonstrator.motion import EYE_HEIGHT
from basalt.core.tasks import Task
from basalt.io.errors import ConfigError
from basalt.rollouts.plan import Interruption
from basalt.worlds.luanti.land import FREE, Land, read_land
from basalt.worlds.luanti.worldcache import saved_world

DISTANCES, HEIGHTS = (4, 5, 6, 3), (2, 3, 1)
"""Where a block is placed: so far ahead of the player's first place, and so high above the node of its feet."""


class Span(NamedTuple):
    """A smallest and a largest number, of which one is drawn."""

    least: Annotated[int, Field(ge=1)]
    most: Annotated[int, Field(ge=1)]


class InterruptionSpans(BaseModel):
    """When the player is interrupted, drawn for each seed.

    Attributes:
        start: Number of the first step in which the player's action is replaced by a no-op.
        steps: Number of such steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Span
    steps: Span

    @model_validator(mode="after")
    def _are_spans(self) -> "InterruptionSpans":
        for name, span in (("start", self.start), ("steps", self.steps)):
            if span.least > span.most:
                raise ValueError(f"{name}: expected the smaller number first, got {list(span)}")
        return self

    def of(self, seed: int) -> Interruption:
        """The interruption of a seed's episode."""
        rng = np.random.default_rng([seed, *self.start, *self.steps])
        return Interruption(
            *(int(rng.integers(least, most + 1)) for least, most in (self.start, self.steps))
        )


class Condition(BaseModel):
    """What is special about the attempts under one condition; nothing by default.

    Attributes:
        block: Name of a block in the player's first view, in every seed's world.
        interruption: When the player is interrupted.
        seeds: Other seeds than those of the plan, as many; the first of them makes a pair with the first of the plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: Annotated[str, Field(pattern=r"^[a-z0-9_:]{1,64}$")] | None = None
    interruption: InterruptionSpans | None = None
    seeds: int | str | tuple[int, ...] | None = None

    def edits(self, task: Task, seeds: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The changes of the seeds' worlds.

        Raises:
            ConfigError: A seed's world has no place for a block that the player would see.
            WorldError: A seed has no world.
        """
        if self.block is None:
            return {}
        places = {seed: block_in_view(task, seed) for seed in seeds}
        return {
            seed: {"block": {"position": list(place), "to": self.block}}
            for seed, place in places.items()
        }

    def interruptions(self, seeds: Iterable[int]) -> dict[int, Interruption]:
        """The interruptions by seed."""
        return (
            {}
            if self.interruption is None
            else {seed: self.interruption.of(seed) for seed in seeds}
        )


def block_in_view(task: Task, seed: int) -> tuple[int, int, int]:
    """A free node in the player's first view, by a rule.

    Raises:
        ConfigError: Nothing in that view is free.
        WorldError: The seed has no world.
    """
    world = saved_world(task, seed)
    x, y, z = (round(part) for part in world.site["spawn"])
    place = _ahead(
        read_land(world.folder, x, z, reach=16), (x, y, z), float(world.site["spawn_yaw"])
    )
    if place is None:
        raise ConfigError(
            f"seeds: expected a place for a block in the first view of seed {seed}, found none; leave this seed out"
        )
    return place


def _ahead(land: Land, feet: tuple[int, int, int], yaw: float) -> tuple[int, int, int] | None:
    """The first free node ahead of a player that nothing hides from it."""
    x, y, z = feet
    eye = (x, y - 0.5 + EYE_HEIGHT, z)  # y is the middle of the feet's node
    for up in HEIGHTS:
        for distance in DISTANCES:
            place = (
                x + round(distance * math.sin(math.radians(yaw))),
                y + up,
                z + round(distance * math.cos(math.radians(yaw))),
            )
            if land.kind(*place) == FREE and land.sees(eye, place):
                return place
    return None
