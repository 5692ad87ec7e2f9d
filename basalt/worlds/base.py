"""What every world shares: spaces, the checks of actions, and how an episode ends."""

from abc import abstractmethod
from collections.abc import Mapping
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

Picture = NDArray[np.uint8]
"""uint8 [height, width, 3] RGB, row 0 at the top."""


def action_space() -> spaces.Dict:
    """MineRL's action dictionary: 23 buttons and the camera's change in degrees."""
    camera = spaces.Box(-CAMERA_LIMIT, CAMERA_LIMIT, (2,), np.float32)
    return spaces.Dict({**{button: spaces.Discrete(2) for button in BUTTONS}, "camera": camera})


def observation_space(size: tuple[int, int]) -> spaces.Dict:
    """Pixels only: ``pov``, uint8 [height, width, 3] RGB."""
    width, height = size
    return spaces.Dict({"pov": spaces.Box(0, 255, (height, width, 3), np.uint8)})


class WorldSettings(TypedDict, total=False):
    """What every world's environment may be given; see :class:`WorldEnv`."""

    size: tuple[int, int]
    step_limit: int | None
    render_mode: str | None
    on_failure: Literal["raise", "truncate"]


class WorldEnv(gymnasium.Env[dict[str, Picture], Mapping[str, Any]]):
    """One task in one world, in lock-step: a step is 50 ms of the game.

    The reward is always 0. An episode ends by ESC (terminated, after that step was played), by death
    (terminated) or at the step limit (truncated). ``info`` holds what only the referee may see:

    - ``telemetry``: :class:`~basalt.core.telemetry.Telemetry`, always;
    - ``site``: what is known of the place, at reset;
    - ``edit``: what the world's twin does not have, at the reset of one (:mod:`basalt.worlds.edits`);
    - ``applied``: what the step really did with the mouse;
    - ``ended``: ``"esc"``, ``"death"`` or ``"limit"``, on the last step; ``"crash"`` where the world failed
      and was asked to truncate, and then ``error`` is the reason.

    Args:
        task: the task.
        size: width and height of the picture in pixels.
        step_limit: longest episode in steps; default the task's.
        render_mode: None or ``rgb_array``.
        on_failure: ``raise`` a :class:`~basalt.io.errors.WorldError` out of the step in which the world failed;
            or ``truncate`` the episode there, marked, with the last picture again, so that many environments
            side by side go on. Either way the next reset starts the world anew, and a reset that fails raises.

    Raises:
        ConfigError: a size, limit or mode that makes no sense.
    """

    takes_edits = False
    """Whether the world's saved places can be edited."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": STEPS_PER_SECOND}  # noqa: RUF012

    def __init__(
        self,
        task: Task,
        size: tuple[int, int] = FRAME_SIZE,
        step_limit: int | None = None,
        render_mode: str | None = None,
        on_failure: Literal["raise", "truncate"] = "raise",
    ) -> None:
        if len(size) != 2 or not all(16 <= int(edge) <= 2048 for edge in size):
            raise ConfigError(f"size: {size} is not a width and a height from 16 to 2048 pixels")
        if step_limit is not None and step_limit < 1:
            raise ConfigError(f"step_limit: {step_limit} is not a positive number of steps")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode: {render_mode!r} is not 'rgb_array'")
        if on_failure not in ("raise", "truncate"):
            raise ConfigError(f"on_failure: {on_failure!r} is not 'raise' or 'truncate'")
        self.task = task
        self.size = (int(size[0]), int(size[1]))
        self.step_limit = step_limit or task.step_limit
        self.render_mode = render_mode
        self.on_failure = on_failure
        self.action_space = action_space()
        # Gymnasium types a dictionary's space by its inner spaces, an environment by its observations.
        self.observation_space = cast(Any, observation_space(self.size))
        self._picture: Picture | None = None
        self._telemetry_seen: Telemetry | None = None
        self._edit: Edit | None = None
        self._steps = 0
        self._over: str | None = "not begun"
        self._out_of_time = False  # set by a world that has a clock of its own

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Picture], dict[str, Any]]:
        """Begin an episode of the world with that seed; without one, of a random training seed.

        Args:
            seed: which place.
            options: ``edit``, to change one thing of it (:mod:`basalt.worlds.edits`).

        Raises:
            ConfigError: an edit that makes no sense, or in a world that takes none.
            WorldError: the world cannot start.
        """
        self._edit = edit_of(options)
        if self._edit is not None and not self.takes_edits:
            raise ConfigError("options.edit: this world takes no edits; world=luanti does")
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(TRAIN_SEEDS.start, TRAIN_SEEDS.stop))
        self._over = "not begun"
        self._steps = 0
        self._out_of_time = False
        try:
            self._picture, telemetry, site = self._begin(int(seed))
        except BaseException:
            self._abandon()
            raise
        self._telemetry_seen = telemetry
        self._over = None
        info: dict[str, Any] = {"telemetry": telemetry, "site": site, "seed": int(seed)}
        if self._edit is not None:
            info["edit"] = self._edit.to_json()
        return {"pov": self._picture}, info

    def step(
        self, action: Mapping[str, Any]
    ) -> tuple[dict[str, Picture], float, bool, bool, dict[str, Any]]:
        """Play 50 ms with these keys held and this camera change.

        Raises:
            ActionError: the action is not one; nothing was played.
            WorldError: the episode is over, or the world failed (and ``on_failure`` is ``raise``).
        """
        checked = validate_action(action)
        if self._over is not None:
            raise WorldError(f"the episode is over ({self._over}); call reset() first")
        try:
            self._picture, telemetry, applied = self._advance(checked, self._steps + 1)
        except BaseException as err:
            self._over = "the world failed"
            self._abandon()  # in the middle of a step nothing can be relied on
            if self.on_failure == "truncate" and isinstance(err, WorldError):
                return self._crashed(checked, err)
            raise
        self._steps += 1
        self._telemetry_seen = telemetry
        info: dict[str, Any] = {"telemetry": telemetry, "applied": applied}
        terminated = bool(checked["ESC"]) or telemetry.dead
        limit_reached = self._steps >= self.step_limit or self._out_of_time
        truncated = not terminated and limit_reached
        if terminated or truncated:
            self._over = "esc" if checked["ESC"] else "death" if telemetry.dead else "limit"
            info["ended"] = self._over
        return {"pov": self._picture}, 0.0, terminated, truncated, info

    def _crashed(
        self, action: Mapping[str, Any], err: WorldError
    ) -> tuple[dict[str, Picture], float, bool, bool, dict[str, Any]]:
        """The last state again, as the end of an episode that was not played to its end."""
        assert self._picture is not None
        applied = {"camera": np.zeros(2, np.float32), "asked": action["camera"]}
        info = {
            "telemetry": self._telemetry_seen,
            "applied": applied,
            "ended": "crash",
            "error": str(err),
        }
        return {"pov": self._picture}, 0.0, False, True, info

    def render(self) -> Picture | None:
        """The last picture, in render mode ``rgb_array``."""
        return self._picture if self.render_mode == "rgb_array" else None

    def _abandon(self) -> None:
        """Something failed: leave what cannot be relied on any more, so that a reset begins anew."""

    @abstractmethod
    def _begin(self, seed: int) -> tuple[Picture, Telemetry, dict[str, Any]]:
        """Start the seed's world; return its first picture, telemetry of step 0, and its site."""

    @abstractmethod
    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Picture, Telemetry, dict[str, Any]]:
        """Play a complete, checked action; return picture, telemetry and what was applied."""
