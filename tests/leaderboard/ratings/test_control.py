"""Control for looks: planted effects are recovered, and looks without effect change no order."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.io.errors import ConfigError, StudyError
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.control import Looks, control_for
from leaderboard.ratings.html_report import html_page
from leaderboard.ratings.ranking import Table, rate
from leaderboard.ratings.tables import table_records, text_tables
from tests.support.synthetic_comparisons import one_comparison


def judged(
    strengths: Sequence[float],
    longer: Sequence[float],
    count: int,
    *,
    bias: float = 0.0,
    left: float = 0.0,
    seed: int = 0,
) -> tuple[Table, Looks]:
    """Answers by Davidson's model with effects of length and side.

    Args:
        strengths: Log-strength of each agent.
        longer: Mean log2 length of each agent's videos; single videos spread about it by 1.
        count: Number of comparisons.
        bias: Effect of a doubled length.
        left: Effect of being on the left.
        seed: Seed of the random numbers.
    """
    rng = random.Random(seed)
    history: list[Comparison] = []
    looks = {}
    for number in range(count):
        i, j = rng.sample(range(len(strengths)), 2)
        length = rng.gauss(longer[i], 1) - rng.gauss(longer[j], 1)
        lead = strengths[i] - strengths[j] + bias * length + left
        weights = (np.exp(lead / 2), np.exp(-lead / 2), 0.5)
        (winner,) = rng.choices(("left", "right", "draw"), weights)
        one = one_comparison(f"a{i}", f"a{j}", winner, number, f"r{rng.randrange(20)}")
        history.append(one)
        looks[one.comparison_id] = (length, 1.0)
    (table,) = rate(history, model=BRADLEY_TERRY)
    return table, looks


def test_planted_effects_of_length_and_side_are_within_their_intervals() -> None:
    table, looks = judged((0, 0.5, 1), (0, 0, 0), 1500, bias=0.4, left=-0.3, seed=3)
    length, side = control_for(table, ("length", "side"), looks).effects
    assert length.low < 0.4 < length.high and length.high - length.low < 0.3
    assert side.low < -0.3 < side.high and side.high - side.low < 0.4


def test_intervals_of_planted_effects_hold_them_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        table, looks = judged((0, 0.5, 1), (0, 0, 1), 150, bias=0.5, left=0.3, seed=seed)
        length, side = control_for(table, ("length", "side"), looks).effects
        held += (length.low < 0.5 < length.high) + (side.low < 0.3 < side.high)
    assert held >= 108, "at least 90% of 120, two standard errors below 95%"


def test_an_agent_that_wins_by_long_videos_alone_falls_behind_when_length_is_controlled() -> None:
    table, looks = judged((0.6, 0.0), (0, 4), 1200, bias=0.5)
    assert [row.agent for row in table.rows] == ["a1", "a0"]
    control = control_for(table, ("length", "side"), looks)
    assert control.places == {"a0": 1, "a1": 2}
    gap = control.strengths["a0"][0] - control.strengths["a1"][0]
    assert gap == pytest.approx(0.6, abs=0.35)


def test_looks_without_effect_change_no_order() -> None:
    table, looks = judged((0, 0.7, 1.4), (1, 0, 2), 1500)
    control = control_for(table, ("length", "side"), looks)
    assert all(effect.low < 0 < effect.high for effect in control.effects)
    assert control.places == {"a2": 1, "a1": 2, "a0": 3}


def test_without_looks_the_strengths_are_those_of_the_table() -> None:
    table, looks = judged((0, 0.7, 1.4), (1, 0, 2), 200)
    nothing = dict.fromkeys(looks, ())
    for row in table.rows:
        value, low, high = control_for(table, (), nothing).strengths[row.agent]
        assert value == pytest.approx(row.value, abs=1e-9)
        assert (high - low) / 2 == pytest.approx(1.959964 * row.error, abs=1e-9)


def test_text_json_and_page_say_the_same_of_a_control() -> None:
    table, looks = judged((0.6, 0.0), (0, 4), 1200, bias=0.5)
    analysis = analyse(table, control=("length", "side"), looks=looks)
    best, _ = table_records([analysis])
    assert best["agent"] == "a1" and best["place"] == 1 and best["place_controlled"] == 2
    value, low, high = best["effects"]["length"]
    for shown in (text_tables([analysis]), html_page("s", [analysis])):
        plain = shown.replace("−", "-")
        assert f"length (twice as long) {value:+.2f} ({low:+.2f} to {high:+.2f})" in plain
        assert "Their control changes the places of 2 agents." in shown
        assert "Alike in length, side" in shown


def test_what_cannot_be_separated_or_is_not_known_is_refused() -> None:
    table, looks = judged((0, 1), (0, 0), 60)
    same = {
        one.comparison_id: (2.0 if one.left_agent == "a0" else -2.0,) for one in table.comparisons
    }
    with pytest.raises(StudyError, match="cannot be separated from who played"):
        control_for(table, ("length",), same)
    with pytest.raises(StudyError, match="no comparison of task 'find_cave' has known values"):
        control_for(table, ("length",), {})
    more = [*table.comparisons, one_comparison("a1", "z", "left", 999)]
    (wider,) = rate(more, model=BRADLEY_TERRY)
    with pytest.raises(StudyError, match="do not connect all agents"):
        control_for(wider, ("length", "side"), looks)
    (other,) = rate(table.comparisons)
    with pytest.raises(ConfigError, match="use --model bt"):
        analyse(other, replicates=0, control=("side",), looks=looks)
