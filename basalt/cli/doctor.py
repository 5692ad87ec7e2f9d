"""``basalt doctor``: what this machine can run, and the command that mends what it cannot."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from basalt.io.errors import BasaltError, MissingDependencyError
from basalt.io.paths import cache_dir

State = Literal["ok", "missing", "optional"]

LEAST_FREE_GB = 2.0
"""A demo with its saved worlds takes about half a gigabyte."""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked for.
        state: ``ok``, ``missing`` (the embedded world cannot run) or ``optional`` (not there, but
            only some commands need it).
        found: version or path, or what is wrong.
        mend: the command that mends it, empty where nothing is to mend.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def main(argv: list[str]) -> int:
    """Print the report; exit status 1 where something that the embedded world needs is missing."""
    parser = argparse.ArgumentParser(prog="basalt doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    args = parser.parse_args(argv)
    checks = [check() for check in _CHECKS]
    if args.json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        signs = {"ok": "ok  ", "missing": "LACK", "optional": "-   "}
        for check in checks:
            print(f"{signs[check.state]}  {check.name:<22} {check.found}")
            if check.mend:
                print(f"{'':30}mend: {check.mend}")
    return int(any(check.state == "missing" for check in checks))


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _program(
    name: str, programs: tuple[str, ...], package: str, state: State = "missing"
) -> Callable[[], Check]:
    def check() -> Check:
        # Debian keeps games in a folder that root's PATH lacks.
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
        return Check("H.264 encoder", "missing", "PyAV is not installed", "pip install av")
    except av.FFmpegError as err:
        return Check("H.264 encoder", "missing", f"PyAV without libx264: {err}", "pip install av")
    return Check("H.264 encoder", "ok", f"libx264 in PyAV {av.__version__}")


def _torch() -> Check:
    if importlib.util.find_spec("torch") is None:
        mend = "pip install 'basalt-benchmark[train]'"
        return Check("torch", "optional", "not installed; training and probes need it", mend)
    import torch

    devices = [f"CPU ({torch.get_num_threads()} threads)"]
    devices += [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Check("torch", "ok", f"{torch.__version__}; {', '.join(devices)}")


def _package(package: str, use: str, extra: str) -> Callable[[], Check]:
    def check() -> Check:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            mend = f"pip install 'basalt-benchmark[{extra}]'"
            return Check(package, "optional", f"not installed; {use} needs it", mend)
        return Check(package, "ok", version)

    return check


def _minecraft(name: str, part: str) -> Callable[[], Check]:
    """A check of what ``world=minerl`` needs, by the function of its process module that finds it."""

    def check() -> Check:
        from basalt.worlds import processes
        from basalt.worlds.minerl import process

        try:
            found = str(getattr(processes if part == "find_xvfb" else process, part)())
        except MissingDependencyError as err:
            return Check(name, "optional", f"{err.what}; only world=minerl needs it", err.fix)
        return Check(name, "ok", found)

    return check


def _minecraft_port() -> Check:
    """Whether the Minecraft that is named answers, or one that is started here could listen."""
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
    return Check(name, "ok", f"{free_port()} is free for a process here; {ENVIRONMENT} is not set")


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
        mend = f"pip uninstall {' '.join(clash.split('(of ')[1][:-1] for clash in clashes)}"
        return Check("package names", "missing", f"shadowed: {', '.join(clashes)}", mend)
    return Check("package names", "ok", "no other package uses ours")


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
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
)
