"""The planner: more comparisons, narrower intervals; the same question, the same answer."""

import json

import pytest

from basalt.cli.leaderboard import leaderboard_main
from basalt.io.errors import ConfigError
from leaderboard.ratings.planning import plan, text_plan


def test_more_comparisons_give_narrower_intervals_and_the_need_lies_between() -> None:
    made = plan(4, 9.0, sizes=[400, 50])
    small, large = made.rows
    assert (small.comparisons, large.comparisons) == (50, 400)
    assert small.width - small.error > large.width + large.error
    middle = (small.width + large.width) / 2
    between = plan(4, middle, sizes=[50, 400])
    assert between.needed is not None and 50 < between.needed < 400
    assert plan(4, middle, sizes=[50, 400]) == between
    assert plan(4, large.width / 2, sizes=[50, 400]).needed is None


def test_sizes_grow_until_the_wanted_width_is_reached() -> None:
    made = plan(3, 10.0)
    *before, last = made.rows
    assert last.width + last.error < 10
    assert all(row.width + row.error >= 10 for row in before)


def test_a_width_below_what_drift_allows_is_said_to_be_out_of_reach() -> None:
    assert "skills drift" in text_plan(plan(3, 0.5, sizes=[1000, 2000]))
    too_few = text_plan(plan(4, 0.5, sizes=[50, 400]))
    assert "None of the simulated sizes is enough." in too_few and "drift" not in too_few


def test_the_command_states_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["plan", "--agents", "3", "--width", "8", "--judgments", "40", "80"]
    assert leaderboard_main(argv) == 0
    shown = capsys.readouterr().out
    assert "Assumed: true skills spread by 4.17" in shown and "10% draws" in shown
    assert leaderboard_main([*argv, "--json", "--draws", "0.3"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [row["comparisons"] for row in made["rows"]] == [40, 80]
    assert made["draws"] == 0.3


@pytest.mark.parametrize(
    ("agents", "width", "sizes"),
    [(1, 4.0, None), (3, 0.0, None), (3, float("nan"), None), (3, 4.0, [0])],
)
def test_numbers_out_of_bounds_are_refused(
    agents: int, width: float, sizes: list[int] | None
) -> None:
    with pytest.raises(ConfigError, match=r"^plan: "):
        plan(agents, width, sizes=sizes)
