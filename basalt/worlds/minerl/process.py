"""Finding, starting and ending Minecraft's Java process.

`find_minecraft` and `find_java` each name what is missing and the command that installs it; `basalt doctor` calls
them too. `Minecraft` is one running process.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

from basalt.io.console import note
from basalt.io.errors import MissingDependencyError, WorldError
from basalt.io.paths import cache_dir
from basalt.worlds.minerl.addresses import ENVIRONMENT
from basalt.worlds.minerl.protocol import Address, Connection, MinecraftDied, MinecraftHung
from basalt.worlds.processes import SupervisedProcess, VirtualDisplay, free_port

LAUNCHER = "launchClient.sh"
JARS = "build/libs/mcprec-*.jar"
"""Result of the build, inside the `MCP-Reborn` folder."""

JAVA_MAJOR = 8
START_TIMEOUT_S = 600.0
"""Time limit for the start, which takes one to three minutes on an idle machine."""

REPORT_EVERY_S = 15.0
KEPT_LOGS = 20

# Files and folders that a running game writes; all instances share the rest of the built folder.
_WRITTEN = frozenset(
    "crash-reports logs resourcepacks saves screenshots server-resource-packs shaderpacks "
    "stats usercache.json".split()
)


def find_minecraft() -> Path:
    """Return the built `MCP-Reborn` folder: below `$MINERL_HOME`, or of an installed `minerl` package.

    The package is found without being imported, so this Python may be unable to import it.

    Raises:
        MissingDependencyError: There is no such folder, or it is not built.
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
        raise MissingDependencyError(
            f"MineRL is not built, {folders[0]}/{JARS} is missing",
            fix=f"cd {folders[0]} && ./gradlew clean build shadowJar",
        )
    where = f"below {roots[0]}" if roots else "(neither $MINERL_HOME nor a minerl package)"
    raise MissingDependencyError(
        f"found no built MineRL 1.0 {where}",
        fix="docker build -t basalt-minerl -f docker/minerl.Dockerfile docker (docs/minerl.md), then "
        f"export {ENVIRONMENT}=HOST:PORT; or build it here and export MINERL_HOME=FOLDER",
    )


def java_version(java: str) -> int | None:
    """Return the major version of a Java program, 8 for "1.8.0_392"; None if it cannot be run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match else None


def find_java() -> str:
    """Return the path of a Java 8: of `$JAVA_HOME`, the `PATH`, or below `/usr/lib/jvm`.

    Raises:
        MissingDependencyError: There is no Java 8.
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
    raise MissingDependencyError(
        f"Minecraft 1.16 needs Java {JAVA_MAJOR}, {others or 'no Java found'}",
        fix="apt-get install -y openjdk-8-jre (Ubuntu), or unpack a Java 8 and export JAVA_HOME=FOLDER",
    )


class Minecraft:
    """A Minecraft process with its own display, port, run folder and log.

    It is killed when this Python process exits, however it exits. Use one process per task: after a village task
    it spawns in villages for ever.

    Args:
        max_memory: Size of Java's heap, e.g. `4G`.
        start_timeout_s: Seconds until it has to listen.

    Attributes:
        address: Address at which it listens.
        log: File with its output; kept after it has exited.

    Raises:
        MissingDependencyError: Minecraft, Java 8 or Xvfb are missing.
        MinecraftDied: It exited at its start.
        MinecraftHung: It did not listen in time.
    """

    def __init__(self, max_memory: str = "4G", start_timeout_s: float = START_TIMEOUT_S) -> None:
        built, java = find_minecraft(), find_java()
        self.address = Address("127.0.0.1", free_port())
        self.log = _new_log(self.address.port)
        self._game: SupervisedProcess | None = None
        self._display = VirtualDisplay("1024x768x24", "basalt-minerl", ("+extension", "GLX"))
        folder = self._display.folder
        try:
            _link_built(built, folder)
            (folder / "run").mkdir(exist_ok=True)
            environment = dict(os.environ)
            environment.pop("WAYLAND_DISPLAY", None)
            environment["DISPLAY"] = self._display.name
            environment["PATH"] = f"{Path(java).parent}{os.pathsep}{environment.get('PATH', '')}"
            environment["JAVA_HOME"] = str(Path(java).resolve().parent.parent)
            self._game = SupervisedProcess(
                ["bash", str(folder / LAUNCHER), "-port", str(self.address.port), "-env",
                 "-runDir", str(folder / "run"), "-maxMem", max_memory],
                self.log, environment, cwd=folder, grace_s=10.0,
            )  # fmt: skip
            self._wait_until_it_listens(self._game, start_timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._game is not None and self._game.running

    def close(self) -> None:
        """End the process and its display and remove the run folder; the log stays."""
        if self.running:
            # It exits by itself when it is asked to; one that hangs is killed below.
            with (
                contextlib.suppress(WorldError),
                contextlib.closing(Connection(self.address, (1, 1), timeout_s=2.0)) as asking,
            ):
                asking.exit_process()
        if self._game is not None:
            self._game.end()
        self._display.close()

    def _wait_until_it_listens(self, game: SupervisedProcess, timeout_s: float) -> None:
        began = reported = time.monotonic()
        while True:
            if not game.running:
                raise MinecraftDied(
                    f"Minecraft exited at its start: {game.last_error()}; the whole log: {self.log}"
                )
            with contextlib.suppress(MinecraftDied, MinecraftHung):
                connection = Connection(self.address, (1, 1), timeout_s=5.0)
                with contextlib.closing(connection):
                    connection.echo()
                return
            now = time.monotonic()
            if now - began > timeout_s:
                raise MinecraftHung(
                    f"Minecraft did not listen within {timeout_s:g} s: {game.last_error()}; "
                    f"the whole log: {self.log}"
                )
            if now - reported > REPORT_EVERY_S:
                reported = now
                last = game.last_error()[-100:]
                note(f"Minecraft is starting ({now - began:.0f} s): {last}")
            time.sleep(0.25)


def _link_built(built: Path, folder: Path) -> None:
    """Make a run folder that shares the built game, but has its own copy of what a game writes."""
    for entry in built.iterdir():
        own = folder / entry.name
        if entry.name == "run" and entry.is_dir():
            own.mkdir()
            _link_built(entry, own)
        elif entry.name in (LAUNCHER, "options.txt"):
            shutil.copy(entry, own)  # the launcher changes to its own folder
        elif entry.name not in _WRITTEN:
            own.symlink_to(entry)


def _new_log(port: int) -> Path:
    """Return the path of a new process's log, and remove the oldest logs."""
    folder = cache_dir() / "minerl" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted(folder.glob("*.log"))
    for old in earlier[: max(0, len(earlier) - KEPT_LOGS + 1)]:
        old.unlink(missing_ok=True)
    return folder / f"{datetime.now():%Y%m%d-%H%M%S}-{port}.log"
