"""The game's program: where it is, which version it is, and the environment it runs in."""

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from basalt.io.errors import MissingDependencyError, WorldError

PACKAGES = ("luanti", "luanti-game-minetest")
"""Packages of Debian and Ubuntu with the engine and its game; the Makefile names the same."""

OLD_PACKAGES = ("minetest", "minetest-data")
"""Their names in `OLD_RELEASES`."""

OLD_RELEASES = ("bookworm", "noble")
"""Releases from before the engine was renamed: Debian 12 and Ubuntu 24.04."""

_PROGRAMS = (
    "minetest",
    "luanti",
    "/usr/games/minetest",
    "/usr/games/luanti",
    "/usr/libexec/luanti/luanti",  # Debian 13's luanti is a script that runs this
)


def engine_packages() -> tuple[str, str]:
    """Return the names of the packages with the engine and its game on this release of Debian or Ubuntu."""
    try:
        release = platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        release = None
    return OLD_PACKAGES if release in OLD_RELEASES else PACKAGES


def find_game() -> str:
    """Return the path of the game's program; scripts are left out, since their shell would take the shim for itself.

    Raises:
        MissingDependencyError: It is not installed.
    """
    for name in _PROGRAMS:
        path = shutil.which(name)
        if path and _is_elf(Path(path)):
            return path
    raise MissingDependencyError(
        "the Luanti engine was not found",
        fix=f"apt-get install -y --no-install-recommends {' '.join(engine_packages())}",
    )


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


@cache
def game_version() -> str:
    """Return the game's own version, e.g. `5.6.1`.

    Raises:
        MissingDependencyError: It is not installed.
        WorldError: It does not print its version.
    """
    try:
        result = subprocess.run(
            [find_game(), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
        return result.stdout.split()[1]
    except (IndexError, OSError, subprocess.TimeoutExpired) as err:
        raise WorldError(f"{find_game()} --version: expected a version, got {err}") from err


def game_environment(home: str) -> dict[str, str]:
    """Return environment variables for the game: nothing of the user's own games, screen or language.

    Args:
        home: Folder that the game takes for the user's.
    """
    others = ("MINETEST_", "LUANTI_", "XDG_", "LC_", "WAYLAND_DISPLAY", "XAUTHORITY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "HOME": home, "LC_ALL": "C"}
