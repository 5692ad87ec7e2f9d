"""The Gymnasium environment of the Luanti world."""

from copy import deepcopy
from typing import Any, Unpack

import numpy as np

from basalt.core.actions import BUTTONS, FRAME_SIZE
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.core.tasks import Task
from basalt.core.telemetry import Creature, SlotItem, Telemetry
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.base import Frame, WorldEnv, WorldSettings
from basalt.worlds.edits import Edit
from basalt.worlds.luanti.cursor import draw_cursor
from basalt.worlds.luanti.engine import Engine, Tick
from basalt.worlds.luanti.games import Game, Games, Start, read_record
from basalt.worlds.luanti.input import Input
from basalt.worlds.luanti.items import minecraft_name
from basalt.worlds.luanti.settings import MOD_KEYS, PITCH_LIMIT, window_size
from basalt.worlds.luanti.version import world_version
from basalt.worlds.processes import VirtualDisplay

_WIDEST = 2048
"""Width in pixels of the widest window; the X screen has room for it."""


class LuantiEnv(WorldEnv):
    """A task in the Luanti engine; see `basalt.worlds.base.WorldEnv`.

    By default the game is started for every episode, on a fresh copy of the seed's saved world, and the X server
    lives as long as the environment; `reset` raises a `MissingDependencyError` if engine, X server or C compiler
    are not installed.

    Args:
        task: The task.
        render_every: Draw only every n-th step, and the last one where that is known before it is played; the steps
            between return copies of the frame drawn last. The game is the same, telemetry included, and faster.
        kept_games: Number of games that stay for soft resets, those played last: a reset to the seed and edit of one
            of them puts it back to its beginning instead of starting another game. The episode is the same.
        prepare_next: Start the game of the next episode in the background while this one is played. It is that of
            the seed that a `reset` without a seed will choose; see also `prepare`.
        settings: See `WorldEnv`.
    """

    takes_edits = True

    def __init__(
        self,
        task: Task,
        render_every: int = 1,
        kept_games: int = 0,
        prepare_next: bool = False,
        **settings: Unpack[WorldSettings],
    ) -> None:
        super().__init__(task, **settings)
        if not isinstance(render_every, int) or render_every < 1:
            raise ConfigError(
                f"render_every: expected an integer of at least 1, got {render_every}"
            )
        if not isinstance(kept_games, int) or kept_games < 0:
            raise ConfigError(f"kept_games: expected an integer of at least 0, got {kept_games}")
        if not isinstance(prepare_next, bool):
            raise ConfigError(f"prepare_next: expected true or false, got {prepare_next!r}")
        self._window = window_size(self.size)
        if self._window[0] > _WIDEST:
            raise ConfigError(
                f"size: expected a frame at most {_WIDEST / FRAME_SIZE[1]:.1f} times as wide as high, got {self.size}"
            )
        self._render_every = render_every
        self._prepare_next = prepare_next
        self.last_tick: Tick | None = None
        self._games = Games(task, self.size, kept_games)
        self._game: Game | None = None
        self._gui_open = False
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
        """The X server of the game that is being played.

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

    @property
    def _display(self) -> VirtualDisplay | None:
        return None if self._game is None else self._game.display

    @property
    def _engine(self) -> Engine | None:
        return None if self._game is None else self._game.engine

    @property
    def _playing(self) -> Game:
        assert self._game is not None
        return self._game

    @property
    def _input(self) -> Input:
        assert self._playing.input is not None
        return self._playing.input

    def close(self) -> None:
        """End all games and X servers and remove their files."""
        self._game = None
        self._games.close()

    def prepare(self, seed: int, edit: Edit | None = None) -> None:
        """Start the game of a later reset in the background; a reset to that seed then waits only for what is left.

        Args:
            seed: Which place.
            edit: Change of the world that the reset will ask for.
        """
        self._games.prepare(Start(seed, edit))

    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        self._game = None
        game = self._game = self._games.begin(Start(seed, self._edit))
        beginning = game.beginning
        self.last_tick = beginning.tick
        self._gui_open = beginning.tick.cursor_shown
        self._remainder = np.zeros(2)
        self._mod_keys = ""
        self._cursor = self._center
        self._pitch = float(beginning.record["pitch"])
        if self._prepare_next:
            self.prepare(self._following_seed(deepcopy(self.np_random)))
        return (
            beginning.frame.copy(),
            self._telemetry(beginning.record, 0),
            deepcopy(beginning.site),
        )

    def _discard(self) -> None:
        self.close()  # including X servers and games that are kept

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        game = self._playing
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
        record = read_record(game.world)
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
        last = self._last_frame
        if drawn or last is None:
            frame = self._frame()
        else:  # a copy, so that a caller may change what it was given
            frame = last if last is self.frame_buffer else last.copy()
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
        frame = self.engine.frame(self.frame_buffer)
        if self._gui_open:
            draw_cursor(frame, *self._cursor, self._window)
        return frame

    def _hold_in_mod(self, held: set[str]) -> None:
        """Pass the keys for which the game has no function to the mod, in a file."""
        letters = "".join(letter for key, letter in MOD_KEYS.items() if key in held)
        if letters != self._mod_keys:
            (self._playing.world / "keys").write_text(letters)
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
        x = max(0, min(self._window[0] - 1, self._cursor[0] + dx))
        y = max(0, min(self._window[1] - 1, self._cursor[1] + dy))
        moved = x - self._cursor[0], y - self._cursor[1]
        if any(moved):
            self._cursor = x, y
            self._input.move_pointer(x, y)
        return moved

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
