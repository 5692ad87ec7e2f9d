"""The game's program: where it is, which version it is, and the environment it runs in."""

import os
import shutil
import subprocess
from functools import cache

from basalt.io.errors import MissingDependencyError, WorldError


def find_game() -> str:
    """Return the path of the game's program.

    Raises:
        MissingDependencyError: It is not installed.
    """
    for name in ("minetest", "luanti", "/usr/games/minetest", "/usr/games/luanti"):
        if path := shutil.which(name):
            return path
    raise MissingDependencyError(
        "the Luanti engine was not found",
        fix="apt-get install -y --no-install-recommends minetest minetest-data",
    )


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
