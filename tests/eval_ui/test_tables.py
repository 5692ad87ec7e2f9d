"""The table's HTML and the plots: figures in order, strangers' names escaped."""

from dataclasses import replace

import pandas as pd
import pytest

from basalt.core.comparisons import Comparison
from eval_ui.charts import development, profile_plot, rating_plot, spread, win_matrix
from eval_ui.elements import facts_html
from leaderboard.ratings.analysis import Analysis, Lead, analyse
from leaderboard.ratings.bootstrap import MIN_COMPARISONS, ResamplingRange
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.html_report import board_html
from leaderboard.ratings.ranking import Row, Table, rate

HOSTILE = '<script>alert("x")</script>'


def table(*names: str) -> Analysis:
    rows = tuple(
        Row(name, value=25.0 - place, error=2.0, score=19.0 - place, comparisons=3, wins=1, losses=1, draws=1, both_bad=2,
            source="telemetry")
        for place, name in enumerate(names)
    )  # fmt: skip
    return analyse(Table("study", "find_cave", "<b>luanti</b>", "5.6.1", "telemetry", rows))


def judged(comparison, winners: str) -> Table:
    """The table after first and second met, once a letter: l, r, d(raw), b(oth bad)."""
    full = {"l": "left", "r": "right", "d": "draw", "b": "both_bad"}
    (made,) = rate(comparison(number, full[winner]) for number, winner in enumerate(winners))
    return made


@pytest.fixture
def comparison():
    from datetime import UTC, datetime, timedelta

    def make(number: int, winner: str) -> Comparison:
        return Comparison(
            comparison_id=str(number), study="study", task="find_cave", world="luanti",
            world_version="1", seed=1, left_agent="first", right_agent="second",
            left_episode="a" * 64, right_episode="b" * 64, winner=winner, source="human",
            created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        )  # fmt: skip

    return make


def test_every_text_a_stranger_wrote_is_escaped() -> None:
    html = board_html(table(HOSTILE, "plain"), {}) + facts_html({HOSTILE: HOSTILE})
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html


def test_rows_say_rating_uncertainty_and_count() -> None:
    html = board_html(table("first", "second"), {("find_cave", "second"): (2, 11)})
    assert html.index("first") < html.index("second")
    for cell in ("25.00", "21.00 to 29.00*", "19.00", ">3</td>", "1 – 1 – 1", ">2</td>"):
        assert cell in html
    assert "-" not in html.split("<tbody>")[1].replace("text-", "")
    assert html.count("unverified</span>") == 1 and ">2 of 11<" in html
    assert "a stand-in where no person has judged" in html


def test_the_short_table_has_six_columns_and_draws_the_interval() -> None:
    html = board_html(table("first", "second"), {}, short=True)
    heads = [one.split(">")[1].split("<")[0] for one in html.split("<th ")[1:]]
    assert heads == ["#", "Agent", "Rating μ", "Comparisons", "Won – lost – drawn", "Replayed"]
    assert 'aria-label="μ ± 2σ: 21.0 to 29.0"' in html  # SVG would be left out by the page
    assert '<span class="dot" style="left: 55.6%">' in html and "<svg" not in html


def test_the_plot_shows_two_deviations_to_each_side() -> None:
    data = rating_plot(table("first")).to_dict()["datasets"]
    ((row,),) = data.values()
    assert (row["low"], row["rating"], row["high"]) == (21.0, 25.0, 29.0)
    assert row["bar"] == "μ ± 2σ"


def test_ranges_are_shown_where_there_are_comparisons_enough() -> None:
    enough = replace(
        table("first", "second"),
        ranges={
            "first": ResamplingRange(23.5, 26.5, MIN_COMPARISONS),
            "second": ResamplingRange(22.5, 25.5, MIN_COMPARISONS - 1),
        },
    )
    html = board_html(enough, {})
    assert ">23.50 to 26.50</td>" in html
    assert "20.00 to 28.00*" in html
    (rows,) = rating_plot(enough).to_dict()["datasets"].values()
    assert [(row["low"], row["high"], row["bar"]) for row in rows] == [
        (23.5, 26.5, "resampling range"),
        (20.0, 28.0, "μ ± 2σ"),
    ]


def test_places_and_how_open_the_order_of_neighbours_is_stand_in_the_table(comparison) -> None:
    made = judged(comparison, "lllrd").rated_by(BRADLEY_TERRY)
    lead = Lead(1.2, -0.4, 2.8, 0.034, 7)
    order = replace(analyse(made), ranks={"first": (1, 2), "second": (1, 2)}, leads={"first": lead})
    html = board_html(order, {})
    first, second = html.split("<tbody>")[1].split("</tr>")[:2]
    for cell in (">3.4%<", ">1 – 2</td>", ">1.20 (−0.40 to 2.80)</td>", ">7</td>"):
        assert cell in first
    assert "the last row of its group" in second


def test_the_development_ends_at_the_tables_ratings(comparison) -> None:
    made = judged(comparison, "lrdbl")
    frame = development(made)
    assert frame["comparison"].max() == 4  # both bad rates nobody
    ends = frame.groupby("agent").last()["rating"].to_dict()
    assert ends == pytest.approx({row.agent: row.value for row in made.rows})
    starts = frame.groupby("agent").first()["rating"]
    assert set(starts) == {25.0}


def test_the_matrix_counts_a_draw_half_and_both_ways(comparison) -> None:
    frame = win_matrix(judged(comparison, "lldbr")).set_index(["agent", "other"])
    assert frame.loc[("first", "second")].to_list() == [0.625, 2, 1, 1]
    assert frame.loc[("second", "first")].to_list() == [0.375, 1, 1, 2]


def test_long_questions_are_wrapped_so_that_the_cells_fit_on_a_phone() -> None:
    asked = "Which player was better at looking for caves in places not yet explored?"
    answers = pd.DataFrame([{"agent": "a", "question": asked, "share": 0.5, "answers": 2}])
    chart = profile_plot(answers, ["a"]).to_dict()
    (rows,) = chart["datasets"].values()
    lines = rows[0]["lines"].split("\n")
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == asked
    axis = chart["layer"][0]["encoding"]["y"]["axis"]
    assert axis["labelExpr"] == r"split(datum.label, '\n')"


def test_labels_are_spread_apart_about_their_values() -> None:
    places = spread([10.0, 10.1, 20.0], gap=1.0)
    assert places[1] - places[0] == pytest.approx(1.0)
    assert sum(places) == pytest.approx(40.1)
    assert sorted(places) == places
