"""The game as a process under its own X server, stepped frame by frame.

:class:`Display` owns an Xvfb, :class:`Engine` one run of the game on it. What the two sides say to
each other is described at the top of ``shim.c``.
"""

import contextlib
import mmap
import os
import select
import shutil
import socket
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.io.errors import WorldError
from basalt.worlds.luanti.native import build
from basalt.worlds.luanti.process import Kept, find_game, find_xvfb, game_environment

SCREEN = 2560
"""Edge of the X screen: a pointer in the middle can move 180 degrees (1,200 pixels) either way."""

STEP_NS = 50_000_000
EPOCH_S = 1_700_000_000
"""Where every game's clock starts, a search's too: the game seeds its random numbers with it."""

START_TIMEOUT_S = 90.0
STEP_TIMEOUT_S = 30.0

_REQUEST = struct.Struct("=iiq")
_REPLY = struct.Struct("=qiiqqqq")
_OP_LOCK, _OP_TICK = 1, 2


class Display:
    """An X server of its own, and the folder that everything of one environment lives in.

    Attributes:
        name: for ``$DISPLAY``, e.g. ``:3``.
        folder: temporary folder; removed by :meth:`close`, and by the keeper after a crash.
    """

    def __init__(self) -> None:
        xvfb = find_xvfb()
        build("keeper")
        self.folder = Path(tempfile.mkdtemp(prefix="basalt-luanti-"))
        ours, theirs = os.pipe()
        try:
            self._server = Kept(
                [
                    *(xvfb, "-displayfd", str(theirs), "-screen", "0", f"{SCREEN}x{SCREEN}x24"),
                    # no repeats of held keys: they come by real time, so on a slow machine only
                    *("-nolisten", "tcp", "-noreset", "-ac", "-r"),
                ],
                self.folder / "xvfb.log",
                dict(os.environ),
                pass_fds=(theirs,),
                folder=self.folder,
                graceful=True,
            )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        finally:
            os.close(theirs)
        try:
            answer = b""
            deadline = time.monotonic() + START_TIMEOUT_S
            while not answer.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([ours], [], [], left)[0]:
                    raise WorldError(f"Xvfb did not start: {self._server.complaint()}")
                part = os.read(ours, 64)
                if not part:
                    raise WorldError(f"Xvfb ended at its start: {self._server.complaint()}")
                answer += part
            self.name = f":{int(answer)}"
        except BaseException:
            self.close()
            raise
        finally:
            os.close(ours)

    @property
    def pid(self) -> int | None:
        """The X server's process id, None once it is gone."""
        return self._server.program_pid

    @property
    def running(self) -> bool:
        """Whether the X server is there."""
        return self._server.poll() is None

    def close(self) -> None:
        """End the X server and remove the folder."""
        self._server.end()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Tick:
    """What the game said after a frame.

    Attributes:
        clock_s: virtual seconds since its process started.
        cursor_shown: whether the pointer is visible, so a form is open.
        restless: frames after which the game's threads did not come to rest in time.
        frame_ms, pixels_ms, client_ms, server_ms: real time of the client's frame, of reading the
            picture, of waiting for the client's packets, and of the server's step.
        wall_ms: real time from the message to the reply.
    """

    clock_s: float
    cursor_shown: bool
    restless: int
    frame_ms: float
    pixels_ms: float
    client_ms: float
    server_ms: float
    wall_ms: float


class Engine:
    """One run of the game: loading freely, then (after :meth:`lock`) frame by frame.

    Args:
        display: the X server to draw on.
        config: the game's settings file.
        world: folder of the world; the game writes to it.
        size: width and height of the window in pixels.
    """

    def __init__(self, display: Display, config: Path, world: Path, size: tuple[int, int]) -> None:
        self.width, self.height = size
        n_bytes = self.width * self.height * 4
        game, shim = find_game(), build("shim")
        memory = os.memfd_create("basalt-picture")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            os.ftruncate(memory, n_bytes)
            self._memory = mmap.mmap(memory, n_bytes)
            self._pixels = np.frombuffer(self._memory, np.uint8).reshape(self.height, self.width, 4)
            home = display.folder / "home"
            home.mkdir(exist_ok=True)
            environment = {
                **game_environment(home),
                "DISPLAY": display.name,
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "LP_NUM_THREADS": "1",
                "BASALT_SHIM": f"{theirs.fileno()},{memory},{self.width},{self.height},{EPOCH_S}",
            }
            self._process = Kept(
                [game, "--config", str(config), "--world", str(world), "--go"],
                display.folder / "game.log",
                environment,
                pass_fds=(theirs.fileno(), memory),
                preload=shim,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(memory)
        self._channel: socket.socket | None = ours

    @property
    def running(self) -> bool:
        """Whether the game's process is there."""
        return self._channel is not None and self._process.poll() is None

    def complaint(self) -> str:
        """The last lines of the game's output that say what went wrong."""
        return self._process.complaint()

    def lock(self, dt_ns: int = STEP_NS) -> Tick:
        """Stop the game at its next frame; from now on it moves only by :meth:`tick`.

        Raises:
            WorldError: it ended or did not answer in time.
        """
        return self._exchange(_REQUEST.pack(_OP_LOCK, True, dt_ns))

    def tick(self, dt_ns: int = STEP_NS, *, want_picture: bool = True) -> Tick:
        """One frame and one server step, ``dt_ns`` of game time later.

        Args:
            dt_ns: game time, in nanoseconds.
            want_picture: read the picture; without, drawing goes on beside the next frame.

        Raises:
            WorldError: the game ended or did not answer in time.
        """
        return self._exchange(_REQUEST.pack(_OP_TICK, want_picture, dt_ns))

    def _exchange(self, request: bytes) -> Tick:
        if self._channel is None:
            raise WorldError("the game is not running; call reset()")
        began = time.perf_counter()
        try:
            self._channel.settimeout(STEP_TIMEOUT_S)
            self._channel.send(request)
            answer = self._channel.recv(_REPLY.size)
        except TimeoutError:
            self.close()
            raise WorldError(
                f"the game did not answer within {STEP_TIMEOUT_S:g} s; call reset() to start it anew"
            ) from None
        except OSError:
            answer = b""
        if len(answer) != _REPLY.size:
            complaint = self.complaint()
            self.close()
            raise WorldError(
                f"the game ended in the middle of an episode ({complaint}); "
                "call reset() to start it anew"
            )
        clock, cursor, restless, *times = _REPLY.unpack(answer)
        frame, pixels, client, server = (t / 1e6 for t in times)
        wall = (time.perf_counter() - began) * 1e3
        return Tick(clock / 1e9, bool(cursor), restless, frame, pixels, client, server, wall)

    def picture(self) -> NDArray[np.uint8]:
        """The last frame: uint8 [height, width, 3] RGB, top row first."""
        return cv2.cvtColor(cv2.flip(self._pixels, 0), cv2.COLOR_BGRA2RGB).astype(
            np.uint8, copy=False
        )

    def glance(self) -> NDArray[np.uint8]:
        """Every fourth pixel of the last frame each way, upside down: enough to tell whether it changed."""
        return self._pixels[::4, ::4, :3].copy()

    @property
    def pid(self) -> int | None:
        """The game's process id, None once it is gone."""
        return self._process.program_pid

    def cpu_seconds(self) -> float:
        """Processor time of the game so far, user and system, in seconds; 0 when it is gone."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def close(self) -> None:
        """End the game; nothing is saved. May be called twice."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._process.end()
