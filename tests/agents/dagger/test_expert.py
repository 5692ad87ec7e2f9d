"""A walking agent is not labelled with turns towards what was not in view; a stuck one is."""

from typing import Any

import numpy as np
import pytest

from agents.dagger.expert import WalkingExpert, is_stuck, turns_blindly
from agents.dagger.onward import Onward
from agents.demonstrator import agent
from agents.demonstrator.imitable.find_cave import FindCave
from agents.demonstrator.imitable.strider import SLOW_STEPS
from basalt.core.actions import null_action
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
from tests.support.planted_land import SITE, START, Player, land, part, play
from tests.support.synthetic import telemetry

TURN = {"camera": np.array([1.8, -1.8])}


def at(x: float) -> Telemetry:
    return telemetry(0).model_copy(update={"xpos": x, "ypos": 0.0, "zpos": 0.0})


def label(**said: Any) -> Label:
    return Label(null_action() | said, cue_visible=False)


@pytest.mark.parametrize(
    ("said", "left_out"),
    [
        (TURN, True),
        (TURN | {"forward": 1, "sprint": 1}, True),
        (TURN | {"use": 1}, False),
        (TURN | {"ESC": 1}, False),
        ({"camera": np.array([9.0, 0.9])}, False),
        ({}, False),
    ],
)
def test_a_label_that_turns_to_what_was_not_in_view(said: dict[str, Any], left_out: bool) -> None:
    assert turns_blindly(label(**said)) is left_out
    assert not turns_blindly(Label(null_action() | said, cue_visible=True))
    assert not turns_blindly(Label(None, cue_visible=False))


@pytest.mark.parametrize(
    ("speed", "stuck"), [(0.2, False), (0.05, False), (0.04, True), (0.0, True)]
)
def test_who_moves_half_a_node_in_twelve_steps_is_not_stuck(speed: float, stuck: bool) -> None:
    states = [at(speed * step) for step in range(SLOW_STEPS + 1)]
    assert is_stuck(states) is stuck
    assert not is_stuck(states[1:])  # too early to say


class Turner:
    """A script that always says: turn."""

    def label(self, state: Telemetry) -> Label:
        return label(**TURN)


def test_turns_are_left_out_until_the_player_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "imitable_script", lambda *_: Turner())
    made = WalkingExpert()
    pov = np.zeros((2, 4, 4, 3), np.uint8)
    site = {"task": "make_waterfall", "spawn": (0, 0, 0)}
    said = []
    for step in range(40):
        # The first walks for 20 steps and then stands; the second stands, and begins another episode at step 30.
        infos: list[Any] = [{"telemetry": at(min(step, 20))}, {"telemetry": at(0)}]
        for row in range(2):
            if step == 0 or (row, step) == (1, 30):
                infos[row] |= {"site": site, "seed": 0}
        made.observe(infos)
        said.append([one.expert is not None for one in made.labels(pov)])
    first, second = np.array(said).T
    assert np.flatnonzero(first).tolist() == list(range(20 + SLOW_STEPS, 40))
    assert np.flatnonzero(second).tolist() == list(range(SLOW_STEPS, 30))


def sides(labels: list[Label]) -> np.ndarray:
    return np.array([one.expert["camera"][1] for one in labels if one.expert is not None])


@pytest.mark.parametrize("yaw", [-170.0, -100.0, -45.0, 0.0])
def test_it_walks_on_where_the_player_looks(yaw: float) -> None:
    """On level ground without anything in the way; the demonstrator turns to the right there."""
    player = Player(land(), yaw=yaw)
    labels = part(Onward(SITE, land()), player, 60)
    assert np.abs(sides(labels)).sum() < 10
    assert all(one.expert["forward"] for one in labels[5:] if one.expert is not None)
    assert np.abs(sides(part(FindCave(SITE, land()), Player(land(), yaw=yaw), 60))).sum() > 50


def test_it_walks_on_where_the_player_turned_to() -> None:
    """Somebody else turns the player half round in the middle; nothing turns it back."""
    player, script = Player(land()), Onward(SITE, land())
    part(script, player, 40)
    player.yaw = 150.0
    part(script, player, 10)  # the view comes to rest
    yaw = player.yaw
    later = part(script, player, 60)
    assert np.abs(sides(later)).sum() < 15
    assert player.yaw == pytest.approx(yaw, abs=15) and yaw > 140


def test_it_walks_around_what_is_in_the_way_and_into_a_cave_that_it_sees() -> None:
    ground = land((70, 60), tunnel=False)
    player = Player(ground, yaw=90.0)
    part(Onward(SITE, ground), player, 120)
    assert np.hypot(*(player.at - np.array(START))[[0, 2]]) > 12
    ground = land((85, 60))
    play(Onward(SITE, ground), Player(ground, yaw=90.0))  # to ESC
