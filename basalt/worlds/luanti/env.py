"""The Gymnasium environment of the Luanti world."""

import json
import shutil
import time
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from basalt.core.actions import BUTTONS, FRAME_SIZE
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.core.tasks import Task
from basalt.core.telemetry import Creature, SlotItem, Telemetry
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.base import Frame, WorldEnv, WorldSettings
from basalt.worlds.luanti.cursor import draw_cursor
from basalt.worlds.luanti.edit import apply_edit
from basalt.worlds.luanti.engine import START_TIMEOUT_S, Engine, Tick, open_display
from basalt.worlds.luanti.game import game_version
from basalt.worlds.luanti.input import Input
from basalt.worlds.luanti.items import minecraft_name, starting_inventory
from basalt.worlds.luanti.settings import (
    AGE_S,
    FLAMES_REPEAT_S,
    MOD_KEYS,
    PITCH_LIMIT,
    play_settings,
    vertical_fov,
    window_size,
)
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import SavedWorld, saved_world
from basalt.worlds.processes import VirtualDisplay

_SETTLED_TICKS = 2
_SETTLED_DIFFERENCE = 0.2
_SETTLE_LIMIT = 400
_LOOKS = 4
_FREE_LOOK_S = 0.1
"""Real time in seconds of each look around before the game is stopped; a longer one shortens no reset."""

_TURN = round(360 / DEGREES_PER_PIXEL)


class LuantiEnv(WorldEnv):
    """A task in the Luanti engine; see `basalt.worlds.base.WorldEnv`.

    The X server lives as long as the environment. The game is started for every episode, on a fresh copy of the
    seed's saved world; `reset` raises a `MissingDependencyError` if engine, X server or C compiler are not installed.

    Args:
        task: The task.
        render_every: Draw only every n-th step, and the last one where that is known before it is played; the steps
            between return copies of the frame drawn last. The game is the same, telemetry included, and faster.
        settings: See `WorldEnv`.
    """

    takes_edits = True

    def __init__(
        self, task: Task, render_every: int = 1, **settings: Unpack[WorldSettings]
    ) -> None:
        super().__init__(task, **settings)
        if not isinstance(render_every, int) or render_every < 1:
            raise ConfigError(
                f"render_every: expected an integer of at least 1, got {render_every}"
            )
        self._render_every = render_every
        self.last_tick: Tick | None = None
        self._display: VirtualDisplay | None = None
        self._engine: Engine | None = None
        self._input: Input | None = None
        self._world: Path | None = None
        self._gui_open = False
        self._window = window_size(self.size)
        self._cursor = self._center
        self._pitch = 0.0
        self._remainder = np.zeros(2)  # part of a pixel, [pitch, yaw], that is still to be turned
        self._mod_keys = ""

    @property
    def _center(self) -> tuple[int, int]:
        return self._window[0] // 2, self._window[1] // 2

    @property
    def version(self) -> str:
        """Version of the task's world: episodes of different versions are never compared."""
        return world_version(self.task)

    @property
    def display(self) -> VirtualDisplay:
        """The X server.

        Raises:
            WorldError: It was not started; call `reset`.
        """
        if self._display is None:
            raise WorldError("the X server is not running; call reset()")
        return self._display

    @property
    def engine(self) -> Engine:
        """The running game.

        Raises:
            WorldError: It was not started; call `reset`.
        """
        if self._engine is None:
            raise WorldError("the game is not running; call reset()")
        return self._engine

    @property
    def engine_pid(self) -> int | None:
        """Process id of the running game, None after it has exited."""
        return None if self._engine is None else self._engine.process.pid

    def close(self) -> None:
        """End the game and the X server and remove their files."""
        self._stop_game()
        if self._display is not None:
            self._display.close()
            self._display = None

    def _stop_game(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if self._world is not None:
            shutil.rmtree(self._world, ignore_errors=True)
            self._world = None

    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        saved = saved_world(self.task, seed)
        self._stop_game()
        try:
            if self._display is not None and not self._display.running:
                self._display.close()
                self._display = None
            if self._display is None:
                self._display = open_display()
            self._start_game(self._display, saved, seed)
            self._settle()
            return self._first_step(saved.site)
        except OSError as err:
            raise WorldError(f"the world cannot start: {err}") from err

    def _start_game(self, display: VirtualDisplay, saved: SavedWorld, seed: int) -> None:
        self._world = display.folder / "world"
        shutil.rmtree(self._world, ignore_errors=True)
        saved.copy_to(self._world)
        config: dict[str, Any] = {
            "mode": "play",
            "task": self.task.name,
            "seed": seed,
            "inventory": starting_inventory(self.task),
            "fov": vertical_fov(FRAME_SIZE),
            "aspect": FRAME_SIZE[0] / FRAME_SIZE[1],
        }
        if self._edit is not None:
            apply_edit(config, self._edit)
        (self._world / "basalt.json").write_text(json.dumps(config))
        (self._world / "keys").touch()
        settings = display.folder / "play.conf"
        settings.write_text(play_settings(self._window, game_version()))
        self._engine = Engine(display, settings, self._world, self.size, self._window)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (record := self._read_record()) is None:
            if not self._engine.running:
                raise WorldError(
                    f"the game exited at its start: {self._engine.process.last_error()}"
                )
            if time.monotonic() > deadline:
                raise WorldError(
                    f"the game did not start within {START_TIMEOUT_S:g} s: {self._engine.process.last_error()}"
                )
            time.sleep(0.02)
        if "refused" in record:
            raise ConfigError(f"seed {seed}: {record['refused']}")
        self._input = Input(display.name, self._window)
        self._input.take_window()
        for _ in range(_LOOKS):  # while it runs freely, its threads load the land in parallel
            self._turn()
            time.sleep(_FREE_LOOK_S)
        self._engine.lock()

    def _turn(self) -> None:
        """Look a quarter turn further to the right."""
        assert self._input is not None
        x, y = self._center
        self._input.move_pointer(x + _TURN // _LOOKS, y)
        self._input.flush()

    def _settle(self) -> None:
        """Tick until the land around the player is loaded: look around until the frames stop changing.

        Only every fourth pixel each way is compared, since land that comes into sight changes many.
        """
        before = np.zeros_like(self.engine.glance(), np.int16)
        looks = calm = 0
        for _ in range(_SETTLE_LIMIT):
            if looks == 0 or calm >= _SETTLED_TICKS:
                if looks == _LOOKS:
                    return
                looks, calm = looks + 1, 0
                self._turn()
            self.engine.tick()
            glance = self.engine.glance().astype(np.int16)
            calm = calm + 1 if np.abs(glance - before).mean() < _SETTLED_DIFFERENCE else 0
            before = glance
        raise WorldError(
            f"the frames still changed after {_SETTLE_LIMIT} steps; call reset() again"
        )

    def _await_age(self) -> None:
        """Let the game reach the age that it has at the beginning of every episode.

        The pictures of burning torches repeat every 3.3 s of its age, which depends on how fast it started.
        """
        self.engine.tick()
        record = self._read_record()
        if record is None:
            raise WorldError("the world's mod did not report the game's age; call reset() again")
        left_ns = round((AGE_S - float(record["uptime"])) % FLAMES_REPEAT_S * 1e9)
        while left_ns > 0:  # in a step longer than a second liquids would move only once
            part = min(left_ns, 1_000_000_000)
            self.engine.tick(part, want_pixels=False)
            left_ns -= part

    def _first_step(self, site: dict[str, Any]) -> tuple[Frame, Telemetry, dict[str, Any]]:
        assert self._world is not None and self._input is not None
        # The sky is drawn fastest; the mod sets where the player looks when the episode begins.
        x, y = self._center
        self._input.move_pointer(x, y - _TURN // 4)
        self._input.flush()
        self._await_age()
        (self._world / "begin").touch()
        record: dict[str, Any] | None = None
        for _ in range(100):
            # Only the frame after step -1 is used.
            tick = self.engine.tick(want_pixels=record is not None and record.get("step") == -1)
            record = self._read_record()
            if record and record.get("step") == 0:
                break
        else:
            raise WorldError("the world's mod did not begin the episode; call reset() again")
        self.last_tick = tick
        self._gui_open = tick.cursor_shown
        self._remainder = np.zeros(2)
        self._mod_keys = ""
        self._cursor = self._center
        self._pitch = float(record["pitch"])
        return self.engine.frame(), self._telemetry(record, 0), dict(site)

    def _discard(self) -> None:
        self.close()  # including the X server

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        assert self._input is not None
        was_open = self._gui_open
        dy, dx = self._whole_pixels(action["camera"])
        if was_open:
            dx, dy = self._move_cursor(dx, dy)
        else:
            dy = self._limit_pitch(dy)
            if dx or dy:
                x, y = self._center
                self._input.move_pointer(x + dx, y + dy)
        held = {button for button in BUTTONS if action[button]}
        self._input.hold(held)
        self._hold_in_mod(held)
        self._input.flush()
        drawn = step % self._render_every == 0 or bool(action["ESC"]) or step == self.step_limit
        tick = self.last_tick = self.engine.tick(want_pixels=drawn)
        record = self._read_record()
        if record is None or record.get("step") != step:
            raise WorldError(
                f"telemetry: expected step {step}, got {record and record.get('step')}; call reset()"
            )
        self._gui_open = tick.cursor_shown
        if was_open != self._gui_open:
            # The game drops the mouse movement of the step in which a screen opens or closes.
            dx = dy = 0
            self._cursor = self._center
            self._input.move_pointer(*self._cursor)
        elif not was_open:
            self._pitch += dy * DEGREES_PER_PIXEL
        # A copy, so that a caller may change what it was given.
        last = self._last_frame
        frame = self._frame() if drawn or last is None else last.copy()
        applied = {
            "camera": np.array([dy, dx], np.float32) * np.float32(DEGREES_PER_PIXEL),
            "asked": action["camera"],
            "dx": dx,
            "dy": dy,
            "x": self._cursor[0],
            "y": self._cursor[1],
        }
        return frame, self._telemetry(record, step), applied

    def _frame(self) -> Frame:
        frame = self.engine.frame()
        if self._gui_open:
            draw_cursor(frame, *self._cursor, self._window)
        return frame

    def _hold_in_mod(self, held: set[str]) -> None:
        """Pass the keys for which the game has no function to the mod, in a file."""
        letters = "".join(letter for key, letter in MOD_KEYS.items() if key in held)
        if letters != self._mod_keys:
            assert self._world is not None
            (self._world / "keys").write_text(letters)
            self._mod_keys = letters

    def _whole_pixels(self, camera: np.ndarray) -> tuple[int, int]:
        """Return the pixels of [pitch, yaw] degrees; parts of a pixel are kept for the next step."""
        wanted = camera.astype(np.float64) / DEGREES_PER_PIXEL + self._remainder
        whole = np.rint(wanted)
        self._remainder = wanted - whole
        return int(whole[0]), int(whole[1])

    def _limit_pitch(self, dy: int) -> int:
        lowest = int((-PITCH_LIMIT - self._pitch) / DEGREES_PER_PIXEL)
        highest = int((PITCH_LIMIT - self._pitch) / DEGREES_PER_PIXEL)
        return max(lowest, min(highest, dy))

    def _move_cursor(self, dx: int, dy: int) -> tuple[int, int]:
        """Move the cursor of an open screen within the window; return the pixels it really moved."""
        assert self._input is not None
        x = max(0, min(self._window[0] - 1, self._cursor[0] + dx))
        y = max(0, min(self._window[1] - 1, self._cursor[1] + dy))
        moved = x - self._cursor[0], y - self._cursor[1]
        if any(moved):
            self._cursor = x, y
            self._input.move_pointer(x, y)
        return moved

    def _read_record(self) -> dict[str, Any] | None:
        """Return the mod's last record, None before the first one."""
        assert self._world is not None
        try:
            return json.loads((self._world / "telemetry.json").read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def _telemetry(self, record: dict[str, Any], step: int) -> Telemetry:
        yaw = (record["yaw"] + 180.0) % 360.0 - 180.0
        return Telemetry(
            step=step,
            xpos=record["x"],
            ypos=record["y"],
            zpos=record["z"],
            yaw=180.0 if yaw == -180.0 else yaw,
            pitch=record["pitch"],
            health=max(0, record["health"]),
            breath=max(0, record["breath"]),
            hotbar=int(record["hotbar"]),
            held=minecraft_name(record["held"]),
            inventory=tuple(
                SlotItem(
                    type=minecraft_name(item["type"]),
                    quantity=int(item["quantity"]),
                    slot=int(item["slot"]),
                )
                for item in record["inventory"] or ()
            ),
            gui_open=self._gui_open,
            on_ground=record["on_ground"],
            in_liquid=record["in_liquid"],
            light=int(record["light"]),
            daylight=int(record["daylight"]),
            under_roof=record["under_roof"],
            distance_walked=record["distance_walked"],
            dead=record["dead"],
            animals=_creatures(record, "animals"),
            villagers=_creatures(record, "villagers"),
            placed_at=record.get("placed_at"),
            facts={name: _whole(value) for name, value in record["facts"].items()},
        )


def _creatures(record: dict[str, Any], sort: str) -> tuple[Creature, ...] | None:
    """Return the animals or villagers of a record; None if the task has none."""
    if sort not in record:
        return None
    # The mod writes an empty list as null.
    return tuple(
        Creature(
            kind=one["kind"], id=int(one["id"]), position=one["position"], in_view=one["in_view"]
        )
        for one in record[sort] or ()
    )


def _whole(value: Any) -> Any:
    """The mod writes every number with a decimal point; counts are whole."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
