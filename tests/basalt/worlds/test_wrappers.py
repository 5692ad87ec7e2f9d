"""Numbered actions and pictures, on the toy world."""

import gymnasium
import numpy as np
import pytest

from basalt.core.actions import (
    ACTION_KEYS,
    EnvActions,
    env_to_indices,
    null_action,
    validate_action,
)
from basalt.io.errors import ActionError, ConfigError
from basalt.worlds.wrappers import (
    KEY_GROUPS,
    SIMPLE_ACTIONS,
    DiscreteActions,
    MultiDiscreteActions,
    PictureOnly,
)
from tests.support.toy_world import CountingWorld


@pytest.fixture
def world() -> CountingWorld:
    return CountingWorld(size=(64, 36))


def pressed(action) -> set[str]:
    return {key for key, value in action.items() if np.any(value)}


def test_a_number_stands_for_an_action_of_the_list(world) -> None:
    env = DiscreteActions(world, [{}, {"forward": 1, "camera": [0, 10]}, {"ESC": 1}])
    assert env.action_space == gymnasium.spaces.Discrete(3)
    assert pressed(env.action(0)) == set()
    assert pressed(env.action(np.int64(1))) == {"forward", "camera"}
    env.reset(seed=100_000)
    assert not env.step(1)[2]
    assert env.step(np.array(2))[2], "ESC ends the episode"


def test_the_simple_actions_neither_end_an_episode_nor_open_a_screen() -> None:
    keys = set().union(*(pressed(validate_action(one)) for one in SIMPLE_ACTIONS))
    assert not keys & {"ESC", "inventory"} and len(SIMPLE_ACTIONS) == 13


@pytest.mark.parametrize("action", [-1, 13, 1.0, "1", None, [0, 1]])
def test_other_numbers_are_refused(world, action) -> None:
    with pytest.raises(
        ActionError, match=r"^action: expected a (whole number|number from 0 to 12)"
    ):
        DiscreteActions(world).action(action)


def test_a_list_of_actions_is_checked(world) -> None:
    with pytest.raises(ConfigError, match="at least one action"):
        DiscreteActions(world, [])
    with pytest.raises(ActionError, match="unknown key 'fly'"):
        DiscreteActions(world, [{"fly": 1}])


def test_a_list_of_numbers_holds_a_key_of_each_group(world) -> None:
    env = MultiDiscreteActions(world, esc=True)
    assert env.action_space.nvec.tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 10, 11, 11, 2]
    assert pressed(env.action(env.null)) == set()
    chosen = env.null
    chosen[[0, 1, 8, 9, 10, 11]] = [2, 1, 9, 0, 8, 1]  # back, left, hotbar.9, up, right, ESC
    action = env.action(chosen)
    assert pressed(action) == {"back", "left", "hotbar.9", "camera", "ESC"}
    indices = env_to_indices(EnvActions.stack([action]))
    assert indices.camera.tolist() == [0 * 11 + 8] and indices.esc.all()
    keys = {key for keys in KEY_GROUPS for key in keys} | {"camera", "ESC"}
    assert keys == set(ACTION_KEYS) - {"pickItem", "swapHands"}, "the keys of VPT, and ESC"


def test_lists_of_other_numbers_are_refused(world) -> None:
    env = MultiDiscreteActions(world)
    good = env.null
    assert pressed(env.action(good.tolist())) == pressed(null_action())
    for wrong in (good[:-1], good.astype(float), good - 1, good + 11, None, "x"):
        with pytest.raises(ActionError, match=r"^action: expected 11 whole numbers"):
            env.action(wrong)


def test_pictures_are_what_the_world_shows(world) -> None:
    env = DiscreteActions(PictureOnly(world))
    small = gymnasium.wrappers.ResizeObservation(env, (20, 20))
    picture, _ = env.reset(seed=100_000)
    assert picture.shape == (36, 64, 3) and picture in env.observation_space
    observation, _ = small.reset(seed=100_000)
    assert observation.shape == (20, 20, 3) and observation in small.observation_space
    observation, reward, terminated, truncated, info = small.step(1)
    assert (
        observation.max() == 5 and "telemetry" in info and not (reward or terminated or truncated)
    )
