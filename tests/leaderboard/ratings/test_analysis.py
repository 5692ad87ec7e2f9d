"""Tables with intervals and strengths, as text and as records."""

import re

import pytest

from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.ranking import Table, rate
from leaderboard.ratings.tables import table_records, text_tables
from tests.support.synthetic_comparisons import planted


def the_table(count: int = 200) -> Table:
    (table,) = rate(planted((0, 1, 3), count, raters=20))
    return table


def test_a_table_of_many_comparisons_shows_bootstrap_intervals() -> None:
    table = the_table()
    analysis = analyse(table, replicates=50)
    for row, record in zip(table.rows, table_records([analysis]), strict=True):
        interval = analysis.intervals[row.agent]
        assert (record["mu_low"], record["mu_high"]) == (interval.low, interval.high)
        assert record["interval"] == "bootstrap"
        assert record["rank_low"] <= record["rank_high"]
        assert record["bt_low"] < record["bt"] < record["bt_high"]
    shown = text_tables([analysis])
    assert f" {analysis.intervals['a2'].low:.2f} to " in shown
    assert "*" not in shown


@pytest.mark.parametrize(("count", "replicates"), [(20, 50), (200, 0)])
def test_with_few_comparisons_or_no_replicates_bounds_are_two_sigma_and_say_so(
    count: int, replicates: int
) -> None:
    table = the_table(count)
    analysis = analyse(table, replicates=replicates)
    for row, record in zip(table.rows, table_records([analysis]), strict=True):
        assert record["mu_low"] == pytest.approx(row.value - 2 * row.error)
        assert record["interval"] == "2 sigma"
        assert record["rank_low"] is record["rank_high"] is None
    assert "* mu +- 2 sigma: too few comparisons" in text_tables([analysis])


def test_rows_stand_in_the_order_of_the_chosen_model() -> None:
    table = the_table()
    rated = table.rated_by(BRADLEY_TERRY)
    values = [row.value for row in rated.rows]
    assert values == sorted(values, reverse=True)
    assert {row.agent for row in rated.rows} == {"a0", "a1", "a2"}
    assert rated.rated_by(table.model) == table


def test_intervals_ranks_and_captions_are_the_chosen_models() -> None:
    table = the_table().rated_by(BRADLEY_TERRY)
    analysis = analyse(table, replicates=50)
    by_default = {one["agent"]: one for one in table_records([analyse(the_table(), replicates=50)])}
    for row, one in zip(table.rows, table_records([analysis]), strict=True):
        assert one["model"] == "bt" and one["interval"] == "bootstrap"
        assert (one["bt"], one["bt_error"]) == (row.value, row.error)
        assert one["bt_low"] < row.value < one["bt_high"]
        assert one["bt_low"] != by_default[row.agent]["bt_low"], "not from the standard error"
        other = by_default[row.agent]
        for key in ("mu", "sigma", "conservative"):
            assert one[key] == other[key]
        assert one["mu_low"] == pytest.approx(one["mu"] - 2 * one["sigma"])
    shown = text_tables([analysis])
    assert "Bradley-Terry; rows in order of strength." in shown
    assert "sigma" not in shown.partition("\n")[0]
    assert "TrueSkill; rows in order of mu - 3 sigma." in text_tables([the_table()])


def test_the_plain_tables_figures_are_part_of_the_analysed_one() -> None:
    table = the_table()
    analysis = analyse(table, replicates=0)
    for plain, more in zip(table_records([table]), table_records([analysis]), strict=True):
        assert plain.items() <= more.items()
    for plain, more in zip(
        text_tables([table]).splitlines(), text_tables([analysis]).splitlines(), strict=False
    ):
        cells = iter(re.split("  +", more.strip()))
        assert all(cell in cells for cell in re.split("  +", plain.strip()))


def test_rows_that_no_replay_confirmed_are_marked() -> None:
    table = the_table()
    analysis = analyse(table, replicates=0)
    checked = {(table.task, "a2"): (3, 11), (table.task, "a1"): (0, 11), ("other", "a0"): (5, 5)}
    for text in (text_tables([table], checked), text_tables([analysis], checked)):
        assert text.count("unverified") == 2
        assert " 3 of 11" in next(line for line in text.splitlines() if " a2 " in line)
    records = {one["agent"]: one for one in table_records([analysis], checked)}
    assert (records["a2"]["replayed"], records["a2"]["episodes"]) == (3, 11)
    assert (records["a1"]["replayed"], records["a1"]["episodes"]) == (0, 11)
    assert text_tables([table]).count("unverified") == 3, "what is not known counts as never"


def test_neighbours_say_how_often_replicates_reverse_them() -> None:
    (table,) = rate(planted((0, 0, 4), 300, raters=20))
    analysis = analyse(table, replicates=200)
    best, second, last = table_records([analysis])
    assert best["agent"] == "a2" and best["next_before"] < 0.01
    assert 0.02 < second["next_before"] <= 0.7, "equals"
    assert last["next_before"] is None
    one, other = (analysis.intervals[name] for name in ("a0", "a1"))
    assert one.behind["a1"] + other.behind["a0"] == pytest.approx(1)
    assert f"{second['next_before']:.1%}" in text_tables([analysis])


@pytest.mark.parametrize(("count", "replicates"), [(20, 50), (300, 0)])
def test_few_comparisons_or_no_replicates_say_nothing_of_neighbours(
    count: int, replicates: int
) -> None:
    assert analyse(the_table(count), replicates=replicates).reversals() == {}
