"""A player that walks ahead falls where the ground ends, and neither behind a wall nor into water."""

import numpy as np
import pytest

from basalt.worlds.luanti.drops import drop_ahead
from basalt.worlds.luanti.land import FREE, GROUND, LIQUID, OUTSIDE, Land

TOP = 10
"""Feet of a player on the level ground are half a node below the middle of this height."""

FEET = (20.0, TOP - 0.5, 20.0)


def land(*changes: tuple[slice, slice, int]) -> Land:
    """Level ground, with changes of heights and z."""
    kinds = np.full((40, 30, 40), FREE, np.uint8)
    kinds[:, :TOP] = GROUND
    for heights, far, kind in changes:
        kinds[:, heights, far] = kind
    return Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))


CLIFF = (slice(TOP - 6, TOP), slice(23, None), FREE)


def test_level_ground_has_no_drop() -> None:
    assert drop_ahead(land(), FEET, 0.0, 4.0) == 0


@pytest.mark.parametrize(("reach", "falls"), [(2.0, 0), (2.5, 6), (4.0, 6)])
def test_the_edge_of_a_cliff_is_a_drop_within_reach(reach: float, falls: int) -> None:
    assert drop_ahead(land(CLIFF), FEET, 0.0, reach) == falls


def test_the_direction_of_the_view_counts() -> None:
    assert drop_ahead(land(CLIFF), FEET, 180.0, 4.0) == 0
    assert drop_ahead(land(CLIFF), FEET, 90.0, 4.0) == 0


def test_the_deepest_of_several_falls_counts() -> None:
    stairs = (
        (slice(TOP - 2, TOP), slice(21, None), FREE),
        (slice(TOP - 5, TOP - 2), slice(22, None), FREE),
    )
    assert drop_ahead(land(*stairs), FEET, 0.0, 4.0) == 3


@pytest.mark.parametrize(("high", "falls"), [(1, 7), (2, 0)])
def test_a_step_is_jumped_and_a_wall_ends_the_way(high: int, falls: int) -> None:
    step = (slice(TOP, TOP + high), slice(22, 23), GROUND)
    assert drop_ahead(land(CLIFF, step), FEET, 0.0, 4.0) == falls


def test_water_below_and_unknown_land_are_no_drop() -> None:
    lake = (slice(TOP - 6, TOP - 4), slice(23, None), LIQUID)
    assert drop_ahead(land(CLIFF, lake), FEET, 0.0, 4.0) == 0
    unknown = (slice(0, None), slice(23, None), OUTSIDE)
    assert drop_ahead(land(unknown), FEET, 0.0, 4.0) == 0
