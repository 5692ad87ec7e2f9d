"""What a machine needs, and how to install what is missing: the checks of `basalt doctor` and of the demo.

They also run where packages are missing or broken, so this module imports only the standard library at its top.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from basalt.io.dependencies import DISTRIBUTION, how_to_install, requirements
from basalt.io.errors import BasaltError, MissingDependencyError, WorldError
from basalt.io.paths import cache_dir

State = Literal["ok", "missing", "optional"]

LEAST_FREE_GB = 2.0
"""Free space below which a disk is reported; a demo takes about half a gigabyte."""


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: What was checked.
        state: `ok`, `missing` (the embedded world cannot run) or `optional` (missing, but only some
            commands need it).
        found: Version or path, or what is wrong.
        fix: Command that installs it; "" where nothing is to be installed.
    """

    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Need:
    """Something that commands need.

    Attributes:
        name: What it is.
        find: Function that returns its version or path, and raises an exception if it is missing or broken.
        needed: Whether the embedded world cannot run without it.
        fix: Command that installs it, where the exception names none.
    """

    name: str
    find: Callable[[], str]
    needed: bool = True
    fix: str = ""

    def check(self) -> Check:
        """Look for it; no exception of `find` is passed on, since anything may be broken."""
        fix = self.fix
        try:
            return Check(self.name, "ok", self.find())
        except MissingDependencyError as err:
            found, fix = err.what, err.fix or fix
        except BasaltError as err:
            found = str(err)
        except ModuleNotFoundError as err:
            found = f"cannot be checked: missing dependency {err.name!r}"
            fix = how_to_install((err.name or "").partition(".")[0])
        except Exception as err:
            found = f"is broken: {' '.join(f'{type(err).__name__}: {err}'.split())[:200]}"
        return Check(self.name, "missing" if self.needed else "optional", found, fix)


def missing_for_the_world(*folders: Path) -> list[Check]:
    """Return what the embedded world needs and this machine does not have.

    Args:
        folders: Folders that will be written to, besides the cache; they need not exist yet.
    """
    disks = [
        Need("disk", partial(_free_space, folder), fix="basalt demo --out FOLDER")
        for folder in folders
    ]
    failed = [check for need in (*WORLD, *disks) if (check := need.check()).state != "ok"]
    # What several checks run into is reported once.
    return list({(check.found, check.fix): check for check in reversed(failed)}.values())[::-1]


def all_checks() -> list[Check]:
    """Check everything that any command needs."""
    return [need.check() for need in (*WORLD, *OTHERS)]


def _python() -> str:
    return f"{platform.python_version()} on {platform.platform()}"


def _dependencies() -> str:
    needed = [name for name, extras in requirements().items() if not extras]
    if missing := [name for name in needed if not _version(name)]:
        raise MissingDependencyError(f"not installed: {', '.join(missing)}")
    return f"{len(needed)} packages installed"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _engine() -> str:
    from basalt.worlds.luanti.game import find_game, game_version

    return f"{find_game()} {game_version()}"


def _game() -> str:
    from basalt.worlds.luanti.game import engine_packages, find_game, game_environment

    with tempfile.TemporaryDirectory() as home:
        command = [find_game(), "--gameid", "list"]
        listed = subprocess.run(
            command, env=game_environment(home), capture_output=True, text=True, timeout=30
        )
    # 5.6 lists games on stdout and 5.10 on stderr; both leave out the ending of the folder's name.
    if not {"minetest", "minetest_game"} & set(f"{listed.stdout} {listed.stderr}".split()):
        raise MissingDependencyError(
            f"{command[0]} does not find minetest_game",
            f"apt-get install -y {engine_packages()[1]}",
        )
    return "minetest_game"


def _lock_step() -> str:
    from basalt.worlds.luanti.engine_check import known_game

    return f"the clock shim knows all waits of {known_game()}"


def _clock_shim() -> str:
    from basalt.worlds.luanti.native import build_shim

    try:
        return f"the clock shim is compiled in {build_shim().parent}"
    except WorldError as err:
        if err.__cause__:  # it could not be written
            raise
        raise MissingDependencyError(str(err), "apt-get install -y gcc libc6-dev") from err


def _xvfb() -> str:
    from basalt.worlds.processes import find_xvfb

    return find_xvfb()


def _software_gl() -> str:
    for folder in (*Path("/usr/lib").glob("*/dri"), Path("/usr/lib64/dri")):
        if any(folder.glob("swrast_dri.so")) or any(folder.glob("libdril_dri.so")):
            return str(folder)
    raise MissingDependencyError("not found")


def _h264() -> str:
    import av

    av.codec.Codec("libx264", "w")
    return f"libx264 in PyAV {av.__version__}"


def _torch() -> str:
    if importlib.util.find_spec("torch") is None:
        raise MissingDependencyError(
            "not installed; training and probes need it", how_to_install("torch", "train")
        )
    import torch

    devices = [f"CPU ({torch.get_num_threads()} threads)"]
    devices += [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{torch.__version__}; {', '.join(devices)}"


def _package(package: str, use: str, extra: str) -> Need:
    def find() -> str:
        if version := _version(package):
            return version
        raise MissingDependencyError(
            f"not installed; needed for {use}", how_to_install(package, extra)
        )

    return Need(package, find, needed=False)


def _minecraft(part: str) -> Callable[[], str]:
    """A check of what `world=minerl` needs, by the function that finds it."""

    def find() -> str:
        from basalt.worlds import processes
        from basalt.worlds.minerl import process

        try:
            return str(getattr(processes if part == "find_xvfb" else process, part)())
        except MissingDependencyError as err:
            raise MissingDependencyError(
                f"{err.what}; only world=minerl needs it", err.fix
            ) from err

    return find


def _minecraft_port() -> str:
    """Whether the Minecraft at the given address answers, or a port is free for one on this machine."""
    from basalt.worlds.minerl.addresses import ENVIRONMENT, parse_addresses
    from basalt.worlds.minerl.protocol import Connection
    from basalt.worlds.processes import free_port

    answering = []
    try:
        for address in parse_addresses(None):
            connection = Connection(address, (1, 1), timeout_s=5.0)
            try:
                connection.echo()
            finally:
                connection.close()
            answering.append(str(address))
    except BasaltError as err:
        image = "docker run --rm -p 127.0.0.1:9000:9000 basalt-minerl"
        raise MissingDependencyError(f"{ENVIRONMENT}: {err}", f"{image} (docs/minerl.md)") from err
    if answering:
        return f"{', '.join(answering)} answers"
    return f"port {free_port()} is free on this machine; {ENVIRONMENT} is not set"


def _ray() -> str:
    """The version of Ray, and the cluster that this machine is part of."""
    version = _version("ray")
    if version is None:
        raise MissingDependencyError(
            "not installed; only runner=ray needs it", how_to_install("ray", "ray")
        )
    # Where `ray start` leaves the address, and a killed cluster, too.
    started = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")
    address = os.environ.get("RAY_ADDRESS") or (started.read_text() if started.is_file() else "")
    if not address:
        return f"ray {version}, no cluster is known here"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5.0).close()
    except (OSError, ValueError, OverflowError):
        return f"ray {version}, no cluster answers at {address}"
    return f"ray {version}, cluster at {address}"


def _slurm() -> str:
    """The version of Slurm, and its partitions."""
    if (version := _version("submitit")) is None:
        raise MissingDependencyError(
            "submitit is not installed; only runner=slurm needs it",
            how_to_install("submitit", "slurm"),
        )
    if shutil.which("sinfo") is None:
        raise MissingDependencyError("this is not a machine of a Slurm cluster (no sinfo)")
    command = ["sinfo", "--noheader", "--format=%P"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if listed.returncode != 0:
        raise BasaltError(f"sinfo: {' '.join(listed.stderr.split())[:200]}")
    return f"submitit {version}, partitions {', '.join(listed.stdout.split())}"


def _free_space(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise BasaltError(f"{folder} is not writable")
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_FREE_GB:
        raise BasaltError(f"{free:.1f} GB free at {folder}, expected at least {LEAST_FREE_GB:g}")
    return f"{free:.0f} GB free at {folder}"


def _shadowed() -> str:
    """Other distributions that install packages of our top-level names."""
    ours = {"basalt", "agents", "leaderboard", "eval_ui", "configs"}
    owners = importlib.metadata.packages_distributions()
    clashes = sorted(
        (package, owner)
        for package in ours
        for owner in owners.get(package, [])
        if owner != DISTRIBUTION
    )
    if clashes:
        shown = ", ".join(f"{package} (of {owner})" for package, owner in clashes)
        others = " ".join(dict.fromkeys(owner for _, owner in clashes))
        raise MissingDependencyError(f"shadowed: {shown}", f"pip uninstall {others}")
    return "no other package uses ours"


def _plugins() -> str:
    """Whether the agents, worlds, probes and rating models of other packages can be imported."""
    from agents.common.registry import AGENTS
    from basalt.core.registry import Registry
    from basalt.probes.registry import PROBES
    from basalt.worlds import WORLDS
    from leaderboard.ratings.models import RATING_MODELS

    registries: Iterable[Registry[Any]] = (AGENTS, WORLDS, PROBES, RATING_MODELS)
    if broken := [line for registry in registries for line in registry.broken().values()]:
        raise BasaltError("; ".join(broken))
    return "those installed can be imported"


WORLD = (
    Need("Python", _python),
    Need("dependencies", _dependencies, fix=f"pip install {DISTRIBUTION}"),
    Need("Luanti engine", _engine),
    Need("Minetest Game", _game),
    Need("Xvfb", _xvfb),
    Need("Mesa software OpenGL", _software_gl, fix="apt-get install -y libgl1-mesa-dri"),
    Need("C compiler", _clock_shim),
    Need("lock-step", _lock_step),
    Need("H.264 encoder", _h264, fix="pip install --force-reinstall av"),
    Need("disk", lambda: _free_space(cache_dir()), fix="export BASALT_CACHE=FOLDER"),
    Need("package names", _shadowed),
)
"""What the embedded world needs."""

OTHERS = (
    Need("torch", _torch, needed=False, fix="pip install --force-reinstall torch"),
    _package("sqlalchemy", "the leaderboard", "leaderboard"),
    _package("streamlit", "the judging app", "ui"),
    _package("pygame-ce", "a window for basalt play (a browser does without)", "play"),
    Need("Minecraft: built jar", _minecraft("find_minecraft"), needed=False),
    Need("Minecraft: Java 8", _minecraft("find_java"), needed=False),
    Need("Minecraft: display", _minecraft("find_xvfb"), needed=False),
    Need("Minecraft: port", _minecraft_port, needed=False),
    Need("runner: ray", _ray, needed=False),
    Need("runner: slurm", _slurm, needed=False),
    Need("plugins", _plugins, needed=False),
)
"""What other commands need."""
