"""Finding, starting and ending Minecraft's Java process.

:func:`find_minecraft`, :func:`find_java` and :func:`find_display` each name what is missing and the
command that mends it; ``basalt doctor`` asks them too. :class:`Minecraft` is one running process.
"""

import contextlib
import importlib.util
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from basalt.io.errors import MissingDependencyError, WorldError
from basalt.io.paths import cache_dir
from basalt.worlds.minerl.addresses import ENVIRONMENT
from basalt.worlds.minerl.protocol import Address, Connection, MinecraftDied, MinecraftHung

LAUNCHER = "launchClient.sh"
JARS = "build/libs/mcprec-*.jar"
"""What the build leaves behind, inside the ``MCP-Reborn`` folder."""

JAVA_MAJOR = 8
START_TIMEOUT_S = 600.0
"""Start-up takes one to three minutes on an idle machine."""

REPORT_EVERY_S = 15.0
KEPT_LOGS = 20

# What a running game writes to; everything else in the built folder is shared by all instances.
_WRITTEN = frozenset(
    "crash-reports logs resourcepacks saves screenshots server-resource-packs shaderpacks "
    "stats usercache.json".split()
)


MEND = "; mend: "
"""Between what is missing and the command that mends it, in the messages of this module."""


def _lack(what: str, mend: str) -> MissingDependencyError:
    return MissingDependencyError(f"{what}{MEND}{mend}")


def find_minecraft() -> Path:
    """The built ``MCP-Reborn`` folder: below ``$MINERL_HOME``, or of an installed ``minerl`` package.

    The package is found without being imported, so it may be one that this Python could not import.

    Raises:
        MissingDependencyError: there is none, or it is not built.
    """
    roots = []
    if home := os.environ.get("MINERL_HOME"):
        roots.append(Path(home).expanduser())
    elif spec := importlib.util.find_spec("minerl"):
        roots += [Path(folder) for folder in spec.submodule_search_locations or ()]
    folders = [
        folder
        for root in roots
        for folder in (root, root / "MCP-Reborn", root / "minerl" / "MCP-Reborn")
        if (folder / LAUNCHER).is_file()
    ]
    for folder in folders:
        if any(folder.glob(JARS)):
            return folder.resolve()
    if folders:
        raise _lack(
            f"MineRL is not built, {folders[0]}/{JARS} is missing",
            f"cd {folders[0]} && ./gradlew clean build shadowJar",
        )
    where = f"below {roots[0]}" if roots else "(neither $MINERL_HOME nor a minerl package)"
    raise _lack(
        f"found no built MineRL 1.0 {where}",
        "docker build -t basalt-minerl -f docker/minerl.Dockerfile docker (docs/minerl.md), then "
        f"export {ENVIRONMENT}=HOST:PORT; or build it here and export MINERL_HOME=FOLDER",
    )


def java_version(java: str) -> int | None:
    """Major version of a Java program, 8 for "1.8.0_392"; None where it cannot be run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match else None


def find_java() -> str:
    """Path of a Java 8: of ``$JAVA_HOME``, the ``PATH``, or below ``/usr/lib/jvm``.

    Raises:
        MissingDependencyError: there is none.
    """
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(str(Path(home) / "bin" / "java"))
    candidates.append(shutil.which("java") or "")
    candidates += [str(path) for path in sorted(Path("/usr/lib/jvm").glob("*8*/bin/java"))]
    found = {path: java_version(path) for path in candidates if path and Path(path).is_file()}
    for path, version in found.items():
        if version == JAVA_MAJOR:
            return path
    others = ", ".join(f"{path} is Java {version}" for path, version in found.items())
    raise _lack(
        f"Minecraft 1.16 needs Java {JAVA_MAJOR}, {others or 'no Java found'}",
        "apt-get install -y openjdk-8-jre (Ubuntu), or unpack a Java 8 and export JAVA_HOME=FOLDER",
    )


def find_display() -> str:
    """Path of Xvfb, the X server without a screen that every instance gets for itself.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if path := shutil.which("Xvfb"):
        return path
    raise _lack(
        "Minecraft needs a display, Xvfb was not found",
        "apt-get install -y xvfb libgl1-mesa-dri libglx-mesa0",
    )


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Kept:
    """A program under the keeper: it, and what it starts, end with this process."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        folder: Path | None = None,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        keeper = Path(__file__).with_name("keeper.py")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(keeper), str(os.getpid()), str(folder or ""),
                 *command],
                stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=cwd,
                env=environment, pass_fds=pass_fds, start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """End the group and wait until it is gone."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


class Minecraft:
    """One Minecraft process with a display, a port, a run folder and a log of its own.

    It ends with this Python process, however that ends. Use one process per task: once it has run a
    village task it spawns in villages ever after.

    Args:
        max_memory: Java's heap, e.g. ``4G``.
        start_timeout_s: how long it may take until it listens.
        report: called now and then with a line about the start.

    Attributes:
        address: where it listens.
        log: what it printed; kept after it has ended.

    Raises:
        MissingDependencyError: Minecraft, Java 8 or Xvfb are missing.
        MinecraftDied: it ended at its start.
        MinecraftHung: it did not listen in time.
    """

    def __init__(
        self,
        max_memory: str = "4G",
        start_timeout_s: float = START_TIMEOUT_S,
        report: Callable[[str], None] | None = None,
    ) -> None:
        built, java, xvfb = find_minecraft(), find_java(), find_display()
        self.address = Address("127.0.0.1", free_port())
        self.log = _new_log(self.address.port)
        self._folder = Path(tempfile.mkdtemp(prefix="basalt-minerl-"))
        self._display: _Kept | None = None
        self._game: _Kept | None = None
        try:
            _link_built(built, self._folder)
            (self._folder / "run").mkdir(exist_ok=True)
            name = self._start_display(xvfb)
            environment = dict(os.environ)
            environment.pop("WAYLAND_DISPLAY", None)
            environment["DISPLAY"] = name
            environment["PATH"] = f"{Path(java).parent}{os.pathsep}{environment.get('PATH', '')}"
            environment["JAVA_HOME"] = str(Path(java).resolve().parent.parent)
            self._game = _Kept(
                ["bash", str(self._folder / LAUNCHER), "-port", str(self.address.port), "-env",
                 "-runDir", str(self._folder / "run"), "-maxMem", max_memory],
                self.log, folder=self._folder, cwd=self._folder, environment=environment,
            )  # fmt: skip
            self._wait_until_it_listens(start_timeout_s, report)
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._game is not None and self._game.running

    def complaint(self) -> str:
        """The last lines of its log, for messages."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
            return " | ".join(line.strip() for line in lines if line.strip())[-400:]
        return ""

    def close(self) -> None:
        """End the process and its display and remove the run folder; the log stays."""
        if self.running:
            # Asked to, it ends by itself; a process that hangs is ended without its consent below.
            with (
                contextlib.suppress(WorldError),
                contextlib.closing(Connection(self.address, (1, 1), timeout_s=2.0)) as asking,
            ):
                asking.exit_process()
        for program in (self._game, self._display):
            if program is not None:
                program.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_display(self, xvfb: str) -> str:
        ours, theirs = os.pipe()
        try:
            self._display = _Kept(
                [xvfb, "-displayfd", str(theirs), "-screen", "0", "1024x768x24", "-noreset", "-ac",
                 "-nolisten", "tcp", "+extension", "GLX"],
                self.log, pass_fds=(theirs,),
            )  # fmt: skip
        finally:
            os.close(theirs)
        try:
            number = b""
            while not number.endswith(b"\n"):
                if not select.select([ours], [], [], 60.0)[0]:
                    raise MinecraftHung(f"Xvfb did not start within 60 s; see {self.log}")
                part = os.read(ours, 64)
                if not part:
                    raise MinecraftDied(f"Xvfb ended at its start: {self.complaint()}")
                number += part
        finally:
            os.close(ours)
        return f":{int(number)}"

    def _wait_until_it_listens(
        self, timeout_s: float, report: Callable[[str], None] | None
    ) -> None:
        began = reported = time.monotonic()
        while True:
            if not self.running:
                raise MinecraftDied(
                    f"Minecraft ended at its start: {self.complaint()}; the whole log: {self.log}"
                )
            with contextlib.suppress(MinecraftDied, MinecraftHung):
                connection = Connection(self.address, (1, 1), timeout_s=5.0)
                with contextlib.closing(connection):
                    connection.echo()
                return
            now = time.monotonic()
            if now - began > timeout_s:
                raise MinecraftHung(
                    f"Minecraft did not listen within {timeout_s:g} s: {self.complaint()}; "
                    f"the whole log: {self.log}"
                )
            if report and now - reported > REPORT_EVERY_S:
                reported = now
                last = self.complaint()[-100:]
                report(f"Minecraft is starting ({now - began:.0f} s): {last}")
            time.sleep(0.25)


def _link_built(built: Path, folder: Path) -> None:
    """A run folder that shares the built game and has its own of all that a game writes."""
    for entry in built.iterdir():
        own = folder / entry.name
        if entry.name == "run" and entry.is_dir():
            own.mkdir()
            _link_built(entry, own)
        elif entry.name in (LAUNCHER, "options.txt"):
            shutil.copy(entry, own)  # the launcher changes to the folder that it is in
        elif entry.name not in _WRITTEN:
            own.symlink_to(entry)


def _new_log(port: int) -> Path:
    """A file for a new process's output; the oldest of the earlier ones go."""
    folder = cache_dir() / "minerl" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted(folder.glob("*.log"))
    for old in earlier[: max(0, len(earlier) - KEPT_LOGS + 1)]:
        old.unlink(missing_ok=True)
    return folder / f"{datetime.now():%Y%m%d-%H%M%S}-{port}.log"
