"""The Gymnasium environment of Minecraft."""

import uuid
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError
from basalt.worlds.base import Frame, WorldSettings
from basalt.worlds.minerl.addresses import Claim, claim_address, parse_addresses
from basalt.worlds.minerl.episode import MinecraftEnv
from basalt.worlds.minerl.process import START_TIMEOUT_S, Minecraft
from basalt.worlds.minerl.protocol import (
    VERSION,
    Connection,
    MinecraftDied,
    MinecraftGarbled,
    Reply,
    mission_token,
    mission_xml,
)

WORLD_VERSION = f"minecraft-1.16.5-malmo-{VERSION}"

SPAWN_TICKS = 20
"""Ticks that Minecraft plays before the first frame; its own clock runs ahead by them."""


class MinerlEnv(MinecraftEnv):
    """A task in Minecraft; see `basalt.worlds.base.WorldEnv`.

    Without an address the environment starts its own process, at its first reset, and starts another one after
    a failure. With addresses it connects, at its first reset, to one that no other environment on this machine
    uses.

    Args:
        task: The task.
        address: `HOST:PORT` of a running process, or several of them, one for each environment.
        max_memory: Size of Java's heap, for a process of its own.
        start_timeout_s: Time limit in seconds for the start of a process of its own.
        world_timeout_s: Time limit for making a world, which may take minutes.
        step_timeout_s: Time limit for one step.
        busy_timeout_s: Time for which a process may report that it is busy.
        settings: The settings of every world.

    Raises:
        ConfigError: An address or a time limit is not valid.
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
                raise ConfigError(f"{name}: expected a positive number of seconds, got {seconds}")
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
        """Version of the world; another world that is served in Minecraft's place reports its own."""
        return self._served_world or WORLD_VERSION

    @property
    def minecraft(self) -> Minecraft | None:
        """The process that this environment started; None if it started none."""
        return self._minecraft

    def close(self) -> None:
        """Disconnect from the process, and end it if this environment started it."""
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

    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        self._disconnect()
        reply = self._new_world(self._connect(), seed)
        assert reply.frame is not None
        self._served_world = str(reply.info.get("servedWorld", ""))
        return reply.frame, self._first_state(reply.info), {"seed": seed}

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
                self._minecraft = Minecraft(self._max_memory, self._start_timeout_s)
            address = self._minecraft.address
        self._connection = Connection(address, self.size)
        return self._connection

    def _new_world(self, connection: Connection, seed: int) -> Reply:
        connection.quit_episode()
        episode = str(uuid.uuid4())
        connection.begin_episode(
            mission_xml(self.task, episode, self.size),
            mission_token(episode, seed),
            busy_s=self._busy_timeout_s,
            world_s=self._world_timeout_s,
        )
        reply = connection.first_frame(self._world_timeout_s)
        if reply.done:
            raise MinecraftGarbled(f"{connection.address}: the episode ended before it began")
        return reply

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        if self._connection is None:
            raise MinecraftDied("not connected to Minecraft; call reset()")
        self._observer.acted(action)
        reply = self._connection.step(action, self._step_timeout_s)
        frame = self._frame_of(reply)
        return frame, *self._next_state(action, step, reply.info, done=reply.done)

    def _frame_of(self, reply: Reply) -> Frame:
        if reply.frame is not None:
            return reply.frame
        if not reply.done or self._last_frame is None:
            assert self._connection is not None
            raise MinecraftGarbled(
                f"{self._connection.address}: expected a frame after a step, got none"
            )
        # A world that has ended draws nothing: the last frame is used again.
        return self._last_frame

    def _discard(self) -> None:
        # Our own process is ended, since it may hang; another one is left alone.
        self._disconnect()
        if self._minecraft is not None:
            self._minecraft.close()
            self._minecraft = None

    def _warn_of_another_task(self, claim: Claim) -> None:
        if claim.earlier_task not in ("", self.task.name):
            warnings.warn(
                f"{claim.address}: {claim.earlier_task} was played there before. Minecraft keeps some "
                "of its first task (after a village task it spawns in villages for ever): restart "
                "it, otherwise scores do not count",
                stacklevel=2,
            )
