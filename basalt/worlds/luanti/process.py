"""The programs of the world as child processes: found, started, and ended for certain."""

import contextlib
import os
import shutil
import signal
import subprocess
import weakref
from pathlib import Path
from typing import IO

from basalt.io.errors import MissingDependencyError, WorldError
from basalt.worlds.luanti.native import build


def find_game() -> str:
    """Path of the game's program.

    Raises:
        MissingDependencyError: it is not installed.
    """
    for name in ("minetest", "luanti", "/usr/games/minetest", "/usr/games/luanti"):
        if path := shutil.which(name):
            return path
    raise MissingDependencyError(
        "the Luanti world needs the game: "
        "apt-get install --no-install-recommends minetest minetest-data"
    )


def find_xvfb() -> str:
    """Path of the X server without a screen.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if path := shutil.which("Xvfb"):
        return path
    raise MissingDependencyError(
        "the Luanti world needs Xvfb: apt-get install --no-install-recommends xvfb libgl1-mesa-dri"
    )


def game_environment(home: Path) -> dict[str, str]:
    """Environment variables for the game: nothing of the user's own games, screen or language."""
    theirs = ("MINETEST_", "LUANTI_", "XDG_", "LC_", "WAYLAND_DISPLAY", "XAUTHORITY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {**kept, "HOME": str(home), "LC_ALL": "C"}


def _close_quietly(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        file.close()


class Kept:
    """A program run by the keeper: it ends with this process, whatever ends this process.

    Args:
        command: program and arguments.
        log: file that gets its output.
        folder: folder to remove once the program and this process are done with it.
        preload: library for its ``LD_PRELOAD``.
        graceful: end it with SIGTERM rather than SIGKILL.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        environment: dict[str, str],
        *,
        pass_fds: tuple[int, ...] = (),
        folder: Path | None = None,
        preload: Path | None = None,
        graceful: bool = False,
    ) -> None:
        how = signal.SIGTERM if graceful else signal.SIGKILL
        self.log = log
        keeper = build("keeper")
        kept = [str(os.getpid()), str(int(how)), str(folder or ""), str(preload or ""), *command]
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [str(keeper), *kept],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=pass_fds,
                )
        except PermissionError as err:
            raise WorldError(
                f"{err.filename} may not be run or written ({err.strerror}); set BASALT_CACHE and "
                "TMPDIR to folders of your own whose file system allows programs"
            ) from err

        assert self._process.stdin is not None
        # The open end is what keeps the program alive; Python would hold it for a forgotten child.
        self._release = weakref.finalize(self, _close_quietly, self._process.stdin)

    @property
    def program_pid(self) -> int | None:
        """Process id of the program (the keeper's only child), None once it is gone."""
        keeper = self._process.pid
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()[0])
        return None

    def poll(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Exit status once it has ended by itself.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        return self._process.wait(timeout)

    def end(self) -> None:
        """End it and wait until it is gone."""
        self._release()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def complaint(self) -> str:
        """One line: the last lines of its output, if possible those that say what went wrong."""
        try:
            text = self.log.read_text(errors="replace")[-8000:]
        except OSError:
            text = ""
        lines = text.partition("stack traceback:")[0].strip().splitlines()
        wrong = [line for line in lines if "ERROR" in line or "terminate" in line or "(EE)" in line]
        return " | ".join(line.strip() for line in (wrong or lines)[-3:])[-600:] or "no message"
