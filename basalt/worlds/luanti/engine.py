"""One run of the game on an X server, stepped frame by frame.

The messages between this process and the game are described at the top of `shim.c`.
"""

import mmap
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from basalt.io.errors import WorldError
from basalt.worlds.luanti.engine_check import known_game
from basalt.worlds.luanti.game import game_environment
from basalt.worlds.luanti.native import build_shim, preloaded
from basalt.worlds.processes import SupervisedProcess, VirtualDisplay

SCREEN = 2560
"""Edge of the X screen in pixels: a pointer in the middle can move 180 degrees (1,200 pixels) either way."""

STEP_NS = 50_000_000
EPOCH_S = 1_700_000_000
"""Time at which every game's clock starts, also during a search: the game seeds its random numbers with it."""

START_TIMEOUT_S = 90.0
STEP_TIMEOUT_S = 30.0

_REQUEST = struct.Struct("=iiq")
_REPLY = struct.Struct("=qiiqqqqii")
_OP_LOCK, _OP_TICK, _OP_SNAPSHOT, _OP_RESTORE = 1, 2, 3, 4
_SNAPSHOT_DONE, _SNAPSHOT_RESTORED = 0, 1


def open_display() -> VirtualDisplay:
    """Start an X server for one environment.

    Raises:
        MissingDependencyError: Xvfb is not installed.
        WorldError: It did not start.
    """
    # Without repeats of held keys (-r): they come by real time, so only on a slow machine.
    return VirtualDisplay(f"{SCREEN}x{SCREEN}x24", "basalt-luanti", ("-r",))


@dataclass(frozen=True)
class Tick:
    """The game's reply after a frame.

    Attributes:
        clock_s: Virtual seconds since its process started.
        cursor_shown: Whether the pointer is visible, so a screen is open.
        quiescence_timeouts: Number of frames after which the game's threads did not come to rest in time.
        client_ms: Real time in ms of the client's frame until its packets were delivered; only then it draws.
        frame_ms: Real time of drawing. Meanwhile the server makes its step and meshes are built.
        pixels_ms: Real time of reading the pixels.
        server_ms: Real time of waiting until the server and the meshes were done, too.
        wall_ms: Real time from the request to the reply.
        meshes: How often the client had to build meshes of land; 0 once all land in sight is loaded.
    """

    clock_s: float
    cursor_shown: bool
    quiescence_timeouts: int
    client_ms: float
    frame_ms: float
    pixels_ms: float
    server_ms: float
    wall_ms: float
    meshes: int


class Engine:
    """One run of the game: it loads freely and then, after `lock`, runs frame by frame.

    Args:
        display: X server to draw on.
        config: The game's settings file.
        world: Folder of the world; the game writes to it.
        size: Width and height of the frames in pixels.
        window: Width and height of the game's window; the frames are scaled pictures of it.

    Attributes:
        process: The game's process.
    """

    def __init__(
        self,
        display: VirtualDisplay,
        config: Path,
        world: Path,
        size: tuple[int, int],
        window: tuple[int, int],
    ) -> None:
        self.width, self.height = size
        n_bytes = self.width * self.height * 4
        game, shim = known_game(), build_shim()
        memory = os.memfd_create("basalt-frame")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            os.ftruncate(memory, n_bytes)
            self._memory = mmap.mmap(memory, n_bytes)
            self._pixels = np.frombuffer(self._memory, np.uint8).reshape(self.height, self.width, 4)
            home = display.folder / "home"
            home.mkdir(exist_ok=True)
            environment = {
                **game_environment(str(home)),
                "DISPLAY": display.name,
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "LP_NUM_THREADS": "1",
                "BASALT_SHIM": ",".join(
                    map(str, (theirs.fileno(), memory, self.width, self.height, *window, EPOCH_S))
                ),
            }
            self.process = SupervisedProcess(
                [*preloaded(shim), game, "--config", str(config), "--world", str(world), "--go"],
                display.folder / "game.log",
                environment,
                pass_fds=(theirs.fileno(), memory),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(memory)
        self._channel: socket.socket | None = ours
        self._snapshot_status = -1

    @property
    def running(self) -> bool:
        """Whether the game runs."""
        return self._channel is not None and self.process.running

    def lock(self, dt_ns: int = STEP_NS) -> Tick:
        """Stop the game at its next frame; from then on it advances only by `tick`.

        Raises:
            WorldError: It exited or did not reply in time.
        """
        return self._exchange(_REQUEST.pack(_OP_LOCK, True, dt_ns))

    def tick(self, dt_ns: int = STEP_NS, *, want_pixels: bool = True) -> Tick:
        """Advance by one frame and one server step.

        Args:
            dt_ns: Game time of the step, in nanoseconds.
            want_pixels: Whether to draw the frame and to read its pixels.

        Raises:
            WorldError: The game exited or did not reply in time.
        """
        return self._exchange(_REQUEST.pack(_OP_TICK, want_pixels, dt_ns))

    def snapshot(self) -> bool:
        """Keep the game's memory as it is now, for `restore`; once per game, and only after `lock`.

        A process that never runs keeps it (`snapshot.c`). It shares the memory that the game has not changed since.

        Returns:
            Whether it is kept; False where the system does not allow it.

        Raises:
            WorldError: The game exited or did not reply in time.
        """
        self._exchange(_REQUEST.pack(_OP_SNAPSHOT, False, 0))
        return self._snapshot_status == _SNAPSHOT_DONE

    def restore(self) -> bool:
        """Put the game back to its snapshot. Files of the world, keys and the pointer are the caller's to put back.

        Returns:
            Whether it was put back; if not, close the game.

        Raises:
            WorldError: The game exited or did not reply in time.
        """
        self._exchange(_REQUEST.pack(_OP_RESTORE, False, 0))
        return self._snapshot_status == _SNAPSHOT_RESTORED

    def _exchange(self, request: bytes) -> Tick:
        if self._channel is None:
            raise WorldError("the game is not running; call reset()")
        began = time.perf_counter()
        try:
            self._channel.settimeout(STEP_TIMEOUT_S)
            self._channel.send(request)
            answer = self._channel.recv(_REPLY.size)
        except TimeoutError:
            reason = self.process.last_error()
            self.close()
            raise WorldError(
                f"the game did not answer within {STEP_TIMEOUT_S:g} s ({reason}); call reset() to restart it"
            ) from None
        except OSError:
            answer = b""
        if len(answer) != _REPLY.size:
            reason = self.process.last_error()
            self.close()
            raise WorldError(
                f"the game ended in the middle of an episode ({reason}); call reset() to restart it"
            )
        clock, cursor, quiescence_timeouts, *times, self._snapshot_status, meshes = _REPLY.unpack(
            answer
        )
        client, frame, pixels, server = (t / 1e6 for t in times)
        wall = (time.perf_counter() - began) * 1e3
        return Tick(
            clock / 1e9,
            bool(cursor),
            quiescence_timeouts,
            client,
            frame,
            pixels,
            server,
            wall,
            meshes,
        )

    def frame(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the last frame: uint8 [height, width, 3] RGB, top row first.

        Args:
            out: Array of that shape to write it to and to return; by default a new one.
        """
        if out is None:
            out = np.empty((self.height, self.width, 3), np.uint8)
        cv2.cvtColor(cv2.flip(self._pixels, 0), cv2.COLOR_BGRA2RGB, dst=out)
        return out

    def cpu_seconds(self) -> float:
        """Return the game's processor time so far, user and system, in seconds; 0 after it has exited."""
        program = self.process.program
        try:
            used = None if program is None else program.cpu_times()
        except psutil.Error:
            used = None
        return 0.0 if used is None else used.user + used.system

    def close(self) -> None:
        """End the game without saving; may be called twice."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self.process.end()
