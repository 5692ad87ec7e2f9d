"""A rating model of another package: `name` and `fit` are all that it needs."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basalt.cli.leaderboard import leaderboard_main
from basalt.core.comparisons import Comparison
from basalt.io.errors import ConfigError
from eval_ui.charts import development, rating_plot
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.html_report import board_html
from leaderboard.ratings.models import RATING_MODELS, RatingModel, Ratings
from leaderboard.ratings.overall import overall
from leaderboard.ratings.planning import plan, text_plan
from leaderboard.ratings.ranking import rate
from leaderboard.ratings.tables import table_records, text_tables
from leaderboard.ratings.trueskill import TRUESKILL
from tests.support.synthetic_comparisons import one_comparison, planted


class WinShare(RatingModel):
    """Share of comparisons won, a draw counting half; `both_bad` is a loss for both."""

    name = "win-share"

    def uses(self, comparison: Comparison) -> bool:
        return comparison.winner != "skip"

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        index = {name: i for i, name in enumerate(agents)}
        points, games = np.zeros((2, len(agents)))
        for one in comparisons:
            winner, loser = (index[name] for name in one.winner_loser)
            games[[winner, loser]] += 1
            if one.winner == "draw":
                points[[winner, loser]] += 0.5
            elif one.decisive:
                points[winner] += 1
        share = (points + 0.5) / (games + 1)
        return Ratings(share, np.sqrt(share * (1 - share) / (games + 1)), share)


MODEL = WinShare()


def test_a_model_of_two_attributes_makes_tables_intervals_plots_scores_and_plans() -> None:
    history = [*planted((0, 1, 3), 200, raters=12), one_comparison("a0", "a1", "both_bad", 300)]
    (table,) = rate(history, model=MODEL)
    assert [row.agent for row in table.rows] == ["a2", "a1", "a0"]
    analysis = analyse(table, replicates=60)
    assert [other.model for other in analysis.others] == [TRUESKILL, BRADLEY_TERRY]
    best, *_ = table_records([analysis])
    assert best["model"] == "win-share" and best["interval"] == "resampling range"
    assert best["win-share_low"] < best["win-share"] < best["win-share_high"] < 1
    assert {"mu", "sigma", "conservative", "mu_low", "bt", "bt_low"} <= set(best)
    for shown in (text_tables([analysis]), board_html(analysis, {})):
        assert "win-share; rows in order of rating." in shown
    frame = development(table)
    ends = frame.groupby("agent").last()["rating"].to_dict()
    assert ends == pytest.approx({row.agent: row.value for row in table.rows})
    assert "win-share" in json.dumps(rating_plot(analysis).to_dict())
    tasks = [table, replace(table, task="make_waterfall")]
    assert [row.agent for row in overall(tasks, replicates=20)] == ["a2", "a1", "a0"]
    made = plan(3, 0.5, sizes=[20, 40], model=MODEL)
    assert made.rows[1].width < 1 and made.model == "win-share"
    assert "win-share: resampling range (95%) of rating" in text_plan(made, MODEL)


def test_outcomes_that_a_model_uses_enter_its_bootstrap_too() -> None:
    history = planted((0, 1), 40, raters=40)
    noise = [one_comparison("a0", "a1", "both_bad", 50 + n, f"x{n}") for n in range(20)]
    (before,), (after,) = (rate(made, model=MODEL) for made in (history, history + noise))
    assert {row.agent: row.value for row in before.rows} != {
        row.agent: row.value for row in after.rows
    }
    assert bootstrap(before, 30) != bootstrap(after, 30)


@pytest.mark.parametrize("model", [TRUESKILL, BRADLEY_TERRY])
def test_the_fast_resampling_is_that_of_refitting(model: RatingModel) -> None:
    history = planted((0, 0.5, 1), 50, ties=0.5)
    counts = np.random.default_rng(1).integers(0, 3, (4, len(history)))
    names = ["a0", "a1", "a2"]
    fast = model.resample(history, names, counts)
    slow = RatingModel.resample(model, history, names, counts)
    for name in ("value", "error", "score"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), abs=1e-9)


def test_an_unknown_model_is_refused_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'trueskill'"):
        RATING_MODELS.get("trueskil")


def test_another_packages_model_is_a_choice_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = EntryPoint("win-share", f"{__name__}:MODEL", "basalt.rating_models")
    monkeypatch.setattr(RATING_MODELS, "_plugins", {"win-share": entry})
    argv = ["plan", "--agents", "3", "--width", "0.5", "--judgments", "20", "40"]
    assert leaderboard_main([*argv, "--model", "win-share"]) == 0
    assert "win-share: resampling range (95%) of rating 0.5 wide" in capsys.readouterr().out


def test_the_example_of_the_documentation_rates_agents() -> None:
    page = (Path(__file__).parents[3] / "docs/leaderboard.md").read_text(encoding="utf-8")
    code = next(one for one in page.split("```python\n") if "class WinShare" in one)
    found: dict[str, Any] = {}
    exec(code.partition("```")[0], found)
    (table,) = rate(planted((0, 1, 3), 100), model=found["WIN_SHARE"])
    assert [row.agent for row in table.rows] == ["a2", "a1", "a0"]
