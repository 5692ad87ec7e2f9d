"""Tables with intervals and strengths, as text and as records."""

import pytest

from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.tables import analysis_records, table_records, text_analyses, text_tables
from leaderboard.ratings.trueskill import Table, rate
from tests.support.synthetic_comparisons import planted


def the_table(count: int = 200) -> Table:
    (table,) = rate(planted((0, 1, 3), count, raters=20))
    return table


def test_a_table_of_many_comparisons_shows_bootstrap_intervals() -> None:
    table = the_table()
    analysis = analyse(table, replicates=50)
    for row, record in zip(table.rows, analysis_records([analysis]), strict=True):
        interval = analysis.intervals[row.agent]
        assert (record["mu_low"], record["mu_high"]) == (interval.mu_low, interval.mu_high)
        assert record["interval"] == "bootstrap"
        assert record["rank_low"] <= record["rank_high"]
        assert record["bt_low"] < record["bt"] < record["bt_high"]
    shown = text_analyses([analysis])
    assert f"{analysis.intervals['a2'].mu_low:.2f}.." in shown
    assert "*" not in shown


@pytest.mark.parametrize(("count", "replicates"), [(20, 50), (200, 0)])
def test_with_few_comparisons_or_no_replicates_bounds_are_two_sigma_and_say_so(
    count: int, replicates: int
) -> None:
    table = the_table(count)
    analysis = analyse(table, replicates=replicates)
    for row, record in zip(table.rows, analysis_records([analysis]), strict=True):
        assert record["mu_low"] == pytest.approx(row.mu - 2 * row.sigma)
        assert record["interval"] == "2 sigma"
        assert record["rank_low"] is record["rank_high"] is None
    assert "* mu +- 2 sigma: too few comparisons" in text_analyses([analysis])


def test_rows_stand_in_the_order_of_the_chosen_model() -> None:
    analysis = analyse(the_table(), model="bt", replicates=0)
    values = [analysis.strengths[row.agent].value for row in analysis.table.rows]
    assert values == sorted(values, reverse=True)
    assert {row.agent for row in analysis.table.rows} == {"a0", "a1", "a2"}


def test_the_plain_tables_figures_are_part_of_the_analysed_one() -> None:
    table = the_table()
    analysis = analyse(table, replicates=0)
    for plain, more in zip(table_records([table]), analysis_records([analysis]), strict=True):
        assert plain.items() <= more.items()
    for plain, more in zip(
        text_tables([table]).splitlines(), text_analyses([analysis]).splitlines(), strict=False
    ):
        assert more.startswith(plain)


def test_rows_that_no_replay_confirmed_are_marked() -> None:
    table = the_table()
    analysis = analyse(table, replicates=0)
    checked = {(table.task, "a2"): (3, 11), (table.task, "a1"): (0, 11), ("other", "a0"): (5, 5)}
    for text in (text_tables([table], checked), text_analyses([analysis], checked)):
        assert text.count("unverified") == 2
        assert " 3 of 11" in next(line for line in text.splitlines() if " a2 " in line)
    records = {one["agent"]: one for one in analysis_records([analysis], checked)}
    assert (records["a2"]["replayed"], records["a2"]["episodes"]) == (3, 11)
    assert (records["a1"]["replayed"], records["a1"]["episodes"]) == (0, 11)
    assert text_tables([table]).count("unverified") == 3, "what is not known counts as never"


def test_neighbours_say_how_often_replicates_reverse_them() -> None:
    (table,) = rate(planted((0, 0, 4), 300, raters=20))
    analysis = analyse(table, replicates=200)
    best, second, last = analysis_records([analysis])
    assert best["agent"] == "a2" and best["next_before"] < 0.01
    assert 0.02 < second["next_before"] <= 0.7, "equals"
    assert last["next_before"] is None
    one, other = (analysis.intervals[name] for name in ("a0", "a1"))
    assert one.behind["a1"] + other.behind["a0"] == pytest.approx(1)
    assert f"{second['next_before']:.1%}" in text_analyses([analysis])


@pytest.mark.parametrize(("count", "replicates"), [(20, 50), (300, 0)])
def test_few_comparisons_or_no_replicates_say_nothing_of_neighbours(
    count: int, replicates: int
) -> None:
    assert analyse(the_table(count), replicates=replicates).reversals() == {}
