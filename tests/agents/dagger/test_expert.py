"""A walking agent is not labelled with turns towards what was not in view; a stuck one is."""

from typing import Any

import numpy as np
import pytest

from agents.dagger import expert
from agents.dagger.expert import WalkingExpert, is_stuck, turns_blindly
from agents.demonstrator.imitable.strider import SLOW_STEPS
from basalt.core.actions import null_action
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
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

    def observe(self, infos: object) -> None:
        pass

    def labels(self, pov: np.ndarray) -> list[Label]:
        return [label(**TURN) for _ in pov]


def test_turns_are_left_out_until_the_player_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expert, "Demonstrator", Turner)
    made = WalkingExpert()
    pov = np.zeros((2, 4, 4, 3), np.uint8)
    said = []
    for step in range(40):
        # The first walks for 20 steps and then stands; the second stands, and begins another episode at step 30.
        infos: list[Any] = [{"telemetry": at(min(step, 20))}, {"telemetry": at(0)}]
        for row in range(2):
            if step == 0 or (row, step) == (1, 30):
                infos[row]["site"] = {}
        made.observe(infos)
        said.append([one.expert is not None for one in made.labels(pov)])
    first, second = np.array(said).T
    assert np.flatnonzero(first).tolist() == list(range(20 + SLOW_STEPS, 40))
    assert np.flatnonzero(second).tolist() == list(range(SLOW_STEPS, 30))
