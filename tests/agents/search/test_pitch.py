"""A demonstration's pitch is followed, not its turns."""

import math

import numpy as np
import pytest

from agents.search.pitch import Pitch, demonstrated_pitch
from basalt.core.actions import EnvActions, null_action


def action(turn=0.0, yaw=0.0, inventory=0):
    return null_action() | {"camera": np.array([turn, yaw], np.float32), "inventory": inventory}


def test_a_demonstration_s_pitch_is_the_sum_of_its_turns_within_the_limits():
    actions = EnvActions.stack(
        [action(10), action(-5), action(100), action(0), action(-30), action()]
    )
    assert demonstrated_pitch(actions).tolist() == [0, 10, 5, 90, 90, 60]


def test_while_a_screen_is_open_the_mouse_moves_a_cursor():
    presses = [0, 1, 1, 0, 1, 0]  # held for two steps it opens once
    actions = EnvActions.stack([action(10, inventory=press) for press in presses])
    pitch = demonstrated_pitch(actions)
    assert np.isnan(pitch).tolist() == [False, False, True, True, True, False]
    assert pitch[[0, 1, 5]].tolist() == [0, 10, 20]


def follow(pitch, one, demonstrated):
    return pitch.follow(one, demonstrated)["camera"].tolist()


def test_who_begins_with_the_demonstration_turns_as_it_did():
    turns = [3.0, -8.0, 10.0, 0.0]
    demonstration = demonstrated_pitch(EnvActions.stack([action(turn) for turn in turns]))
    player = Pitch()
    followed = [
        follow(player, action(turn, 2.0), at) for turn, at in zip(turns, demonstration, strict=True)
    ]
    assert followed == [[turn, 2.0] for turn in turns]


def test_who_joins_in_the_middle_comes_to_its_pitch_with_limited_turns():
    player = Pitch(degrees=-30.0)
    assert follow(player, action(5), 10.0) == [20.0, 0.0] and player.degrees == -10
    assert follow(player, action(0), 15.0) == [20.0, 0.0]
    assert follow(player, action(0), 15.0) == [5.0, 0.0] and player.degrees == 15


def test_nothing_is_corrected_while_either_has_a_screen_open():
    player = Pitch(degrees=40.0)
    assert follow(player, action(3), math.nan) == [3.0, 0.0] and player.degrees == 43
    player.advance(0, inventory=True)
    assert player.screen_open
    assert follow(player, action(3), 0.0) == [3.0, 0.0] and player.degrees == 43


def test_the_rest_of_the_action_is_the_demonstration_s():
    one = action(1, 2) | {"forward": 1, "attack": 1}
    followed = Pitch().follow(one, 0.0)
    assert {**followed, "camera": 0} == {**one, "camera": 0}


@pytest.mark.parametrize("degrees", [-90.0, 90.0])
def test_nobody_looks_further_than_straight_up_or_down(degrees):
    player = Pitch(degrees=degrees)
    assert follow(player, action(math.copysign(10, degrees)), degrees) == [0.0, 0.0]
