"""Wrappers that give a world the spaces that reinforcement learning libraries expect: numbered actions, and pictures alone.

    env = gymnasium.make("basalt/FindCave-v0")
    env = DiscreteActions(PictureOnly(env))
    env = gymnasium.wrappers.ResizeObservation(env, (84, 84))

`agents.reward.env.LearnedReward` gives it a reward. All of them keep the referee's `info`, which a policy must not see.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from basalt.core.actions import (
    HOTBAR,
    N_CAMERA_BINS,
    NULL_CAMERA_BIN,
    bins_to_camera,
    validate_action,
)
from basalt.io.errors import ActionError, ConfigError

World = gymnasium.Env[Any, Any]

SIMPLE_ACTIONS: tuple[Mapping[str, Any], ...] = (
    {},
    {"forward": 1},
    {"forward": 1, "jump": 1},
    {"forward": 1, "sprint": 1},
    {"back": 1},
    {"left": 1},
    {"right": 1},
    {"attack": 1},
    {"use": 1},
    {"camera": (0, -10)},
    {"camera": (0, 10)},
    {"camera": (-10, 0)},
    {"camera": (10, 0)},
)
"""Actions for learning to move about: none of them ends the episode or opens the inventory."""

KEY_GROUPS: tuple[tuple[str, ...], ...] = (
    ("forward", "back"), ("left", "right"), ("sprint", "sneak"), ("jump",), ("attack",), ("use",), ("drop",),
    ("inventory",), HOTBAR,
)  # fmt: skip
"""Keys of each component of `MultiDiscreteActions`, at most one of which is held; its camera's pitch and yaw follow."""


class DiscreteActions(gymnasium.ActionWrapper[Any, Any, Any]):
    """An action is the number of one in a list.

    Args:
        env: The world.
        actions: The list, in MineRL's form; missing keys are not pressed.

    Raises:
        ConfigError: The list is empty.
        ActionError: One of its actions is not valid.
    """

    def __init__(self, env: World, actions: Sequence[Mapping[str, Any]] = SIMPLE_ACTIONS) -> None:
        super().__init__(env)
        if not actions:
            raise ConfigError("actions: expected at least one action, got none")
        self._actions = tuple(validate_action(one) for one in actions)
        self.action_space = spaces.Discrete(len(actions))

    def action(self, action: Any) -> dict[str, Any]:
        """The action of a number.

        Raises:
            ActionError: There is no such number.
        """
        number = np.asarray(action)
        if number.size != 1 or number.dtype.kind not in "iu":
            raise ActionError(f"action: expected a whole number, got {action!r}")
        if not 0 <= (index := int(number.reshape(()))) < len(self._actions):
            raise ActionError(
                f"action: expected a number from 0 to {len(self._actions) - 1}, got {index}"
            )
        return dict(self._actions[index])


class MultiDiscreteActions(gymnasium.ActionWrapper[Any, Any, Any]):
    """An action is a list of numbers: which key of each group of `KEY_GROUPS` is held, from 1, or 0; then the camera.

    The last two numbers are VPT's bins of pitch and yaw, 0 to 10; 5 does not move it. With `esc` one more, 0 or 1, presses ESC.

    Args:
        env: The world.
        esc: Whether an action can end the episode.
    """

    def __init__(self, env: World, *, esc: bool = False) -> None:
        super().__init__(env)
        self._esc = esc
        sizes = [*(len(keys) + 1 for keys in KEY_GROUPS), N_CAMERA_BINS, N_CAMERA_BINS]
        self.action_space = spaces.MultiDiscrete([*sizes, 2] if esc else sizes)

    @property
    def null(self) -> NDArray[np.int64]:
        """The action that presses nothing and does not move the camera, int64 [n]."""
        camera = [NULL_CAMERA_BIN] * 2
        return np.array([*[0] * len(KEY_GROUPS), *camera, *[0] * self._esc], dtype=np.int64)

    def action(self, action: Any) -> dict[str, Any]:
        """The action of a list of numbers.

        Raises:
            ActionError: It is not in the action space.
        """
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        sizes, numbers = self.action_space.nvec, np.asarray(action)
        whole = numbers.shape == sizes.shape and numbers.dtype.kind in "iu"
        if not whole or (numbers < 0).any() or (numbers >= sizes).any():
            raise ActionError(
                f"action: expected {len(sizes)} whole numbers from 0 to below {sizes.tolist()}, got {action!r}"
            )
        choices = numbers.astype(np.int64)
        groups = zip(KEY_GROUPS, choices[: len(KEY_GROUPS)], strict=True)
        pressed: dict[str, Any] = {keys[number - 1]: 1 for keys, number in groups if number}
        bins = choices[len(KEY_GROUPS) : len(KEY_GROUPS) + 2]
        if self._esc:
            pressed["ESC"] = int(choices[-1])
        return validate_action({**pressed, "camera": bins_to_camera(bins)})


class PictureOnly(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An observation is the picture itself, uint8 [height, width, 3], instead of a dictionary.

    Args:
        env: The world.
    """

    def __init__(self, env: World) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = env.observation_space["pov"]

    def observation(self, observation: Any) -> Any:
        """The picture of an observation."""
        return observation["pov"]
