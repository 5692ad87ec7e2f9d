"""`basalt doctor`: what this machine can run, and how to install what is missing.

It also works where packages are missing, so nothing but the standard library is imported up here.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Any, Literal

from basalt.cli.dependencies import DISTRIBUTION, how_to_install, requirements
from basalt.core.registry import Registry
from basalt.io.errors import BasaltError, MissingDependencyError
from basalt.io.paths import cache_dir

State = Literal["ok", "missing", "optional"]

LEAST_FREE_GB = 2.0
"""Free space below which the disk is reported; a demo takes about half a gigabyte."""


@dataclass(frozen=True)
class Check:
    """One line of the report.

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


def main(argv: list[str]) -> int:
    """Run `basalt doctor ARGUMENTS`; exit status 1 where something that the embedded world needs is missing."""
    try:
        from basalt.cli.flags import Json, run

        def doctor(as_json: Json = False) -> int:
            """Check what this machine can run, and how to install what is missing."""
            return _report(as_json)

        return run("doctor", doctor, argv)
    except ImportError:  # a broken installation, which is what this command is for
        return _report(as_json="--json" in argv)


def _report(as_json: bool) -> int:
    checks = [_guarded(check) for check in _CHECKS]
    if as_json:
        print(dumps([asdict(check) for check in checks], indent=1))
    else:
        signs = {"ok": "ok     ", "missing": "MISSING", "optional": "-      "}
        for check in checks:
            print(f"{signs[check.state]}  {check.name:<22} {check.found}")
            if check.fix:
                print(f"{'':33}fix: {check.fix}")
    return int(any(check.state == "missing" for check in checks))


def _guarded(check: Callable[[], Check]) -> Check:
    """A check's result; one that a missing package keeps from running says so."""
    try:
        return check()
    except ImportError as err:
        name = check.__name__.strip("_").replace("_", " ")
        found = f"cannot be checked: missing dependency {err.name!r}"
        return Check(name, "optional", found, how_to_install((err.name or "").partition(".")[0]))


def _dependencies() -> Check:
    """Whether the packages that every installation needs are installed."""
    needed = [name for name, extras in requirements().items() if not extras]
    missing = []
    for name in needed:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        found = f"not installed: {', '.join(missing)}"
        return Check("dependencies", "missing", found, f"pip install {DISTRIBUTION}")
    return Check("dependencies", "ok", f"{len(needed)} packages installed")


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _program(
    name: str, programs: tuple[str, ...], package: str, state: State = "missing"
) -> Callable[[], Check]:
    def check() -> Check:
        # Debian keeps games in a folder that is not in root's PATH.
        path = os.environ.get("PATH", "") + os.pathsep + "/usr/games"
        for program in programs:
            if found := shutil.which(program, path=path):
                return Check(name, "ok", found)
        return Check(name, state, "not found", f"apt-get install -y {package}")

    return check


def _game() -> Check:
    for folder in ("/usr/share/games/minetest", "/usr/share/games/luanti", "/usr/share/luanti"):
        if (Path(folder) / "games" / "minetest_game" / "game.conf").is_file():
            return Check("Minetest Game", "ok", f"{folder}/games/minetest_game")
    return Check("Minetest Game", "missing", "not found", "apt-get install -y minetest-data")


def _software_gl() -> Check:
    for folder in Path("/usr/lib").glob("*/dri"):
        if any(folder.glob("swrast_dri.so")) or any(folder.glob("libdril_dri.so")):
            return Check("Mesa software OpenGL", "ok", str(folder))
    return Check(
        "Mesa software OpenGL", "missing", "not found", "apt-get install -y libgl1-mesa-dri"
    )


def _h264() -> Check:
    try:
        import av

        av.codec.Codec("libx264", "w")
    except ImportError:
        return Check("H.264 encoder", "missing", "PyAV is not installed", how_to_install("av"))
    except av.FFmpegError as err:
        return Check("H.264 encoder", "missing", f"PyAV without libx264: {err}", "pip install av")
    return Check("H.264 encoder", "ok", f"libx264 in PyAV {av.__version__}")


def _torch() -> Check:
    if importlib.util.find_spec("torch") is None:
        found = "not installed; training and probes need it"
        return Check("torch", "optional", found, how_to_install("torch", "train"))
    import torch

    devices = [f"CPU ({torch.get_num_threads()} threads)"]
    devices += [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Check("torch", "ok", f"{torch.__version__}; {', '.join(devices)}")


def _package(package: str, use: str, extra: str) -> Callable[[], Check]:
    def check() -> Check:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = f"not installed; needed for {use}"
            return Check(package, "optional", found, how_to_install(package, extra))
        return Check(package, "ok", version)

    return check


def _minecraft(name: str, part: str) -> Callable[[], Check]:
    """A check of what `world=minerl` needs, by the function of its process module that finds it."""

    def check() -> Check:
        from basalt.worlds import processes
        from basalt.worlds.minerl import process

        try:
            found = str(getattr(processes if part == "find_xvfb" else process, part)())
        except MissingDependencyError as err:
            return Check(name, "optional", f"{err.what}; only world=minerl needs it", err.fix)
        return Check(name, "ok", found)

    check.__name__ = name
    return check


def _minecraft_port() -> Check:
    """Whether the Minecraft at the given address answers, or a port is free for one on this machine."""
    from basalt.worlds.minerl.addresses import ENVIRONMENT, parse_addresses
    from basalt.worlds.minerl.protocol import Connection
    from basalt.worlds.processes import free_port

    name = "Minecraft: port"
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
        return Check(name, "optional", f"{ENVIRONMENT}: {err}", f"{image} (docs/minerl.md)")
    if answering:
        return Check(name, "ok", f"{', '.join(answering)} answers")
    return Check(
        name, "ok", f"port {free_port()} is free on this machine; {ENVIRONMENT} is not set"
    )


def _disk() -> Check:
    try:
        folder = cache_dir()
    except BasaltError as err:
        return Check("disk", "missing", str(err))
    if not os.access(folder, os.W_OK):
        return Check("disk", "missing", f"{folder} is not writable", "export BASALT_CACHE=FOLDER")
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_FREE_GB:
        return Check(
            "disk", "missing", f"{free:.1f} GB free at {folder}", "export BASALT_CACHE=FOLDER"
        )
    return Check("disk", "ok", f"{free:.0f} GB free at {folder}")


def _shadowed() -> Check:
    """Other distributions that install packages of our top-level names."""
    ours = {"basalt", "agents", "leaderboard", "eval_ui", "configs"}
    owners = importlib.metadata.packages_distributions()
    clashes = sorted(
        f"{package} (of {owner})"
        for package in ours
        for owner in owners.get(package, [])
        if owner != "basalt-benchmark"
    )
    if clashes:
        fix = f"pip uninstall {' '.join(clash.split('(of ')[1][:-1] for clash in clashes)}"
        return Check("package names", "missing", f"shadowed: {', '.join(clashes)}", fix)
    return Check("package names", "ok", "no other package uses ours")


def _plugins() -> Check:
    """Whether the agents, worlds, probes and rating models of other packages can be imported."""
    from agents.common.registry import AGENTS
    from basalt.probes.registry import PROBES
    from basalt.worlds import WORLDS
    from leaderboard.ratings.models import RATING_MODELS

    registries: tuple[Registry[Any], ...] = (AGENTS, WORLDS, PROBES, RATING_MODELS)
    broken = [line for registry in registries for line in registry.broken().values()]
    state: State = "optional" if broken else "ok"
    return Check("plugins", state, "; ".join(broken) or "those installed can be imported")


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _dependencies,
    _program("Luanti engine", ("luanti", "minetest"), "minetest"),
    _game,
    _program("Xvfb", ("Xvfb",), "xvfb"),
    _software_gl,
    _program("C compiler", ("cc", "gcc", "clang"), "gcc libc6-dev"),
    _h264,
    _torch,
    _package("krippendorff", "the leaderboard", "leaderboard"),
    _package("streamlit", "the judging app", "ui"),
    _package("pygame-ce", "a window for basalt play (a browser does without)", "play"),
    _minecraft("Minecraft: built jar", "find_minecraft"),
    _minecraft("Minecraft: Java 8", "find_java"),
    _minecraft("Minecraft: display", "find_xvfb"),
    _minecraft_port,
    _disk,
    _shadowed,
    _plugins,
)
