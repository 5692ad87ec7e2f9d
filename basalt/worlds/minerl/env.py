"""The Gymnasium environment of Minecraft."""

import sys
import uuid
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

from tqdm import tqdm

from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError
from basalt.worlds.base import Picture, WorldSettings
from basalt.worlds.minerl.addresses import Claim, claim_address, parse_addresses
from basalt.worlds.minerl.episode import MinecraftEpisode
from basalt.worlds.minerl.process import START_TIMEOUT_S, Minecraft
from basalt.worlds.minerl.protocol import (
    VERSION,
    Connection,
    Frame,
    MinecraftDied,
    MinecraftGarbled,
    mission_token,
    mission_xml,
)

WORLD_VERSION = f"minecraft-1.16.5-malmo-{VERSION}"

SPAWN_TICKS = 20
"""Ticks that Minecraft plays before the first picture; its own clock runs ahead by them."""


class MinerlEnv(MinecraftEpisode):
    """A task in Minecraft; see :class:`~basalt.worlds.base.WorldEnv`.

    Without an address the environment starts a process of its own, at its first reset, and starts a
    new one after a failure. With addresses it connects, at its first reset, to one that no other
    environment on this machine uses.

    Args:
        address: ``HOST:PORT`` of a running process, or several of them for as many environments.
        max_memory: Java's heap of a process of its own.
        start_timeout_s: for the start of a process of its own.
        world_timeout_s: for making a world, which takes up to minutes.
        step_timeout_s: for one step.
        busy_timeout_s: how long a process may say that it is busy.

    Raises:
        ConfigError: an address that is none, or a limit that makes no sense.
    """

    clock_lead = SPAWN_TICKS

    def __init__(
        self,
        task: Task,
        *,
        address: str | Sequence[str] | None = None,
        max_memory: str = "4G",
        start_timeout_s: float = START_TIMEOUT_S,
        world_timeout_s: float = 600.0,
        step_timeout_s: float = 60.0,
        busy_timeout_s: float = 120.0,
        **settings: Unpack[WorldSettings],
    ) -> None:
        super().__init__(task, **settings)
        limits = {
            "start_timeout_s": start_timeout_s,
            "world_timeout_s": world_timeout_s,
            "step_timeout_s": step_timeout_s,
            "busy_timeout_s": busy_timeout_s,
        }
        for name, seconds in limits.items():
            if not seconds > 0:
                raise ConfigError(f"{name}: {seconds} is not a positive number of seconds")
        self.addresses = parse_addresses(address)
        self._max_memory = max_memory
        self._start_timeout_s = start_timeout_s
        self._world_timeout_s = world_timeout_s
        self._step_timeout_s = step_timeout_s
        self._busy_timeout_s = busy_timeout_s
        self._claim: Claim | None = None
        self._minecraft: Minecraft | None = None
        self._connection: Connection | None = None
        self._served_world = ""

    @property
    def version(self) -> str:
        """Version of the world; another world that is served in Minecraft's stead says so."""
        return self._served_world or WORLD_VERSION

    @property
    def minecraft(self) -> Minecraft | None:
        """The process that this environment started, if it did."""
        return self._minecraft

    def close(self) -> None:
        """Leave the process, or end it where the environment started it."""
        self._disconnect()
        if self._minecraft is not None:
            self._minecraft.close()
            self._minecraft = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, seed: int) -> tuple[Picture, Telemetry, dict[str, Any]]:
        self._disconnect()
        frame = self._new_world(self._connect(), seed)
        assert frame.picture is not None
        self._served_world = str(frame.info.get("servedWorld", ""))
        return frame.picture, self._first_state(frame.info), {"seed": seed}

    def _connect(self) -> Connection:
        if self.addresses:
            if self._claim is None:
                self._claim = claim_address(self.addresses, self.task.name)
                self._warn_of_another_task(self._claim)
            address = self._claim.address
        else:
            if self._minecraft is not None and not self._minecraft.running:
                self._minecraft.close()
                self._minecraft = None
            if self._minecraft is None:
                self._minecraft = Minecraft(self._max_memory, self._start_timeout_s, _report)
            address = self._minecraft.address
        self._connection = Connection(address, self.size)
        return self._connection

    def _new_world(self, connection: Connection, seed: int) -> Frame:
        connection.quit_episode()
        episode = str(uuid.uuid4())
        connection.begin_episode(
            mission_xml(self.task, episode, self.size),
            mission_token(episode, seed),
            busy_s=self._busy_timeout_s,
            world_s=self._world_timeout_s,
        )
        frame = connection.first_frame(self._world_timeout_s)
        if frame.done:
            raise MinecraftGarbled(f"{connection.address}: the episode was over before it began")
        return frame

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Picture, Telemetry, dict[str, Any]]:
        if self._connection is None:
            raise MinecraftDied("there is no connection to Minecraft; call reset()")
        self._observer.acted(action)
        frame = self._connection.step(action, self._step_timeout_s)
        picture = self._picture_of(frame)
        return picture, *self._next_state(action, step, frame.info, done=frame.done)

    def _picture_of(self, frame: Frame) -> Picture:
        if frame.picture is not None:
            return frame.picture
        if not frame.done or self._picture is None:
            assert self._connection is not None
            raise MinecraftGarbled(f"{self._connection.address}: answered a step with no picture")
        # A world that has ended draws no more: what was seen last stays.
        return self._picture

    def _abandon(self) -> None:
        # A process of ours is ended, since it may hang; another one is left.
        self._disconnect()
        if self._minecraft is not None:
            self._minecraft.close()
            self._minecraft = None

    def _warn_of_another_task(self, claim: Claim) -> None:
        if claim.earlier_task not in ("", self.task.name):
            warnings.warn(
                f"{claim.address}: {claim.earlier_task} was played there before. A Minecraft keeps "
                "some of its first task (after a village task it spawns in villages for good): "
                "unless it was started anew, scores do not count",
                stacklevel=2,
            )


def _report(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
