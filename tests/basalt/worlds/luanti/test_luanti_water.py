"""Poured water runs down where it can and to the sides where it cannot, as in the engine."""

import numpy as np
import pytest

from basalt.worlds.luanti.land import FREE, GROUND, OUTSIDE, Land
from basalt.worlds.luanti.water import Pours

TOP = 10
"""Feet of a player on the level ground are half a node below the middle of this height."""

FEET = (20.0, TOP - 0.5, 20.0)


def land(drop_at: int = 99, deep: int = 0, wall_at: int = 99, high: int = 0) -> Land:
    """Level ground; from z = `drop_at` on `deep` nodes lower, and from z = `wall_at` on `high` nodes higher."""
    kinds = np.full((40, 30, 40), FREE, np.uint8)
    kinds[:, :TOP] = GROUND
    kinds[:, TOP - deep : TOP, drop_at:] = FREE
    kinds[:, TOP : TOP + high, wall_at:] = GROUND
    return Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))


def test_on_level_ground_nothing_falls() -> None:
    assert Pours(land()).height(FEET, 0.0, 40.0) == 0


@pytest.mark.parametrize(("drop_at", "falls"), [(22, 0), (23, 6), (29, 6), (30, 0)])
def test_it_runs_seven_nodes_and_over_the_edge(drop_at: int, falls: int) -> None:
    """At 40 degrees down the source is at z = 22, on the ground; past an edge there the view meets nothing in reach."""
    assert Pours(land(drop_at, deep=6)).height(FEET, 0.0, 40.0) == falls


def test_from_a_fall_it_runs_on() -> None:
    ground = land(24, deep=2)
    ground.kinds[:, TOP - 7 : TOP - 2, 27:] = FREE
    assert Pours(ground).height(FEET, 0.0, 40.0) == 5


def test_the_direction_of_the_view_counts() -> None:
    pours = Pours(land(32, deep=6))
    assert pours.height((20.0, TOP - 0.5, 26.0), 0.0, 40.0) == 6
    assert pours.height((20.0, TOP - 0.5, 26.0), 180.0, 40.0) == 0


@pytest.mark.parametrize(("high", "falls"), [(8, 4), (5, 4), (3, 0), (0, 0)])
def test_against_a_wall_it_falls_from_where_the_view_points(high: int, falls: int) -> None:
    """Two nodes before a wall, 50 degrees up, the view meets it four nodes above the ground; a low wall it passes."""
    assert Pours(land(wall_at=23, high=high)).height(FEET, 0.0, -50.0) == falls


def test_nothing_is_poured_on_what_is_far_or_not_known() -> None:
    assert Pours(land()).height(FEET, 0.0, 0.0) == 0
    assert Pours(land()).height((-50.0, 0.0, 0.0), 0.0, 40.0) == 0
    deep = land(22, deep=10)
    deep.kinds[:, 0, 22:] = OUTSIDE
    assert Pours(deep).height(FEET, 0.0, 40.0) == 0
