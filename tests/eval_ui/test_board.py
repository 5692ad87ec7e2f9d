"""The table's HTML: figures in order, strangers' names escaped."""

from dataclasses import replace

from eval_ui.board import board_html, rating_plot
from leaderboard.analysis import Analysis, analyse
from leaderboard.bootstrap import MIN_COMPARISONS, Interval
from leaderboard.rating import Row, Table

HOSTILE = '<script>alert("x")</script>'


def table(*names: str) -> Analysis:
    rows = tuple(
        Row(name, mu=25.0 - place, sigma=2.0, comparisons=3, wins=1, losses=1, draws=1, both_bad=2,
            source="telemetry")
        for place, name in enumerate(names)
    )  # fmt: skip
    return analyse(Table("study", "find_cave", "<b>luanti</b>", "5.6.1", "telemetry", rows))


def test_every_text_a_stranger_wrote_is_escaped() -> None:
    html = board_html(table(HOSTILE, "plain"))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html


def test_rows_say_rating_uncertainty_and_count() -> None:
    html = board_html(table("first", "second"))
    assert html.index("first") < html.index("second")
    for cell in ("25.00", "2.00", "19.00", "<td>3</td>", "1 – 1 – 1", "<td>2</td>"):
        assert cell in html
    assert "a stand-in where no person has judged" in html


def test_the_plot_shows_two_deviations_to_each_side() -> None:
    data = rating_plot(table("first")).to_dict()["datasets"]
    ((row,),) = data.values()
    assert (row["low"], row["rating"], row["high"]) == (21.0, 25.0, 29.0)
    assert row["bar"] == "μ ± 2σ"


def test_intervals_and_places_are_shown_where_there_are_comparisons_enough() -> None:
    few = table("first", "second")
    enough = replace(
        few,
        intervals={
            "first": Interval(23.5, 26.5, 1, 2, MIN_COMPARISONS),
            "second": Interval(22.5, 25.5, 2, 2, MIN_COMPARISONS - 1),
        },
    )
    assert "<td>1 – 2</td>" in board_html(enough)
    assert board_html(enough).count("too few comparisons") == 1
    assert board_html(few).count("too few comparisons") == 2
    (rows,) = rating_plot(enough).to_dict()["datasets"].values()
    assert [(row["low"], row["high"], row["bar"]) for row in rows] == [
        (23.5, 26.5, "95 % by bootstrap"),
        (20.0, 28.0, "μ ± 2σ"),
    ]
