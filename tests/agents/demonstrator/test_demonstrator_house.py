"""The script of BuildVillageHouse in the game."""

import numpy as np
import pytest

from agents.demonstrator.agent import Demonstrator
from basalt.core.scoring import outcome
from basalt.io.errors import ConfigError
from basalt.worlds import make_env

pytestmark = pytest.mark.engine
SEED = 100_001
CLICKS_BY = 200
"""Steps within which it opens a screen and clicks."""


def play(env, steps):
    """Telemetry of the script's first steps, and how they ended."""
    observation, info = env.reset(seed=SEED)
    script, states = Demonstrator(knowing=True), [info["telemetry"]]
    for k in range(steps):
        script.observe([info])
        action = script.act(observation["pov"][None], np.array([k == 0]))[0]
        observation, _, terminated, truncated, info = env.step(action)
        states.append(info["telemetry"])
        if terminated or truncated:
            break
    return states, info.get("ended", "cut")


@pytest.fixture
def env():
    env = make_env("build_village_house")
    yield env
    env.close()


@pytest.mark.long
def test_it_plays_the_same_again(env):
    """The way to the plot: positions, inventory, harm are all telemetry."""
    first, _ = play(env, 120)
    again, _ = play(env, 120)
    assert first == again
    assert first[-1].distance_walked > 5


def test_pictures_whose_forms_it_does_not_know_are_one_error():
    env = make_env("build_village_house", size=(320, 240))
    try:
        with pytest.raises(
            ConfigError, match="640x360 and smaller ones of that shape, not 320x240"
        ):
            play(env, 1)
    finally:
        env.close()


@pytest.mark.long
def test_it_plays_the_same_in_small_pictures(env):
    small = make_env("build_village_house", size=(128, 72))
    try:
        states, _ = play(small, CLICKS_BY)
    finally:
        small.close()
    assert any(state.gui_open for state in states), "it clicks"
    assert states == play(env, CLICKS_BY)[0]


@pytest.mark.long
def test_three_runs_are_the_same_in_every_step(env):
    runs = [play(env, 600)[0] for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    facts = runs[0][-1].facts
    assert facts["nodes_placed"] >= 1, "the crafting table stands"


@pytest.mark.long
def test_it_builds_a_house(env):
    states, ended = play(env, 9_000)
    assert outcome(env.unwrapped.task, states, ended).success
