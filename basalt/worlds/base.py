"""What all worlds share: spaces, checks of actions, and how an episode ends."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from basalt.core.actions import BUTTONS, CAMERA_LIMIT, FRAME_SIZE, validate_action
from basalt.core.tasks import STEPS_PER_SECOND, TRAIN_SEEDS, Task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.edits import Edit, edit_of

Frame = NDArray[np.uint8]
"""uint8 [height, width, 3] RGB, row 0 at the top."""


def action_space() -> spaces.Dict:
    """Return the space of MineRL's action dictionary: 23 buttons and the camera change in degrees."""
    camera = spaces.Box(-CAMERA_LIMIT, CAMERA_LIMIT, (2,), np.float32)
    return spaces.Dict({**{button: spaces.Discrete(2) for button in BUTTONS}, "camera": camera})


def observation_space(size: tuple[int, int]) -> spaces.Dict:
    """Return the space of observations: `pov`, uint8 [height, width, 3] RGB, and nothing else."""
    width, height = size
    return spaces.Dict({"pov": spaces.Box(0, 255, (height, width, 3), np.uint8)})


class WorldSettings(TypedDict, total=False):
    """Settings of every world's environment; see `WorldEnv`."""

    size: tuple[int, int]
    step_limit: int | None
    render_mode: str | None
    on_failure: Literal["raise", "truncate"]
    seeds: Sequence[int] | None


class WorldEnv(gymnasium.Env[dict[str, Frame], Mapping[str, Any]]):
    """One task in one world, in lock-step: a step is 50 ms of the game.

    The reward is always 0. An episode ends when the player presses ESC (terminated, after that step), when it
    dies (terminated) or at the step limit (truncated). `info` holds what only the referee may see:

    - `telemetry`: the player's state (`basalt.core.telemetry.Telemetry`), always;
    - `site`: what the world knows about the place, at reset;
    - `edit`: the change of the world, at the reset of an edited world (`basalt.worlds.edits`);
    - `applied`: what the step really did with the mouse;
    - `ended`: `"esc"`, `"death"` or `"limit"`, at the last step; `"crash"` if the world failed and was asked to
      truncate, and then `error` is the reason.

    Args:
        task: The task.
        size: Width and height of the frames in pixels.
        step_limit: Length of the longest episode in steps; the task's by default.
        render_mode: None or `rgb_array`.
        on_failure: What happens when the world fails in a step. `raise` raises a `WorldError`. `truncate` ends
            the episode, marked and with the previous frame, so that environments beside it can continue. Either
            way the next reset starts the world from scratch, and a reset that fails raises.
        seeds: Seeds that resets without a seed use in turn; random training seeds by default.

    Attributes:
        frame_buffer: Array into which the world may write the frames of steps instead of making one for each; steps
            then return this array. None by default.

    Raises:
        ConfigError: A size, limit, mode or list of seeds is not valid.
    """

    takes_edits = False
    """Whether the saved worlds can be edited."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": STEPS_PER_SECOND}  # noqa: RUF012

    def __init__(
        self,
        task: Task,
        size: tuple[int, int] = FRAME_SIZE,
        step_limit: int | None = None,
        render_mode: str | None = None,
        on_failure: Literal["raise", "truncate"] = "raise",
        seeds: Sequence[int] | None = None,
    ) -> None:
        if len(size) != 2 or not all(16 <= int(edge) <= 2048 for edge in size):
            raise ConfigError(f"size: expected width and height from 16 to 2048 pixels, got {size}")
        if step_limit is not None and step_limit < 1:
            raise ConfigError(f"step_limit: expected at least 1 step, got {step_limit}")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode: expected null or 'rgb_array', got {render_mode!r}")
        if on_failure not in ("raise", "truncate"):
            raise ConfigError(f"on_failure: expected 'raise' or 'truncate', got {on_failure!r}")
        if seeds is not None and len(seeds) == 0:
            raise ConfigError("seeds: expected at least one seed or null, got an empty list")
        self.task = task
        self.size = (int(size[0]), int(size[1]))
        self.step_limit = step_limit or task.step_limit
        self.render_mode = render_mode
        self.on_failure = on_failure
        self.frame_buffer: Frame | None = None
        self._seeds = None if seeds is None else tuple(int(seed) for seed in seeds)
        self._seeds_used = 0
        self.action_space = action_space()
        # Gymnasium types a dictionary's space by its inner spaces, an environment by its observations.
        self.observation_space = cast(Any, observation_space(self.size))
        self._last_frame: Frame | None = None
        self._last_telemetry: Telemetry | None = None
        self._edit: Edit | None = None
        self._steps = 0
        self._ended: str | None = "not begun"
        self._out_of_time = False  # set by a world with its own clock

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Begin the episode of a seed.

        Args:
            seed: Which place; the next one of `seeds`, or a random training seed, by default.
            options: `edit`, to change one thing in the world (`basalt.worlds.edits`).

        Raises:
            ConfigError: The edit is not valid, or the world takes no edits.
            WorldError: The world cannot start.
        """
        self._edit = edit_of(options)
        if self._edit is not None and not self.takes_edits:
            raise ConfigError("options.edit: this world takes no edits; use world=luanti")
        super().reset(seed=seed)
        if seed is None:
            seed = self._following_seed(self.np_random)
            self._seeds_used += 1
        self._ended = "not begun"
        self._steps = 0
        self._out_of_time = False
        try:
            self._last_frame, telemetry, site = self._begin(int(seed))
        except BaseException:
            self._discard()
            raise
        self._last_telemetry = telemetry
        self._ended = None
        info: dict[str, Any] = {"telemetry": telemetry, "site": site, "seed": int(seed)}
        if self._edit is not None:
            info["edit"] = self._edit.to_json()
        return {"pov": self._last_frame}, info

    def step(
        self, action: Mapping[str, Any]
    ) -> tuple[dict[str, Frame], float, bool, bool, dict[str, Any]]:
        """Play 50 ms with these keys held and this camera change.

        Raises:
            ActionError: The action is not valid; nothing was played.
            WorldError: The episode has ended, or the world failed and `on_failure` is `raise`.
        """
        checked = validate_action(action)
        if self._ended is not None:
            raise WorldError(f"no episode is running ({self._ended}); call reset() first")
        try:
            self._last_frame, telemetry, applied = self._advance(checked, self._steps + 1)
        except BaseException as err:
            self._ended = "the world failed"
            self._discard()  # the state is unknown in the middle of a step
            if self.on_failure == "truncate" and isinstance(err, WorldError):
                return self._crashed(checked, err)
            raise
        self._steps += 1
        self._last_telemetry = telemetry
        info: dict[str, Any] = {"telemetry": telemetry, "applied": applied}
        terminated = bool(checked["ESC"]) or telemetry.dead
        limit_reached = self._steps >= self.step_limit or self._out_of_time
        truncated = not terminated and limit_reached
        if terminated or truncated:
            self._ended = "esc" if checked["ESC"] else "death" if telemetry.dead else "limit"
            info["ended"] = self._ended
        return {"pov": self._last_frame}, 0.0, terminated, truncated, info

    def _crashed(
        self, action: Mapping[str, Any], err: WorldError
    ) -> tuple[dict[str, Frame], float, bool, bool, dict[str, Any]]:
        """Return the last state again, as the end of an episode that was not played to its end."""
        assert self._last_frame is not None
        applied = {"camera": np.zeros(2, np.float32), "asked": action["camera"]}
        info = {
            "telemetry": self._last_telemetry,
            "applied": applied,
            "ended": "crash",
            "error": str(err),
        }
        return {"pov": self._last_frame}, 0.0, False, True, info

    def _following_seed(self, rng: np.random.Generator) -> int:
        """Return the seed of the next reset without one, drawn by `rng` where it is random."""
        if self._seeds is not None:
            return self._seeds[self._seeds_used % len(self._seeds)]
        return int(rng.integers(TRAIN_SEEDS.start, TRAIN_SEEDS.stop))

    def render(self) -> Frame | None:
        """Return the last frame, in render mode `rgb_array`."""
        return self._last_frame if self.render_mode == "rgb_array" else None

    def _discard(self) -> None:
        """Discard state after a failure so that the next reset starts clean."""

    @abstractmethod
    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        """Start the world of a seed; return its first frame, the telemetry of step 0 and its site."""

    @abstractmethod
    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        """Play a complete, checked action; return frame, telemetry and what was applied."""
