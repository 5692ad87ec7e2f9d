"""Saved worlds: one per task, version and seed, made once and copied for every episode."""

import json
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basalt.core.tasks import Task
from basalt.io.errors import BusyError, ConfigError, WorldError
from basalt.io.locks import locked
from basalt.io.paths import cache_dir
from basalt.worlds.luanti.engine import EPOCH_S
from basalt.worlds.luanti.engine_check import known_game
from basalt.worlds.luanti.game import game_environment
from basalt.worlds.luanti.native import build_shim, preloaded
from basalt.worlds.luanti.settings import SEARCH_SETTINGS, WORLD_MT
from basalt.worlds.luanti.version import install_mod, world_version
from basalt.worlds.processes import SupervisedProcess, free_port

SEARCH_TIMEOUT_S = 400.0
LAST_SEED = 2**31 - 1
"""Largest seed of the map generator's random numbers."""


@dataclass(frozen=True)
class SavedWorld:
    """A world with a site, which never changes after it was made.

    Attributes:
        task: Its task.
        folder: The folder to copy.
        site: What the referee knows about the place (`docs/worlds-reference.md` lists the keys).
    """

    task: Task
    folder: Path
    site: dict[str, Any]

    def copy_to(self, folder: Path) -> None:
        """Make a playable copy.

        Raises:
            WorldError: The world cannot be copied.
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
    """Return the world of a seed; make it, which takes some seconds, if it is not in the cache.

    Two processes may ask for the same world at once: one makes it, the other waits.

    Raises:
        ConfigError: The seed is too large.
        WorldError: The seed has no site, the game failed, or the cache cannot be written.
    """
    if not 0 <= seed <= LAST_SEED:
        raise ConfigError(f"seed: expected a number from 0 to {LAST_SEED}, got {seed}")
    folder = cache_dir() / "luanti" / "worlds" / world_version(task) / f"{task.name}-{seed}"
    if not (folder / "site.json").is_file():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_suffix(".lock"), timeout=SEARCH_TIMEOUT_S + 60):
                if not (folder / "site.json").is_file():
                    _make(task, seed, folder)
        except BusyError as err:
            raise WorldError(
                f"{task.name} seed {seed}: another process has been making this world for more than "
                f"{SEARCH_TIMEOUT_S:g} s; end it and try again ({err})"
            ) from err
        except OSError as err:
            raise WorldError(
                f"the world of seed {seed} cannot be saved in {folder.parent} ({err.strerror}); "
                "free some space there, or set BASALT_CACHE to a folder that can be written"
            ) from err
    try:
        site = json.loads((folder / "site.json").read_text())
    except (OSError, ValueError) as err:
        raise WorldError(f"{folder}/site.json is damaged ({err}); remove {folder}") from err
    return SavedWorld(task, folder, site)


def _make(task: Task, seed: int, folder: Path) -> None:
    # Partial worlds of killed processes; nobody else uses them while we hold the lock.
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
        program = known_game()
        command = [program, "--server", "--config", str(config), "--world", str(world)]
        command += ["--gameid", "minetest_game", "--port", str(free_port(socket.SOCK_DGRAM))]
        # The game seeds its random numbers, and so its trees, by the time that the shim shows it.
        environment = {**game_environment(str(scratch)), "BASALT_SHIM": f"-1,-1,1,1,1,1,{EPOCH_S}"}
        game = SupervisedProcess([*preloaded(build_shim()), *command], log, environment)
        try:
            game.wait(SEARCH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise WorldError(
                f"{task.name} seed {seed}: no site within {SEARCH_TIMEOUT_S:g} s"
            ) from None
        finally:
            game.end()
        failed, site = world / "failed.json", world / "site.json"
        if not failed.is_file() and not site.is_file():
            raise WorldError(f"{task.name} seed {seed}: the game failed: {game.last_error()}")
        # A world that was made by the real clock would be another one on every machine.
        if f"basalt: shim in {Path(program).resolve()}\n" not in log.read_text(errors="replace"):
            raise WorldError(
                f"{program}: the shim did not report from it, so its world was not saved: "
                "expected the game's own program, not a script"
            )
        if failed.is_file():
            reason = json.loads(failed.read_text())["message"]
            raise WorldError(f"{task.name} seed {seed}: {reason}; choose another seed")
        shutil.rmtree(world / "worldmods")
        world.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
