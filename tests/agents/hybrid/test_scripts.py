"""Scripts do what they say by what heads report and by their own turns."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from agents.hybrid.scripts import (
    APART,
    AWAY,
    AWAY_FROM_FALL,
    FIRST_TURN,
    PATROL_PITCH,
    RADIUS,
    SCRIPTS,
    STRIDE,
    WIDER,
    Action,
    Senses,
)
from basalt.core.actions import validate_action


def played(name: str, senses: Senses, limit: int = 300) -> Iterator[Action]:
    """The script's actions, which the view follows."""
    for action in islice(SCRIPTS[name].play(senses), limit):
        checked = validate_action(action)
        yield checked
        senses.advance(checked)


def turned(actions: list[Action]) -> float:
    return sum(float(one["camera"][1]) for one in actions)


def test_turn_around_turns_by_half_a_circle_and_looks_ahead() -> None:
    senses = Senses()
    senses.view.advance(35.0, False)
    actions = list(played("turn_around", senses))
    assert turned(actions) == pytest.approx(180)
    assert abs(senses.view.degrees) < 1
    assert max(abs(one["camera"]).max() for one in actions) <= 10


def test_a_patrol_keeps_its_distance_from_the_start_and_widens_it_in_each_turn() -> None:
    """On even ground, where each step leads STRIDE nodes ahead."""
    senses, place = Senses(), np.zeros(2)
    distances, bearings = [], []
    for _ in played("patrol", senses, limit=4000):
        heading = np.radians(senses.heading)
        place += STRIDE * np.array([np.sin(heading), np.cos(heading)])
        distances.append(np.hypot(*place))
        bearings.append(np.degrees(np.arctan2(*place)))
    around = np.unwrap(bearings[AWAY:], period=360)
    turns = (around - around[0]) / 360
    assert bearings[AWAY] == pytest.approx(FIRST_TURN, abs=3), "first to the right"
    assert turns[-1] > 2
    for turn in (0, 1, 2):
        at = AWAY + int(np.searchsorted(turns, turn))
        assert distances[at] == pytest.approx(RADIUS + turn * WIDER, abs=6)
    assert senses.view.degrees == pytest.approx(PATROL_PITCH)


def test_a_patrol_returns_to_its_course_after_a_detour() -> None:
    senses = Senses()
    list(played("patrol", senses, limit=50))
    list(played("unstick", senses))
    assert abs(senses.heading - FIRST_TURN) > 45
    list(played("patrol", senses, limit=20))
    assert senses.heading == pytest.approx(FIRST_TURN)


def test_a_patrol_that_sees_the_same_for_a_while_steps_aside() -> None:
    senses, rng = Senses(), np.random.default_rng(0)
    rock = rng.integers(0, 256, (72, 128, 3), np.uint8)
    stepped_back = []
    for step, action in enumerate(played("patrol", senses, limit=90)):
        stepped_back.append(bool(action["back"]))
        senses.see(rock if 30 <= step < 60 else rng.integers(0, 256, (72, 128, 3), np.uint8))
    assert not any(stepped_back[: 30 + APART]) and any(stepped_back[30 + APART : 50 + APART])
    assert not any(stepped_back[75:])


def test_a_patrol_turns_away_from_a_drop() -> None:
    """There is one wherever it looks to the left of 150 degrees."""
    senses, went = Senses(), []
    for action in played("patrol", senses, limit=120):
        if action["forward"] and not action["sneak"]:
            went.append(senses.heading)
        senses.probability = {"drop_ahead": 0.9 if 40 < senses.heading < 150 else 0.0}
    assert max(went) >= 150 and not any(60 < heading < 130 for heading in went)


@pytest.mark.parametrize("script", ["patrol", "go_forward", "unstick"])
def test_where_there_may_be_a_drop_it_sneaks(script: str) -> None:
    senses = Senses(probability={"drop_ahead": 0.05})
    boldly = [one for one in played(script, senses, limit=60) if one["forward"]]
    assert not any(one["sneak"] for one in boldly) and any(one["jump"] for one in boldly)
    senses = Senses(probability={"drop_ahead": 0.2})
    carefully = [one for one in played(script, senses, limit=60) if one["forward"]]
    assert all(one["sneak"] for one in carefully)
    assert not any(one["sprint"] or one["jump"] for one in carefully)


@pytest.mark.parametrize("bearing", [-40.0, 0.0, 25.0])
def test_face_mouth_turns_to_where_the_mouth_is(bearing: float) -> None:
    """The mouth is in view within 35 degrees of the middle of the view."""
    senses, yaw = Senses(), 0.0
    for action in SCRIPTS["face_mouth"].play(senses):
        yaw += float(action["camera"][1])
        in_view = abs(yaw - bearing) < 35
        senses.probability = {"mouth_in_view": 0.9 if in_view else 0.1}
    assert yaw == pytest.approx(bearing, abs=6)


def test_face_mouth_that_sees_nothing_looks_where_it_looked_before() -> None:
    assert turned(list(played("face_mouth", Senses()))) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("falls", [True, False])
def test_pour_on_wall_looks_at_a_fall_or_takes_the_water_back(falls: bool) -> None:
    senses = Senses(probability={"water_falling_in_view": float(falls)})
    used, ahead, watched = [], 0.0, 0
    for action in played("pour_on_wall", senses):
        if action["use"]:
            used.append(round(senses.view.degrees))
        if used:
            ahead += int(action["forward"]) * np.cos(np.radians(senses.heading))
        watched += bool(used) and -20 < senses.view.degrees < -10
    assert used == ([-50] if falls else [-50, -50])
    assert (watched > 100) == falls and abs(senses.view.degrees) < 1
    expected = pytest.approx(-AWAY_FROM_FALL if falls else 0)
    assert ahead == expected, "water is taken back from where it was poured"
    assert senses.heading % 360 == pytest.approx(0, abs=0.1), "it faces the water"


def test_pour_water_tries_other_edges_until_it_sees_water() -> None:
    def uses(water_after: int) -> list[float]:
        senses, at = Senses(), []
        for action in played("pour_water", senses):
            if action["use"]:
                at.append(round(senses.view.degrees))
            senses.probability = {"water_in_view": float(len(at) >= water_after)}
        assert abs(senses.view.degrees) < 1
        return at

    assert uses(1) == [40]
    assert uses(2) == [40, 55]
    assert uses(9) == [40, 55, 30]


def test_go_forward_does_not_end_by_itself_and_unstick_does() -> None:
    assert len(list(played("go_forward", Senses()))) == 300
    actions = list(played("unstick", Senses()))
    assert len(actions) < 60 and any(one["back"] for one in actions) and actions[-1]["jump"]
