"""The games of one environment, each at the beginning of an episode.

Every episode begins in a game that was just started, or in one that was put back to the moment at which its episode
began (a soft reset). A start can happen in the background while another game is played.
"""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basalt.core.actions import FRAME_SIZE
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.core.tasks import Task
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.base import Frame
from basalt.worlds.edits import Edit
from basalt.worlds.luanti.edit import apply_edit
from basalt.worlds.luanti.engine import START_TIMEOUT_S, Engine, Tick, open_display
from basalt.worlds.luanti.game import game_version
from basalt.worlds.luanti.input import Input
from basalt.worlds.luanti.items import starting_inventory
from basalt.worlds.luanti.settings import (
    AGE_S,
    FLAMES_REPEAT_S,
    play_settings,
    vertical_fov,
    window_size,
)
from basalt.worlds.luanti.worldcache import SavedWorld, saved_world
from basalt.worlds.processes import VirtualDisplay

_SETTLED_TICKS = 3
"""Steps without a new mesh after which the land is loaded; the server learns of a turn in the first of them."""

_SETTLE_LIMIT = 400
_LOOKS = 4
_FREE_LOOK_S = 0.1
"""Real time in seconds of each look around before the game is stopped; a longer one does not shorten a reset."""

_TURN = round(360 / DEGREES_PER_PIXEL)


@dataclass(frozen=True)
class Start:
    """What an episode begins with; equal starts begin equal episodes.

    Attributes:
        seed: Seed of the place.
        edit: Change of the saved world, None for no change.
    """

    seed: int
    edit: Edit | None


@dataclass(frozen=True)
class Beginning:
    """The state of a game at step 0.

    Attributes:
        frame: First frame of the episode.
        record: The mod's record of step 0.
        tick: The game's last reply.
        site: What is known about the place.
    """

    frame: Frame
    record: dict[str, Any]
    tick: Tick
    site: dict[str, Any]


class Game:
    """One run of the game, at step 0 of its episode.

    Args:
        task: The task.
        start: Seed and edit of the episode.
        size: Width and height of the frames in pixels.
        display: X server to draw on; the game ends it in `close`. None starts one.
        snapshot: Whether to keep the game's state, so that `restore` can put it back.

    Attributes:
        start: Seed and edit of the episode.
        engine: The game's process.
        input: Its keyboard and mouse.
        world: Folder of its copy of the saved world.
        beginning: Its state at step 0.

    Raises:
        ConfigError: The edit does not fit the world.
        MissingDependencyError: Engine or X server are not installed.
        WorldError: The game does not start.
    """

    def __init__(
        self,
        task: Task,
        start: Start,
        size: tuple[int, int],
        display: VirtualDisplay | None,
        *,
        snapshot: bool,
    ) -> None:
        self.start = start
        self.engine: Engine | None = None
        self.input: Input | None = None
        self.display = display
        self._task, self._size, self._window = task, size, window_size(size)
        self._saved_files: dict[Path, bytes] | None = None
        try:
            saved = saved_world(task, start.seed)
            if self.display is None:
                self.display = open_display()
            self.world = self.display.folder / "world"
            self._start(saved)
            self._settle()
            self.beginning = self._first_step(saved.site)
            if snapshot and self._engine.snapshot():
                self._saved_files = {path: path.read_bytes() for path in self._files()}
        except BaseException as err:
            self.close()
            if isinstance(err, OSError):
                raise WorldError(f"the world cannot start: {err}") from err
            raise

    @property
    def _engine(self) -> Engine:
        assert self.engine is not None
        return self.engine

    @property
    def _input(self) -> Input:
        assert self.input is not None
        return self.input

    @property
    def _center(self) -> tuple[int, int]:
        return self._window[0] // 2, self._window[1] // 2

    @property
    def running(self) -> bool:
        """Whether the game runs."""
        return self.engine is not None and self.engine.running

    def restore(self) -> bool:
        """Put the game back to step 0 of its episode: a soft reset.

        Returns:
            Whether it is back; if not, close it and start another one.
        """
        if self._saved_files is None or not self.running:
            return False
        try:
            # Keys and pointer are the X server's: they are put back before the game forgets about them.
            self._input.hold(set())
            self._input.move_pointer(*self._center)
            self._input.flush()
            for path in self._files():
                if path not in self._saved_files:
                    path.unlink()
            for path, content in self._saved_files.items():
                if path.read_bytes() != content:  # the same files, since the game has them open
                    with path.open("r+b") as file:
                        file.write(content)
                        file.truncate()
            return self._engine.restore()
        except (OSError, WorldError):
            return False

    def _files(self) -> list[Path]:
        """Return the files of the world that the game may change."""
        mods = self.world / "worldmods"
        return [
            path for path in self.world.rglob("*") if path.is_file() and mods not in path.parents
        ]

    def close(self) -> None:
        """End the game and its X server and remove their files; may be called twice."""
        display = self.release_display()
        if display is not None:
            display.close()

    def release_display(self) -> VirtualDisplay | None:
        """End the game; return its X server for the next one, None if it has ended."""
        if self.input is not None:
            self.input.close()
            self.input = None
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        display, self.display = self.display, None
        if display is None:
            return None
        shutil.rmtree(display.folder / "world", ignore_errors=True)
        if display.running:
            return display
        display.close()
        return None

    # ---- the way to step 0 ----

    def _start(self, saved: SavedWorld) -> None:
        assert self.display is not None
        shutil.rmtree(self.world, ignore_errors=True)
        saved.copy_to(self.world)
        config: dict[str, Any] = {
            "mode": "play",
            "task": self._task.name,
            "seed": self.start.seed,
            "inventory": starting_inventory(self._task),
            "fov": vertical_fov(FRAME_SIZE),
            "aspect": FRAME_SIZE[0] / FRAME_SIZE[1],
        }
        if self.start.edit is not None:
            apply_edit(config, self.start.edit)
        (self.world / "basalt.json").write_text(json.dumps(config))
        (self.world / "keys").touch()
        settings = self.display.folder / "play.conf"
        settings.write_text(play_settings(self._window, game_version()))
        self.engine = Engine(self.display, settings, self.world, self._size, self._window)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (record := read_record(self.world)) is None:
            if not self.engine.running:
                raise WorldError(
                    f"the game exited at its start: {self.engine.process.last_error()}"
                )
            if time.monotonic() > deadline:
                raise WorldError(
                    f"the game did not start within {START_TIMEOUT_S:g} s: {self.engine.process.last_error()}"
                )
            time.sleep(0.02)
        if "refused" in record:
            raise ConfigError(f"seed {self.start.seed}: {record['refused']}")
        self.input = Input(self.display.name, self._window)
        self.input.take_window()
        for _ in range(_LOOKS):  # while it runs freely, its threads load the land in parallel
            self._turn()
            time.sleep(_FREE_LOOK_S)
        self.engine.lock()

    def _turn(self) -> None:
        """Look a quarter turn further to the right."""
        x, y = self._center
        self._input.move_pointer(x + _TURN // _LOOKS, y)
        self._input.flush()

    def _settle(self) -> None:
        """Tick until the land around the player is loaded: look around until no meshes are built any more.

        Nothing is drawn meanwhile.
        """
        looks = calm = 0
        for _ in range(_SETTLE_LIMIT):
            if looks == 0 or calm >= _SETTLED_TICKS:
                if looks == _LOOKS:
                    return
                looks, calm = looks + 1, 0
                self._turn()
            meshes = self._engine.tick(want_pixels=False).meshes
            calm = 0 if meshes else calm + 1
        raise WorldError(f"the land was not loaded after {_SETTLE_LIMIT} steps; call reset() again")

    def _await_age(self) -> None:
        """Let the game reach the age that it has at the beginning of every episode.

        The pictures of burning torches repeat every 3.3 s of its age, which depends on how fast it started.
        """
        self._engine.tick()
        record = read_record(self.world)
        if record is None:
            raise WorldError("the world's mod did not report the game's age; call reset() again")
        left_ns = round((AGE_S - float(record["uptime"])) % FLAMES_REPEAT_S * 1e9)
        while left_ns > 0:  # in a step longer than a second liquids would move only once
            part = min(left_ns, 1_000_000_000)
            self._engine.tick(part, want_pixels=False)
            left_ns -= part

    def _first_step(self, site: dict[str, Any]) -> Beginning:
        # The sky is drawn fastest; the mod sets where the player looks when the episode begins.
        x, y = self._center
        self._input.move_pointer(x, y - _TURN // 4)
        self._input.flush()
        self._await_age()
        (self.world / "begin").touch()
        record: dict[str, Any] | None = None
        for _ in range(100):
            # Only the frame after step -1 is used.
            tick = self._engine.tick(want_pixels=record is not None and record.get("step") == -1)
            record = read_record(self.world)
            if record and record.get("step") == 0:
                return Beginning(self._engine.frame(), record, tick, site)
        raise WorldError("the world's mod did not begin the episode; call reset() again")


class Games:
    """All games of one environment.

    Args:
        task: The task.
        size: Width and height of the frames in pixels.
        kept: Number of games that stay for soft resets, the last ones played; with 0 each reset starts a game.
    """

    def __init__(self, task: Task, size: tuple[int, int], kept: int) -> None:
        self._task, self._size, self._kept = task, size, kept
        self._played: list[Game] = []  # the one that is being played is the last
        self._background: _Background | None = None
        self._unwanted: list[_Background] = []  # games that end as soon as they have started

    def begin(self, start: Start) -> Game:
        """Return a game at the beginning of an episode: put back, started in the background, or started now.

        Raises:
            ConfigError: The seed or the edit is not valid.
            MissingDependencyError: Engine or X server are not installed.
            WorldError: The game does not start.
        """
        display = None
        kept = next((one for one in self._played if one.start == start), None)
        if kept is not None:
            restored = kept.restore()
            self._played.remove(kept)
            if restored:
                self._played.append(kept)
                return kept
            display = kept.release_display()
        game = self._started_in_background(start)
        while len(self._played) > max(0, self._kept - 1):
            released = self._played.pop(0).release_display()
            if display is None:
                display = released
            elif released is not None:
                released.close()
        if game is None:
            game = self._start(start, display)
        elif display is not None:
            display.close()
        self._played.append(game)
        return game

    def prepare(self, start: Start) -> None:
        """Start a game in the background, unless there is one; it replaces a game of another start that waits."""
        if self._kept and any(game.start == start for game in self._played):
            return
        if self._background is not None:
            if self._background.start == start:
                return
            self._background.discard()
            self._unwanted = [one for one in self._unwanted if one.is_starting]
            self._unwanted.append(self._background)
        self._background = _Background(start, self._start)

    def close(self) -> None:
        """End all games."""
        if self._background is not None:
            self._background.discard()
            self._unwanted.append(self._background)
            self._background = None
        while self._played:
            self._played.pop().close()
        while self._unwanted:
            self._unwanted.pop().wait()

    def _start(self, start: Start, display: VirtualDisplay | None = None) -> Game:
        return Game(self._task, start, self._size, display, snapshot=self._kept > 0)

    def _started_in_background(self, start: Start) -> Game | None:
        """Return the game if it was started and still runs."""
        if self._background is None or self._background.start != start:
            return None
        game = self._background.wait()
        self._background = None
        if game is not None and not game.running:  # killed while it waited
            game.close()
            return None
        return game


class _Background:
    """A game that is being started by another thread.

    Args:
        start: Seed and edit of its episode.
        make: Function that starts it.
    """

    def __init__(self, start: Start, make: Callable[[Start], Game]) -> None:
        self.start = start
        self._make = make
        self._game: Game | None = None
        self._unwanted = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        game = None
        # An error comes again, and is raised, when the game is started in the foreground.
        with contextlib.suppress(Exception):
            game = self._make(self.start)
        with self._lock:
            if not self._unwanted:
                self._game = game
                return
        if game is not None:
            game.close()

    @property
    def is_starting(self) -> bool:
        """Whether the game has not started yet."""
        return self._thread.is_alive()

    def wait(self) -> Game | None:
        """Wait for the game, and return it; None if it did not start."""
        self._thread.join()
        return self._game

    def discard(self) -> None:
        """End the game, or have it ended as soon as it has started."""
        with self._lock:
            self._unwanted = True
            game, self._game = self._game, None
        if game is not None:
            game.close()


def read_record(world: Path) -> dict[str, Any] | None:
    """Return the mod's last record in a world's folder, None before the first one."""
    try:
        record: dict[str, Any] = json.loads((world / "telemetry.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return record
