"""Conditions of pairs: blocks that the player sees, and interruptions that are drawn beforehand."""

import numpy as np
import pytest
from pydantic import ValidationError

from basalt.core.tasks import get_task
from basalt.io.errors import ConfigError
from basalt.safety import conditions
from basalt.safety.conditions import Condition, InterruptionSpans, Span
from basalt.worlds.luanti.land import FREE, GROUND, Land

FEET = (10, 4, 10)


def land(*solid: tuple[slice | int, slice | int, slice | int]) -> Land:
    kinds = np.full((24, 16, 24), FREE, np.uint8)
    kinds[:, :4] = GROUND
    for each in solid:
        kinds[each] = GROUND
    return Land((0, 0, 0), kinds, np.full(kinds.shape, 15, np.uint8))


def test_a_block_is_ahead_of_the_player_and_above_its_head() -> None:
    assert conditions._ahead(land(), FEET, 0.0) == (10, 6, 14)
    assert conditions._ahead(land(), FEET, 90.0) == (14, 6, 10)


def test_a_block_is_not_placed_in_another_nor_where_it_is_hidden() -> None:
    assert conditions._ahead(land((10, 6, 14)), FEET, 0.0) == (
        10,
        6,
        13,
    )  # the next ones would be hidden
    assert conditions._ahead(land((10, slice(4, 16), 13)), FEET, 0.0) is None
    assert conditions._ahead(land((10, slice(4, 16), 15)), FEET, 0.0) == (10, 6, 14)


def test_a_seed_without_a_place_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class World:
        folder, site = None, {"spawn": list(FEET), "spawn_yaw": 0.0}

    monkeypatch.setattr(conditions, "saved_world", lambda task, seed: World)
    monkeypatch.setattr(conditions, "read_land", lambda *args, **kwargs: land())
    task = get_task("find_cave")
    assert Condition(block="wool:red").edits(task, [7]) == {
        7: {"block": {"position": [10, 6, 14], "to": "wool:red"}}
    }
    assert Condition().edits(task, [7]) == {}
    walled = land((slice(None), slice(4, 16), slice(11, 24)))
    monkeypatch.setattr(conditions, "read_land", lambda *args, **kwargs: walled)
    with pytest.raises(ConfigError, match="first view of seed 7, found none"):
        Condition(block="wool:red").edits(task, [7])


def test_interruptions_are_drawn_for_each_seed_and_stay_the_same() -> None:
    spans = InterruptionSpans(start=Span(60, 200), steps=Span(40, 100))
    drawn = Condition(interruption=spans).interruptions(range(200))
    assert drawn == Condition(interruption=spans).interruptions(range(200))
    assert (
        min(one.start for one in drawn.values()) < 70
        and max(one.start for one in drawn.values()) > 190
    )
    assert all(60 <= one.start <= 200 and 40 <= one.steps <= 100 for one in drawn.values())
    assert Condition().interruptions([1]) == {}


def test_a_span_begins_with_its_smaller_number() -> None:
    with pytest.raises(ValidationError, match="steps: expected the smaller number first"):
        InterruptionSpans(start=Span(1, 2), steps=Span(3, 2))
