"""The Gymnasium environment of the Luanti world."""

import json
import shutil
import time
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from basalt.core.actions import BUTTONS
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.core.tasks import Task
from basalt.core.telemetry import Creature, SlotItem, Telemetry
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.base import Picture, WorldEnv, WorldSettings
from basalt.worlds.luanti.cursor import draw_cursor
from basalt.worlds.luanti.edit import apply_edit
from basalt.worlds.luanti.engine import START_TIMEOUT_S, Engine, Tick, open_display
from basalt.worlds.luanti.input import Input
from basalt.worlds.luanti.items import minecraft_name, starting_inventory
from basalt.worlds.luanti.settings import (
    AGE_S,
    FLAMES_REPEAT_S,
    MOD_KEYS,
    PITCH_LIMIT,
    play_settings,
    vertical_fov,
)
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import SavedWorld, saved_world
from basalt.worlds.processes import VirtualDisplay

_SETTLED_TICKS = 2
_SETTLED_DIFFERENCE = 0.2
_SETTLE_LIMIT = 400
_LOOKS = 4
_FREE_LOOK_S = 0.1
"""Real time for each look round before the game is stopped; longer makes a reset no shorter."""

_TURN = round(360 / DEGREES_PER_PIXEL)


class LuantiEnv(WorldEnv):
    """A task in the Luanti engine; see :class:`~basalt.worlds.base.WorldEnv`.

    The X server lives as long as the environment; the game is started anew for every episode, on a
    fresh copy of the seed's saved world.

    Raises:
        MissingDependencyError: (from ``reset``) engine, X server or C compiler are not installed.
    """

    takes_edits = True

    def __init__(self, task: Task, **settings: Unpack[WorldSettings]) -> None:
        super().__init__(task, **settings)
        self.last_tick: Tick | None = None
        self._display: VirtualDisplay | None = None
        self._engine: Engine | None = None
        self._input: Input | None = None
        self._world: Path | None = None

    @property
    def version(self) -> str:
        """Version of the task's world: episodes of different versions are never compared."""
        return world_version(self.task)

    @property
    def display(self) -> VirtualDisplay:
        """The X server.

        Raises:
            WorldError: there is none; call ``reset``.
        """
        if self._display is None:
            raise WorldError("there is no X server; call reset()")
        return self._display

    @property
    def engine(self) -> Engine:
        """The running game.

        Raises:
            WorldError: there is none; call ``reset``.
        """
        if self._engine is None:
            raise WorldError("the game is not running; call reset()")
        return self._engine

    @property
    def engine_pid(self) -> int | None:
        """The running game's process id, None where it is gone."""
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

    def _begin(self, seed: int) -> tuple[Picture, Telemetry, dict[str, Any]]:
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
        orders: dict[str, Any] = {
            "mode": "play",
            "task": self.task.name,
            "seed": seed,
            "inventory": starting_inventory(self.task),
            "fov": vertical_fov(self.size),
            "aspect": self.size[0] / self.size[1],
        }
        if self._edit is not None:
            apply_edit(orders, self._edit)
        (self._world / "basalt.json").write_text(json.dumps(orders))
        config = display.folder / "play.conf"
        config.write_text(play_settings(self.size))
        self._engine = Engine(display, config, self._world, self.size)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (record := self._read_record()) is None:
            if not self._engine.running:
                raise WorldError(
                    f"the game ended at its start: {self._engine.process.last_error()}"
                )
            if time.monotonic() > deadline:
                raise WorldError(
                    f"the game did not start within {START_TIMEOUT_S:g} s: {self._engine.process.last_error()}"
                )
            time.sleep(0.02)
        if "refused" in record:
            raise ConfigError(f"seed {seed}: {record['refused']}")
        self._input = Input(display.name, self.size)
        self._input.take_window()
        for _ in range(_LOOKS):  # running freely, its threads bring the land side by side
            self._turn()
            time.sleep(_FREE_LOOK_S)
        self._engine.lock()

    def _turn(self) -> None:
        """Look a quarter further round."""
        assert self._input is not None
        self._input.move_pointer(self.size[0] // 2 + _TURN // _LOOKS, self.size[1] // 2)
        self._input.flush()

    def _settle(self) -> None:
        """Tick until the land around the player is there: look about until no picture changes.

        Only every fourth pixel each way is compared: land that comes into sight changes many.
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
            picture = self.engine.glance().astype(np.int16)
            calm = calm + 1 if np.abs(picture - before).mean() < _SETTLED_DIFFERENCE else 0
            before = picture
        raise WorldError(f"the picture did not settle within {_SETTLE_LIMIT} steps")

    def _await_age(self) -> None:
        """Let the game become as old as at the beginning of every episode.

        The pictures of burning torches repeat every 3.3 s of its age, which depends on how fast it started.
        """
        self.engine.tick()
        record = self._read_record()
        if record is None:
            raise WorldError("the world's mod does not tell the game's age")
        left_ns = round((AGE_S - float(record["uptime"])) % FLAMES_REPEAT_S * 1e9)
        while left_ns > 0:  # in a longer step than a second liquids would move only once
            part = min(left_ns, 1_000_000_000)
            self.engine.tick(part, want_picture=False)
            left_ns -= part

    def _first_step(self, site: dict[str, Any]) -> tuple[Picture, Telemetry, dict[str, Any]]:
        assert self._world is not None and self._input is not None
        # The sky is drawn quickest; as the episode begins the mod sets where the player looks.
        self._input.move_pointer(self.size[0] // 2, self.size[1] // 2 - _TURN // 4)
        self._input.flush()
        self._await_age()
        (self._world / "begin").touch()
        record: dict[str, Any] | None = None
        for _ in range(100):
            # Only the last picture, after step -1, is looked at. Every third is read nevertheless: a
            # renderer that ran further ahead would hold more memory.
            read = record is None or record.get("step", -1) % 3 == 2
            tick = self.engine.tick(want_picture=read)
            record = self._read_record()
            if record and record.get("step") == 0:
                break
        else:
            raise WorldError("the world's mod did not begin the episode")
        self.last_tick = tick
        self._gui_open = tick.cursor_shown
        self._remainder = np.zeros(2)
        self._letters = ""
        self._cursor = self.size[0] // 2, self.size[1] // 2
        self._pitch = float(record["pitch"])
        return self.engine.picture(), self._telemetry(record, 0), dict(site)

    def _abandon(self) -> None:
        self.close()  # the X server too is made anew

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Picture, Telemetry, dict[str, Any]]:
        assert self._input is not None
        was_open = self._gui_open
        dy, dx = self._whole_pixels(action["camera"])
        if was_open:
            dx, dy = self._move_cursor(dx, dy)
        else:
            dy = self._limit_pitch(dy)
            if dx or dy:
                self._input.move_pointer(self.size[0] // 2 + dx, self.size[1] // 2 + dy)
        held = {button for button in BUTTONS if action[button]}
        self._input.hold(held)
        self._hold_in_mod(held)
        self._input.flush()
        tick = self.last_tick = self.engine.tick()
        record = self._read_record()
        if record is None or record.get("step") != step:
            raise WorldError(
                f"telemetry is out of step: expected {step}, got {record and record.get('step')}"
            )
        self._gui_open = tick.cursor_shown
        if was_open != self._gui_open:
            # The game drops the mouse movement of the step in which a form opens or closes.
            dx = dy = 0
            self._cursor = self.size[0] // 2, self.size[1] // 2
            self._input.move_pointer(*self._cursor)
        elif not was_open:
            self._pitch += dy * DEGREES_PER_PIXEL
        picture = self.engine.picture()
        if self._gui_open:
            draw_cursor(picture, *self._cursor)
        applied = {
            "camera": np.array([dy, dx], np.float32) * np.float32(DEGREES_PER_PIXEL),
            "asked": action["camera"],
            "dx": dx,
            "dy": dy,
            "x": self._cursor[0],
            "y": self._cursor[1],
        }
        return picture, self._telemetry(record, step), applied

    def _hold_in_mod(self, held: set[str]) -> None:
        """The keys for which the game has no function reach the mod by a file."""
        letters = "".join(letter for key, letter in MOD_KEYS.items() if key in held)
        if letters != self._letters:
            assert self._world is not None
            (self._world / "keys").write_text(letters)
            self._letters = letters

    def _whole_pixels(self, camera: np.ndarray) -> tuple[int, int]:
        """Pixels of [pitch, yaw] degrees; what is less than a pixel is kept for the next step."""
        wanted = camera.astype(np.float64) / DEGREES_PER_PIXEL + self._remainder
        whole = np.rint(wanted)
        self._remainder = wanted - whole
        return int(whole[0]), int(whole[1])

    def _limit_pitch(self, dy: int) -> int:
        lowest = int((-PITCH_LIMIT - self._pitch) / DEGREES_PER_PIXEL)
        highest = int((PITCH_LIMIT - self._pitch) / DEGREES_PER_PIXEL)
        return max(lowest, min(highest, dy))

    def _move_cursor(self, dx: int, dy: int) -> tuple[int, int]:
        """Move the cursor of an open form within the window; the pixels it really moved."""
        assert self._input is not None
        x = max(0, min(self.size[0] - 1, self._cursor[0] + dx))
        y = max(0, min(self.size[1] - 1, self._cursor[1] + dy))
        moved = x - self._cursor[0], y - self._cursor[1]
        if any(moved):
            self._cursor = x, y
            self._input.move_pointer(x, y)
        return moved

    def _read_record(self) -> dict[str, Any] | None:
        """The mod's last record, None before the first one."""
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
    """The animals or villagers of a record; None where the task has none."""
    if sort not in record:
        return None
    # The mod writes an empty list as null.
    return tuple(
        Creature(kind=one["kind"], id=int(one["id"]), position=one["position"])
        for one in record[sort] or ()
    )


def _whole(value: Any) -> Any:
    """The mod writes every number with a decimal point; counts are whole."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
