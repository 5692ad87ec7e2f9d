import pytest

from basalt.errors import ConfigError
from basalt.scoring import can_score, outcome, telemetry_judge
from basalt.tasks import get_task
from basalt.telemetry import Telemetry

CAVE = get_task("find_cave")


def states(inside, dug_down=False):
    return tuple(
        Telemetry(
            step=step, xpos=0, ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10, hotbar=0,
            held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=0,
            daylight=0, under_roof=True, distance_walked=0, dead=False,
            facts={"in_cave": bool(here), "dug_down": dug_down},
        )
        for step, here in enumerate(inside)
    )  # fmt: skip


def episode(inside, ended="esc", dug_down=False):
    return outcome(CAVE, states(inside, dug_down), ended)


def test_success_is_ending_the_episode_oneself_in_a_cave():
    assert episode([0, 0, 1]).success
    assert not episode([0, 1, 0]).success, "left the cave again"
    assert not episode([0, 0, 1], ended="limit").success, "did not know that it was done"
    assert not episode([0, 0, 1], ended="death").success
    assert not episode([0, 0, 1], dug_down=True).success, "dug down from the surface"


@pytest.mark.parametrize(
    ("left", "right", "winner"),
    [
        (([0, 1], "esc"), ([0, 0], "esc"), "left"),
        (([0, 1], "esc"), ([0, 0, 1], "esc"), "left"),
        (([0, 1], "esc"), ([1, 1], "esc"), "draw"),
        (([0, 1, 0], "limit"), ([0, 0, 0], "esc"), "left"),
        (([0, 0], "limit"), ([0, 0, 0], "esc"), "draw"),
    ],
)
def test_the_judge_and_its_mirror_image(left, right, winner):
    mirror = {"left": "right", "right": "left", "draw": "draw"}
    assert telemetry_judge(episode(*left), episode(*right)).winner == winner
    assert telemetry_judge(episode(*right), episode(*left)).winner == mirror[winner]


def test_what_cannot_be_scored_is_said():
    with pytest.raises(ConfigError, match="without telemetry"):
        outcome(CAVE, (), "esc")
    with pytest.raises(ConfigError, match="make_waterfall has no success"):
        outcome(get_task("make_waterfall"), (), "esc")


def test_a_world_that_does_not_tell_is_not_scored():
    silent = [state.model_copy(update={"facts": {}}) for state in states([1])]
    assert not can_score(CAVE, silent) and not can_score(CAVE, ())
    with pytest.raises(ConfigError, match="did not tell 'in_cave'"):
        outcome(CAVE, silent, "esc")
