"""The protocol between a client and a MineRL 1.0 Minecraft.

One TCP socket; every message, both ways, is a 4-byte big-endian length and that many bytes. Requests are text,
replies are binary (`Connection` has a method for each). The bytes are those that the `minerl` package sends for the
same task, seed and actions.
"""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import HOTBAR
from basalt.core.tasks import STEPS_PER_SECOND, Task
from basalt.io.errors import ConfigError, WorldError

VERSION = "0.37.0"
"""Version of the protocol; the process refuses clients of another one."""

DEFAULT_PORT = 9000

WIRE_BUTTONS = (
    "forward", "left", "back", "right", "jump", "inventory", "drop", "swapHands", "sneak", "sprint",
    "attack", "use", "pickItem", *HOTBAR, "ESC",
)  # fmt: skip
"""Buttons in the order in which they are sent; the camera follows."""

MS_PER_TICK = 1000 // STEPS_PER_SECOND

BUSY_PAUSE_S = 1.0
"""Pause between two offers of a mission to a process that is busy, in seconds."""

PEEK_PAUSE_S = 0.1
"""Pause between two requests for a first frame that is not ready yet, in seconds."""

MAX_TEXT_BYTES = 2**24
"""Length above which replies other than frames are refused unread; an info is a few kilobytes."""

_LENGTH = struct.Struct("!I")
_STEP_RESULT = struct.Struct("!dbb")

_NAMESPACES = 'xmlns="http://ProjectMalmo.microsoft.com" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


class MinecraftHung(WorldError):  # noqa: N818 (reads as what happened)
    """Minecraft did not answer in time."""


class MinecraftDied(WorldError):  # noqa: N818 (reads as what happened)
    """Minecraft, or the connection to it, is gone."""


class MinecraftBusy(WorldError):  # noqa: N818 (reads as what happened)
    """Minecraft runs, but for another client."""


class MinecraftGarbled(WorldError):  # noqa: N818 (reads as what happened)
    """Minecraft's reply does not follow the protocol."""


def mission_xml(task: Task, episode: str, size: tuple[int, int]) -> bytes:
    """Return the message that describes an episode.

    Args:
        task: The task.
        episode: UUID of the episode.
        size: Width and height of the frames in pixels.
    """
    width, height = size
    limit_ms = task.step_limit * MS_PER_TICK
    items = "".join(
        f'<InventoryObject slot="{slot}" type={quoteattr(item)} quantity="{quantity}"/>'
        for slot, (item, quantity) in enumerate(task.inventory)
    )
    agent_start = (
        "<LowLevelInputs>true</LowLevelInputs>"
        "<GuiScale>1.0</GuiScale><GammaSetting>2.0</GammaSetting><FOVSetting>70.0</FOVSetting>"
        "<FakeCursorSize>16</FakeCursorSize>"
        + (f"<Inventory>{items}</Inventory>" if items else "<Inventory/>")
        + f"<PreferredSpawnBiome>{task.biome}</PreferredSpawnBiome>"
        "<DoneOnDeath>true</DoneOnDeath>"
        + ("<SpawnInVillage>true</SpawnInVillage>" if task.village else "")
    )
    mission = (
        f"<About><Summary>MineRLBasalt{task.env_id}-v0</Summary></About>"
        f"<ModSettings><MsPerTick>{MS_PER_TICK}</MsPerTick></ModSettings>"
        "<ServerSection><ServerInitialConditions>"
        "<Time><AllowPassageOfTime>false</AllowPassageOfTime></Time>"
        "<AllowSpawning>true</AllowSpawning>"
        "</ServerInitialConditions><ServerHandlers>"
        '<DefaultWorldGenerator forceReset="true" generatorOptions="{}"/>'
        f'<ServerQuitFromTimeUp timeLimitMs="{limit_ms}" description="out_of_time"/>'
        "<ServerQuitWhenAnyAgentFinishes/>"
        "</ServerHandlers></ServerSection>"
        '<AgentSection mode="Survival"><Name>MineRLAgent0</Name>'
        f"<AgentStart>{agent_start}</AgentStart>"
        "<AgentHandlers><FileBasedPerformanceProducer/><PauseCommand/>"
        f'<VideoProducer want_depth="false"><Width>{width}</Width><Height>{height}</Height>'
        "</VideoProducer><HumanLevelCommands/><CameraCommands/></AgentHandlers></AgentSection>"
    )
    ports = "".join(
        f"<{name}>{'127.0.0.1' if name.endswith('IPAddress') else 0}</{name}>"
        for name in (
            "ClientIPAddress", "ClientMissionControlPort", "ClientCommandsPort", "AgentIPAddress",
            "AgentMissionControlPort", "AgentVideoPort", "AgentDepthPort", "AgentLuminancePort",
            "AgentObservationsPort", "AgentRewardsPort", "AgentColourMapPort",
        )
    )  # fmt: skip
    return (
        f'<MissionInit {_NAMESPACES} SchemaVersion="" PlatformVersion="{VERSION}">'
        f"<Mission>{mission}</Mission><ExperimentUID>{episode}</ExperimentUID>"
        f"<ClientRole>0</ClientRole><ClientAgentConnection>{ports}</ClientAgentConnection>"
        "</MissionInit>"
    ).encode()


def mission_token(episode: str, seed: int) -> bytes:
    """Return the message after the mission: role 0, no resets, one agent, in lock-step, and the seed."""
    return f"{episode}:0:0:1:true:{seed}".encode()


def step_message(action: Mapping[str, Any]) -> bytes:
    """Return the message of one step.

    Args:
        action: Complete, checked action: 23 buttons and `camera`, float32 [pitch, yaw] in degrees.
    """
    pitch, yaw = (float(degrees) for degrees in action["camera"])
    lines = [f"{button} {action[button]}" for button in WIRE_BUTTONS]
    # The space in the closing tag is part of the protocol.
    return f"<StepClient0>{chr(10).join(lines)}\ncamera {pitch} {yaw}</StepClient0 >".encode()


@dataclass(frozen=True)
class Address:
    """Address at which a Minecraft listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @staticmethod
    def parse(text: str) -> "Address":
        """Return the address written as `host:port`, `[ipv6]:port` or `host`.

        Raises:
            ConfigError: The text has none of these forms.
        """
        host, colon, port = text.strip().rpartition(":")
        if not colon or text.strip().endswith("]"):
            host, port = text.strip(), str(DEFAULT_PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(
                f"address: expected HOST:PORT, for example 127.0.0.1:{DEFAULT_PORT}; got {text!r}"
            )
        return Address(host, int(port))


@dataclass(frozen=True)
class Reply:
    """A reply with a frame.

    Attributes:
        frame: uint8 [height, width, 3] RGB, top row first; None if the reply has none.
        done: Whether Minecraft reports the end of the episode.
        info: What Minecraft reports about the player.
    """

    frame: NDArray[np.uint8] | None
    done: bool
    info: dict[str, Any]


class _Wait:
    """Time limit for one whole reply, however slowly its bytes arrive.

    Attributes:
        to: The request, for messages.
        seconds: The time limit in seconds.
    """

    def __init__(self, to: str, seconds: float) -> None:
        self.to = to
        self.seconds = seconds
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative after the time limit."""
        return self._ends - time.monotonic()


class Connection:
    """A connection to a Minecraft. Nothing here waits without a time limit.

    Args:
        address: Address at which it listens.
        size: Width and height of the frames in pixels.
        timeout_s: Time limit in seconds for connecting and for replies that need no work.

    Raises:
        MinecraftDied: Nothing listens at the address.
        MinecraftHung: Nothing replies at the address.
    """

    def __init__(self, address: Address, size: tuple[int, int], timeout_s: float = 30.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._width, self._height = size
        # Frames are received here; flipping one copies it into its own array.
        self._pixels = np.empty((self._height, self._width, 3), np.uint8)
        self._pixel_bytes = self._pixels.data.cast("B")
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout_s)
        except TimeoutError:
            raise MinecraftHung(
                f"{address}: no reply within {timeout_s:g} s; check that Minecraft is reachable there"
            ) from None
        except OSError as err:
            raise MinecraftDied(
                f"{address}: cannot connect ({err}); check that Minecraft is running"
            ) from err
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(f"<MalmoEnv{VERSION}/>".encode())

    def quit_episode(self) -> None:
        """End the episode, if one is running."""
        self._send(b"<Quit/>")
        self._receive_number(_Wait("<Quit/>", self.timeout_s))

    def begin_episode(self, mission: bytes, token: bytes, *, busy_s: float, world_s: float) -> None:
        """Offer a mission until it is accepted; Minecraft replies once the world is made.

        Args:
            mission: Message of `mission_xml`.
            token: Message of `mission_token`.
            busy_s: Seconds for which Minecraft may reply that it is busy.
            world_s: Seconds that each reply may take.

        Raises:
            MinecraftBusy: It was still busy after that time.
            MinecraftHung: It did not reply in time.
        """
        busy = _Wait("the mission", busy_s)
        while True:
            self._send(mission, token)
            if self._receive_number(_Wait("the mission", world_s)) == 1:
                return
            if busy.left < BUSY_PAUSE_S:
                raise MinecraftBusy(
                    f"{self.address}: still busy after {busy_s:g} s; if another client plays there, "
                    "give this environment its own Minecraft"
                )
            time.sleep(BUSY_PAUSE_S)

    def first_frame(self, world_s: float) -> Reply:
        """Return the reply with the first frame of a new world; ask again until there is one.

        Raises:
            MinecraftHung: There was no frame in time.
        """
        wait = _Wait("<Peek/>", world_s)
        while True:
            self._send(b"<Peek/>")
            frame = self._receive_frame(wait)
            info = self._receive_info(wait)
            done = self._receive(wait)
            if len(done) != 1:
                raise self._garbled(wait, f"{len(done)} bytes for done, not 1")
            if frame is not None:
                return Reply(frame, bool(done[0]), info)
            if wait.left < PEEK_PAUSE_S:
                raise MinecraftHung(f"{self.address}: no first frame within {world_s:g} s")
            time.sleep(PEEK_PAUSE_S)

    def step(self, action: Mapping[str, Any], timeout_s: float) -> Reply:
        """Play one step.

        Args:
            action: Complete, checked action.
            timeout_s: Time limit in seconds for the whole reply.
        """
        self._send(step_message(action))
        wait = _Wait("a step", timeout_s)
        frame = self._receive_frame(wait)
        result = self._receive(wait)
        if len(result) != _STEP_RESULT.size:
            raise self._garbled(wait, f"{len(result)} bytes for reward and done, not 10")
        _reward, done, _sent = _STEP_RESULT.unpack(result)
        info = self._receive_info(wait)
        self._send(b"<StepServer></StepServer>")
        return Reply(frame, bool(done), info)

    def echo(self) -> str:
        """Ask whether Minecraft replies at all; return the text of the reply."""
        self._send(b"<Echo/>")
        return self._receive(_Wait("<Echo/>", self.timeout_s)).decode(errors="replace")

    def exit_process(self) -> bool:
        """Ask Minecraft to exit; return whether it agreed."""
        self._send(b"<Exit>NOW</Exit>")
        return self._receive_number(_Wait("<Exit>", self.timeout_s)) == 1

    def close(self) -> None:
        """Disconnect; does nothing if Minecraft is gone or the connection is closed already."""
        if self._socket.fileno() < 0:
            return
        self.timeout_s = 1.0
        with contextlib.suppress(OSError, WorldError):
            self._send(b"<Disconnect/>")
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _send(self, *messages: bytes) -> None:
        data = b"".join(_LENGTH.pack(len(message)) + message for message in messages)
        try:
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(data)
        except TimeoutError:
            raise MinecraftHung(
                f"{self.address}: accepted no data for {self.timeout_s:g} s"
            ) from None
        except OSError as err:
            raise MinecraftDied(f"{self.address}: the connection is gone ({err})") from err

    def _receive_number(self, wait: _Wait) -> int:
        answer = self._receive(wait)
        if len(answer) != _LENGTH.size:
            raise self._garbled(wait, f"{len(answer)} bytes, not 4")
        return int(_LENGTH.unpack(answer)[0])

    def _receive_frame(self, wait: _Wait) -> NDArray[np.uint8] | None:
        """Return a frame in its own array, None for an empty message."""
        length = self._receive_length(wait)
        if length == 0:
            return None
        expected = len(self._pixel_bytes)
        if length != expected:
            raise self._garbled(
                wait,
                f"a frame of {length} bytes, not the {expected} of {self._width}x{self._height}",
            )
        self._fill(self._pixel_bytes, wait)
        # The bottom row comes first on the wire. This flip is the only copy of a frame.
        return self._pixels[::-1].copy()

    def _receive_info(self, wait: _Wait) -> dict[str, Any]:
        text = self._receive(wait)
        if not text:
            return {}
        try:
            info = json.loads(text)
        except ValueError as err:
            raise self._garbled(wait, f"info that is not JSON: {text[:60]!r}") from err
        if not isinstance(info, dict):
            raise self._garbled(wait, f"info that is not a JSON object: {text[:60]!r}")
        return info

    def _receive(self, wait: _Wait) -> bytes:
        length = self._receive_length(wait)
        if length > MAX_TEXT_BYTES:
            raise self._garbled(wait, f"a message of {length} bytes")
        data = bytearray(length)
        self._fill(memoryview(data), wait)
        return bytes(data)

    def _receive_length(self, wait: _Wait) -> int:
        header = bytearray(_LENGTH.size)
        self._fill(memoryview(header), wait)
        return int(_LENGTH.unpack(header)[0])

    def _fill(self, buffer: memoryview, wait: _Wait) -> None:
        """Fill the whole buffer."""
        filled = 0
        try:
            while filled < len(buffer):
                left = wait.left
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                count = self._socket.recv_into(buffer[filled:])
                if count == 0:
                    raise MinecraftDied(
                        f"{self.address}: closed the connection instead of replying to {wait.to} "
                        f"({filled} of {len(buffer)} bytes received)"
                    )
                filled += count
        except TimeoutError:
            raise MinecraftHung(
                f"{self.address}: no complete reply to {wait.to} within {wait.seconds:g} s "
                f"({filled} of {len(buffer)} bytes received)"
            ) from None
        except OSError as err:
            raise MinecraftDied(
                f"{self.address}: the connection broke before the reply to {wait.to} ({err})"
            ) from err

    def _garbled(self, wait: _Wait, what: str) -> MinecraftGarbled:
        return MinecraftGarbled(f"{self.address}: replied to {wait.to} with {what}")
