"""Saved worlds: one per task, seed and version of the mod, made once, copied for every episode."""

import fcntl
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basalt.core.tasks import Task
from basalt.io.errors import ConfigError, WorldError
from basalt.io.paths import cache_dir
from basalt.worlds.luanti.engine import EPOCH_S
from basalt.worlds.luanti.game import find_game, game_environment
from basalt.worlds.luanti.native import build_shim, preloaded
from basalt.worlds.luanti.settings import SEARCH_SETTINGS, WORLD_MT
from basalt.worlds.luanti.version import install_mod, world_version
from basalt.worlds.processes import SupervisedProcess, free_port

SEARCH_TIMEOUT_S = 400.0
LAST_SEED = 2**31 - 1
"""The map generator's random numbers take no larger one."""


@dataclass(frozen=True)
class SavedWorld:
    """A world with a site, never changed after it was made.

    Attributes:
        task: The task it is for.
        folder: The folder to copy.
        site: what the referee knows of it (``docs/worlds.md`` lists the keys).
    """

    task: Task
    folder: Path
    site: dict[str, Any]

    def copy_to(self, folder: Path) -> None:
        """Make a playable copy.

        Raises:
            WorldError: it cannot be copied.
        """
        try:
            shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("worldmods"))
            install_mod(self.task, folder)
        except shutil.Error as err:  # a list of (from, to, reason), one per file
            _, place, reason = err.args[0][0]
            raise WorldError(f"{self.folder} cannot be copied to {place}: {reason}") from err
        except OSError as err:
            raise WorldError(f"{self.folder} cannot be copied to {folder}: {err}") from err


def saved_world(task: Task, seed: int) -> SavedWorld:
    """The world of a seed; made now if it is not in the cache (some seconds).

    Two processes that ask for the same world at once are safe: one makes it, the other waits.

    Raises:
        ConfigError: the seed is too large.
        WorldError: the seed has no site, the game failed, or the cache cannot be written.
    """
    if not 0 <= seed <= LAST_SEED:
        raise ConfigError(f"seed: {seed} is not from 0 to {LAST_SEED}")
    folder = cache_dir() / "luanti" / "worlds" / world_version(task) / f"{task.name}-{seed}"
    if not (folder / "site.json").is_file():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _lock(folder.with_suffix(".lock")):
                if not (folder / "site.json").is_file():
                    _make(task, seed, folder)
        except OSError as err:
            raise WorldError(
                f"the world of seed {seed} cannot be saved in {folder.parent} ({err.strerror}); "
                "make room there, or set BASALT_CACHE to a folder that can be written"
            ) from err
    try:
        site = json.loads((folder / "site.json").read_text())
    except (OSError, ValueError) as err:
        raise WorldError(f"{folder}/site.json is damaged ({err}); remove {folder}") from err
    return SavedWorld(task, folder, site)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + SEARCH_TIMEOUT_S + 60
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WorldError(f"{path} is held by another process that hangs") from None
                time.sleep(0.1)
        yield  # closing the file unlocks it, also when this process is killed


def _make(task: Task, seed: int, folder: Path) -> None:
    # Half a world of a process that was killed; nobody else is here while we hold the lock.
    prefix = f".making-{folder.name}-"
    for left_over in (folder, *folder.parent.glob(f"{prefix}*")):
        shutil.rmtree(left_over, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        world = scratch / "world"
        world.mkdir()
        install_mod(task, world)
        (world / "world.mt").write_text(WORLD_MT)
        (world / "basalt.json").write_text(
            json.dumps({"task": task.name, "seed": seed, "mode": "search"})
        )
        config = scratch / "search.conf"
        config.write_text(SEARCH_SETTINGS)
        log = scratch / "search.log"
        command = [find_game(), "--server", "--config", str(config), "--world", str(world)]
        command += ["--gameid", "minetest_game", "--port", str(free_port(socket.SOCK_DGRAM))]
        # With a time of its own: the game seeds its random numbers, and with them its trees, by it.
        environment = {**game_environment(str(scratch)), "BASALT_SHIM": f"-1,-1,0,0,{EPOCH_S}"}
        game = SupervisedProcess([*preloaded(build_shim()), *command], log, environment)
        try:
            game.wait(SEARCH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise WorldError(
                f"{task.name} seed {seed}: no site within {SEARCH_TIMEOUT_S:g} s"
            ) from None
        finally:
            game.end()
        if (world / "failed.json").is_file():
            reason = json.loads((world / "failed.json").read_text())["message"]
            raise WorldError(f"{task.name} seed {seed}: {reason}; choose another seed")
        if not (world / "site.json").is_file():
            raise WorldError(f"{task.name} seed {seed}: the game failed: {game.last_error()}")
        shutil.rmtree(world / "worldmods")
        world.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
