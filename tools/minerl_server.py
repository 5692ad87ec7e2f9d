"""A server of MineRL's protocol: a game in Minecraft's place.

Clients of MineRL's Minecraft, also the `minerl` package, play the game instead. One client plays at a time; a second
one gets the reply that the game is busy.
"""

import contextlib
import json
import logging
import re
import socket
import struct
import threading
from abc import abstractmethod
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import ACTION_KEYS
from basalt.io.errors import ActionError, BasaltError
from basalt.worlds.minerl.protocol import VERSION

MAX_MESSAGE_BYTES = 2**20
"""Length above which a message is refused; a mission is a few kilobytes."""

_XML = "{http://ProjectMalmo.microsoft.com}"
_log = logging.getLogger(__name__)


class Game(Protocol):
    """A game that can be served."""

    @abstractmethod
    def begin(
        self, task: str, seed: int | None, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Make a world; return its first frame, uint8 [height, width, 3] RGB, and its info about the player.

        Args:
            task: MineRL's name of the task, e.g. `FindCave`.
            seed: Seed of the world; None for any.
            size: Width and height of the frames in pixels.
        """

    @abstractmethod
    def step(self, action: dict[str, Any]) -> tuple[NDArray[np.uint8], bool, dict[str, Any]]:
        """Play one step; return the frame, whether the episode has ended, and the info about the player."""

    @abstractmethod
    def close(self) -> None:
        """End the game."""


class Server:
    """Listens for clients until one asks it to exit, or until `stop`.

    Args:
        game: The game to serve; it is closed with the server.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
    """

    def __init__(self, game: Game, host: str = "127.0.0.1", port: int = 0) -> None:
        self._game = game
        self._player = threading.Lock()
        self._listener = socket.create_server((host, port))
        self._address = self._listener.getsockname()[:2]
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """Port on which it listens."""
        return int(self._address[1])

    def serve(self) -> None:
        """Serve clients, each in its own thread."""
        try:
            while not self._stopped.is_set():
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    break  # by stop()
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()
        finally:
            with self._player:
                self._game.close()

    def stop(self) -> None:
        """Accept no more clients; may be called twice."""
        self._stopped.set()
        # Shut down first: a listener that is only closed would still wait in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _attend(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = _Session(connection, self._game, self._player)
            try:
                if session.run():
                    self.stop()
            except (OSError, BasaltError, ValueError) as err:
                _log.error("a client's session ended: %s", err)
            finally:
                session.leave()


class _Session:
    """One client, from its first message to its last."""

    def __init__(self, connection: socket.socket, game: Game, player: threading.Lock) -> None:
        self._connection = connection
        self._game = game
        self._player = player
        self._playing = False
        self._now: tuple[NDArray[np.uint8], bool, dict[str, Any]] | None = None

    def run(self) -> bool:
        """Reply until the client disconnects; return whether it asked the server to exit."""
        hello = self._receive()
        if hello is None:
            return False
        if hello != f"<MalmoEnv{VERSION}/>".encode():
            raise ValueError(
                f"expected a client of MineRL's protocol {VERSION}, got {hello[:40]!r}"
            )
        while (message := self._receive()) is not None:
            if message.startswith(b"<StepClient"):
                self._step(message)
            elif message.startswith(b"<MissionInit"):
                self._send(struct.pack("!I", self._begin(message, self._receive() or b"")))
            elif message.startswith(b"<Peek"):
                self._peek()
            elif message.startswith(b"<Quit"):
                self._now = None
                self._send(struct.pack("!I", 1))
            elif message.startswith(b"<Echo"):
                self._send(b"<Echo>" + message + b"</Echo>")
            elif message.startswith(b"<Exit"):
                self._send(struct.pack("!I", 1))
                return True
            elif message.startswith(b"<Disconnect"):
                return False
            elif not message.startswith(b"<StepServer"):
                raise ValueError(f"unknown message {message[:40]!r}")
        return False

    def leave(self) -> None:
        """Let the next client play."""
        if self._playing:
            self._playing = False
            self._player.release()

    def _begin(self, mission: bytes, token: bytes) -> int:
        if not self._playing and not self._player.acquire(blocking=False):
            return 0
        self._playing = True
        try:
            root = ElementTree.fromstring(mission)
        except ElementTree.ParseError as err:
            raise ValueError(f"expected a mission in XML: {err}") from err
        summary = root.findtext(f".//{_XML}Summary") or ""
        name = re.fullmatch(r"MineRLBasalt(\w+)-v0", summary)
        size = tuple(int(root.findtext(f".//{_XML}{edge}") or 0) for edge in ("Width", "Height"))
        if name is None:
            raise ValueError(f"expected a mission of a BASALT task, got {summary!r}")
        fields = token.decode().split(":")
        seed = int(fields[5]) if len(fields) > 5 else None
        frame, info = self._game.begin(name[1], seed, (size[0], size[1]))
        self._now = frame, False, info
        return 1

    def _peek(self) -> None:
        if self._now is None:
            self._send(b"", b"{}", b"\0")
            return
        frame, done, info = self._now
        self._send(_bottom_row_first(frame), json.dumps(info).encode(), bytes([done]))

    def _step(self, message: bytes) -> None:
        if self._now is None:
            raise ValueError("a step without an episode")
        frame, done, info = self._now
        if not done:
            self._now = frame, done, info = self._game.step(_parse_action(message))
        result = struct.pack("!dbb", 0.0, done, 1)
        self._send(_bottom_row_first(frame), result, json.dumps(info).encode())

    def _receive(self) -> bytes | None:
        header = self._exactly(4)
        if header is None:
            return None
        (length,) = struct.unpack("!I", header)
        if length > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {length} bytes")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            part = self._connection.recv(count - len(data))
            if not part:
                return None
            data += part
        return bytes(data)

    def _send(self, *messages: bytes | memoryview) -> None:
        for message in messages:
            self._connection.sendall(struct.pack("!I", len(message)))
            if len(message):
                self._connection.sendall(message)


def _bottom_row_first(frame: NDArray[np.uint8]) -> memoryview:
    return np.ascontiguousarray(frame[::-1]).data.cast("B")


def _parse_action(message: bytes) -> dict[str, Any]:
    """Return the action of a step's message; like the real process, ignore names that it does not know.

    Raises:
        ActionError: A line is not an action.
    """
    text = message.decode()
    action: dict[str, Any] = {}
    for line in text[text.index(">") + 1 : text.rindex("</")].split("\n"):
        name, _, value = line.strip().partition(" ")
        try:
            if name == "camera":
                action[name] = np.array(value.split(), np.float32)
            elif name in ACTION_KEYS:
                action[name] = int(value)
        except ValueError as err:
            raise ActionError(f"step: {line!r} is not an action") from err
    return action
