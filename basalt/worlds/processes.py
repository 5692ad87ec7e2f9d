"""Programs that a world runs as child processes, and the X servers they draw on."""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil

from basalt.io.errors import MissingDependencyError, WorldError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
DISPLAY_TIMEOUT_S = 90.0


def find_xvfb() -> str:
    """Return the path of Xvfb, an X server without a screen.

    Raises:
        MissingDependencyError: Xvfb is not installed.
    """
    if path := shutil.which("Xvfb"):
        return path
    raise MissingDependencyError(
        "Xvfb, the X server that worlds draw on, was not found",
        fix="apt-get install -y xvfb libgl1-mesa-dri libglx-mesa0",
    )


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 on which nothing listens right now.

    Args:
        kind: `SOCK_STREAM` for TCP, `SOCK_DGRAM` for UDP.
    """
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SupervisedProcess:
    """A program that is killed when this process exits, however it exits.

    Args:
        command: Program and arguments.
        log: File that receives the program's output.
        environment: The program's environment variables; by default those of this process.
        cwd: The program's working directory.
        folder: Folder that is removed once both the program and this process are done with it.
        pass_fds: File descriptors that the program inherits.
        grace_s: Seconds between SIGTERM and SIGKILL when the program is ended; 0 sends only SIGKILL.

    Raises:
        WorldError: The program may not be started or the log may not be written.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        folder: Path | None = None,
        pass_fds: tuple[int, ...] = (),
        grace_s: float = 0.0,
    ) -> None:
        self.log = log
        self._grace_s = grace_s
        supervisor = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), str(grace_s)]
        try:
            with log.open("wb") as output:
                self._supervisor = subprocess.Popen(
                    [*supervisor, str(folder or ""), *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=environment,
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
        except PermissionError as err:
            raise WorldError(
                f"{err.filename}: expected a file that may be run or written, got {err.strerror}; set "
                "BASALT_CACHE and TMPDIR to folders of your own on a file system that allows programs"
            ) from err
        assert self._supervisor.stdin is not None
        _open_ends.add(self._supervisor.stdin)
        # The open end keeps the program alive; without this Python would hold it for a forgotten child.
        self._release = weakref.finalize(self, _close_quietly, self._supervisor.stdin)

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        return self._supervisor.pid

    @property
    def program(self) -> psutil.Process | None:
        """The running program (the supervisor's only child), None before it starts and after it exits."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._supervisor.pid).children():
                if child.status() != psutil.STATUS_ZOMBIE:
                    return child
        return None

    @property
    def pid(self) -> int | None:
        """Process id of the program, None once it has exited."""
        program = self.program
        return None if program is None else program.pid

    @property
    def running(self) -> bool:
        """Whether the program runs; with a `folder`, until `end` is called."""
        return self._supervisor.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Wait until the program exits by itself, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: The program still runs.
        """
        return self._supervisor.wait(timeout_s)

    def end(self) -> None:
        """End the program and everything it started, and wait until they are gone."""
        self._release()
        try:
            self._supervisor.wait(15 + self._grace_s)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait(5)

    def last_error(self) -> str:
        """Return the last lines of the program's output in one line, preferably those about errors."""
        try:
            text = self.log.read_text(errors="replace")[-8000:]
        except OSError:
            text = ""
        lines = text.partition("stack traceback:")[0].strip().splitlines()
        wrong = [line for line in lines if "ERROR" in line or "terminate" in line or "(EE)" in line]
        return " | ".join(line.strip() for line in (wrong or lines)[-3:])[-600:] or "no message"


class VirtualDisplay:
    """An X server without a screen, killed when this process exits, however it exits.

    Args:
        screen: Size of its screen in pixels and depth in bits, e.g. `1024x768x24`.
        prefix: Beginning of the name of its folder.
        options: Further options of Xvfb.

    Attributes:
        name: Value for `$DISPLAY`, e.g. `:3`.
        process: The process of the X server.
        folder: Temporary folder for what is drawn on it; removed with it, and also when this process is killed.

    Raises:
        MissingDependencyError: Xvfb is not installed.
        WorldError: It did not start.
    """

    def __init__(self, screen: str, prefix: str, options: tuple[str, ...] = ()) -> None:
        xvfb = find_xvfb()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        ours, theirs = os.pipe()
        try:
            self.process = SupervisedProcess(
                [xvfb, "-displayfd", str(theirs), "-screen", "0", screen,
                 "-nolisten", "tcp", "-noreset", "-ac", *options],
                self.folder / "xvfb.log",
                folder=self.folder, pass_fds=(theirs,), grace_s=10.0,
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        finally:
            os.close(theirs)
        try:
            self.name = f":{int(self._display_number(ours))}"
        except BaseException:
            self.close()
            raise
        finally:
            os.close(ours)

    def _display_number(self, channel: int) -> bytes:
        """Read the number that the X server writes once it accepts connections."""
        number = b""
        deadline = time.monotonic() + DISPLAY_TIMEOUT_S
        while not number.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([channel], [], [], left)[0]:
                raise WorldError(
                    f"Xvfb did not start within {DISPLAY_TIMEOUT_S:g} s: {self.process.last_error()}"
                )
            part = os.read(channel, 64)
            if not part:
                raise WorldError(f"Xvfb exited at its start: {self.process.last_error()}")
            number += part
        return number

    @property
    def running(self) -> bool:
        """Whether the X server runs."""
        return self.process.program is not None

    def close(self) -> None:
        """End the X server and remove the folder."""
        self.process.end()
        shutil.rmtree(self.folder, ignore_errors=True)


_open_ends: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()
"""Standard inputs of this process's supervisors."""


def _close_quietly(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        file.close()


def _close_copies() -> None:
    """Close a forked child's copies: with an open one, a supervisor would not notice that its parent closed its own."""
    for file in list(_open_ends):
        _close_quietly(file)


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(after_in_child=_close_copies)
