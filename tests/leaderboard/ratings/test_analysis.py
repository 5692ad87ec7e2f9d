"""Tables with intervals and strengths, as text and as records."""

import re

import pytest

from basalt.core.comparisons import Comparison
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.html_report import html_page
from leaderboard.ratings.models import RatingModel
from leaderboard.ratings.ranking import Table, rate
from leaderboard.ratings.tables import table_records, text_tables
from leaderboard.ratings.trueskill import TRUESKILL
from tests.support.synthetic_comparisons import one_comparison, planted


def the_table(count: int = 200) -> Table:
    (table,) = rate(planted((0, 1, 3), count, raters=20))
    return table


def test_a_table_of_many_comparisons_shows_resampling_ranges() -> None:
    table = the_table()
    analysis = analyse(table, replicates=50)
    for row, record in zip(table.rows, table_records([analysis]), strict=True):
        found = analysis.ranges[row.agent]
        assert (record["mu_low"], record["mu_high"]) == (found.low, found.high)
        assert record["interval"] == "resampling range"
        assert not {"rank_low", "next_before", "next_difference"} & set(record), (
            "it claims no order"
        )
        assert record["bt_low"] < record["bt"] < record["bt_high"]
    shown = text_tables([analysis])
    assert f" {analysis.ranges['a2'].low:.2f} to " in shown
    assert "TrueSkill's resampling ranges" in shown and "95%" not in shown
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
        assert one["model"] == "bt" and one["interval"] == "95%"
        assert (one["bt"], one["bt_error"]) == (row.value, row.error)
        assert one["bt_low"] < row.value < one["bt_high"]
        assert one["bt_low"] == by_default[row.agent]["bt_low"], "beside TrueSkill, the same"
        assert one["rank_low"] <= one["place"] <= one["rank_high"]
        other = by_default[row.agent]
        for key in ("mu", "sigma", "conservative"):
            assert one[key] == other[key]
        assert one["mu_low"] == pytest.approx(one["mu"] - 2 * one["sigma"])
    shown = text_tables([analysis])
    assert "Bradley-Terry; rows in order of strength." in shown
    assert "sigma" not in shown.partition("\n")[0] and "mu -" not in shown
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


def test_neighbours_say_how_open_their_order_is() -> None:
    (table,) = rate(planted((0, 0, 4), 300, raters=20, seed=3), model=BRADLEY_TERRY)
    analysis = analyse(table)
    best, second, last = table_records([analysis])
    assert best["agent"] == "a2" and best["next_before"] < 0.01
    assert best["next_difference_low"] > 0 and (best["rank_low"], best["rank_high"]) == (1, 1)
    assert 0.02 < second["next_before"] <= 0.5, "equals"
    assert second["next_difference_low"] < 0 < second["next_difference_high"]
    assert (
        (second["rank_low"], second["rank_high"]) == (last["rank_low"], last["rank_high"]) == (2, 3)
    )
    assert best["answers_to_flip"] > second["answers_to_flip"] > 0
    assert last["next_before"] is last["next_difference"] is last["answers_to_flip"] is None
    assert f"{second['next_before']:.1%}" in text_tables([analysis])


def test_agents_that_drew_all_their_pairs_are_in_an_open_order() -> None:
    (table,) = rate([one_comparison("a", "b", "draw", n) for n in range(40)], model=BRADLEY_TERRY)
    first, second = table_records([analyse(table)])
    assert first["next_difference"] == pytest.approx(0, abs=1e-9)
    assert first["next_before"] == pytest.approx(0.5) and first["answers_to_flip"] == 1
    assert (
        (first["rank_low"], first["rank_high"])
        == (second["rank_low"], second["rank_high"])
        == (1, 2)
    )


def two_groups() -> list[Comparison]:
    """A beats B 40 times; C and D win 20 each; nobody of one pair met the other."""
    return [
        *(one_comparison("A", "B", "left", n, f"r{n % 20}") for n in range(40)),
        *(
            one_comparison("C", "D", ("left", "right")[n % 2], 40 + n, f"r{n % 20}")
            for n in range(40)
        ),
    ]


@pytest.mark.parametrize("model", [TRUESKILL, BRADLEY_TERRY], ids=["trueskill", "bt"])
def test_groups_that_never_met_are_named_and_nothing_is_ranked_across_them(
    model: RatingModel,
) -> None:
    (table,) = rate(two_groups(), model=model)
    assert [{row.agent for row in rows} for rows in table.groups] == [{"A", "B"}, {"C", "D"}]
    analysis = analyse(table, replicates=50)
    records = {one["agent"]: one for one in table_records([analysis])}
    assert [(one["group"], one["place"]) for one in records.values()] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]
    assert records["A"]["never_compared_with"] == ["C", "D"]
    _, second, _, last = records.values()
    assert second.get("next_before") is last.get("next_before") is None, "the last of its group"
    if model.claims_order:
        assert [records[name]["rank_high"] for name in "ABCD"] == [1, 2, 2, 2]
        assert records["A"]["next_before"] < 0.01 and records["C"]["next_before"] == 0.5
    named = "2 groups were never compared with each other, and nothing is ranked across them: "
    for shown in (text_tables([table]), text_tables([analysis]), html_page("s", [analysis])):
        (first, other), (third, fourth) = ([row.agent for row in rows] for rows in table.groups)
        assert f"{named}(1) {first}, {other}; (2) {third}, {fourth}." in shown
        assert "within each group" in shown
    shown = text_tables([analysis])
    assert (
        shown.index("Group 1")
        < shown.index("1  A")
        < shown.index("Group 2")
        < shown.index(f"1  {third}")
    )
    assert html_page("s", [analysis]).count('<tr><td class="text">1</td>') == 2


def test_one_comparison_between_the_groups_joins_them() -> None:
    (table,) = rate([*two_groups(), one_comparison("B", "C", "draw", 99)], model=BRADLEY_TERRY)
    assert len(table.groups) == 1
    assert "never compared" not in text_tables([analyse(table)])
    assert {tuple(one["never_compared_with"]) for one in table_records([table])} == {()}


def test_few_raters_are_said_to_be_too_few_to_differ() -> None:
    for raters, note in ((1, False), (5, True), (20, False)):
        (table,) = rate(planted((0, 1), 60, raters=raters), model=BRADLEY_TERRY)
        assert (
            "raters: too few to show how raters differ" in text_tables([analyse(table)])
        ) == note
