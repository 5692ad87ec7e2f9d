"""`basalt oversight run` and `report`: resumed, bounded, and every figure of the table counted by hand."""

from pathlib import Path

import pytest

from basalt.cli.main import run as basalt
from basalt.core.tasks import get_task
from basalt.io.errors import ConfigError, RecordingError
from leaderboard.oversight.claims import SIDES, Side
from leaderboard.oversight.messages import Protocol, Transcript, Turn
from leaderboard.oversight.pairs import Episode, known_pairs, load_episodes
from leaderboard.oversight.report import Report, Row, report
from leaderboard.oversight.run import RunConfig, run
from leaderboard.oversight.statistics import (
    Unit,
    by_length,
    calibration,
    discordant,
    misled,
    position,
    settled,
    stability,
)
from leaderboard.oversight.trials import Trial
from tests.support.oversight_pairs import cave_visit
from tests.support.three_players import record


def trial(pair: str, first: Side, verdict: Side | None, left: float | None, truth: Side) -> Trial:
    return Trial(
        trial=f"{pair}{first}", pair=pair, task="find_cave", question="", world_seed=ord(pair), split="train",
        videos=("", ""), truth=truth, kind="made", protocol=Protocol(form="debate"), honest="a", dishonest="b",
        judge="j", first=first, repeat=0, seed=0, transcript="t", request="r", verdict=verdict, left=left, reply="",
        seconds=1.0, tokens_in=None, tokens_out=None, cost=None, package_version="0",
    )  # fmt: skip


def unit(
    pair: str, verdicts: tuple[Side | None, Side | None], truth: Side = "left", words: int = 0
) -> Unit:
    """A pair in both orders; the chance of a verdict is 0.8, and `words` more are said for the left side."""
    trials = [
        trial(pair, first, verdict, {"left": 0.8, "right": 0.2, None: 0.5}[verdict], truth)
        for first, verdict in zip(SIDES, verdicts, strict=True)
    ]
    turns = tuple(
        Turn(speaker=side, round=0, argument="w " * (9 + words * (side == "left")), claims=())
        for side in SIDES
    )
    return Unit((pair, 0), trials[0], trials[1], Transcript(made_by="", turns=turns))


UNITS = [
    unit("a", ("left", "left"), words=3),
    unit("b", ("left", "right"), words=-3),  # the place that is shown first
    unit("c", ("right", "left"), words=3),  # the place that is shown second
    unit("d", ("right", "right")),
    unit("e", (None, "left"), words=3),
    unit("f", ("right", "right"), truth="right", words=3),
]


def test_no_verdict_is_not_right() -> None:
    assert [one.is_right for one in UNITS] == [True, False, False, False, False, True]
    assert [one.verdict for one in UNITS] == ["left", None, None, "right", None, "right"]
    assert settled(UNITS) == pytest.approx((1 + 0.5 + 0.5 + 0 + 0.75 + 1) / 6)


def test_position_is_measured_where_both_orders_have_a_winner() -> None:
    consistency, first = position(UNITS)
    assert (consistency.hits, consistency.trials) == (3, 5)
    assert (first.hits, first.trials) == (1, 2)


def test_length_bias_and_persuasion() -> None:
    longer, shorter = by_length(UNITS)
    assert (longer.hits, longer.trials) == (1, 3)
    assert (shorter.hits, shorter.trials) == (1, 2)
    floor = [unit(name, ("left", "left")) for name in "abcx"]
    assert discordant(UNITS, floor) == (0, 2)
    assert (misled(UNITS, floor).hits, misled(UNITS, floor).trials) == (2, 3)


def test_calibration() -> None:
    same = [unit("a", ("left", "left")), unit("b", ("right", "right"))]
    found = calibration(same)
    assert found is not None
    assert found.brier == pytest.approx((0.2**2 + 0.8**2) / 2)
    assert found.log_loss == pytest.approx(0.9163, abs=1e-4)
    assert found.bins is None
    halves = calibration([unit("a", ("left", "right"))] * 200)
    assert halves is not None and halves.brier == 0.25
    assert halves.log_loss == pytest.approx(0.6931, abs=1e-4)
    assert halves.bins == ((0.5, 1.0, 200),)


def test_repeats_agree_or_do_not() -> None:
    again = [UNITS[0], unit("a", ("left", "right"))]
    assert (stability(again).hits, stability(again).trials) == (1, 2)
    assert stability(UNITS).share is None


def episode(video: str, seed: int, entered: int | None, ended: str = "esc") -> Episode:
    known = cave_visit(100, entered, ended)
    task = get_task("find_cave")
    assert task.success
    return Episode(video * 64, seed, known, task.success.outcome(known.states, ended))


def test_pairs_have_a_strict_truth_and_the_others_are_counted() -> None:
    task = get_task("find_cave")
    episodes = [episode("1", 1, 60), episode("2", 1, None), episode("3", 1, 50), episode("4", 2, 1)]
    won = known_pairs(episodes, task, "success")
    assert (len(won.pairs), won.left_out) == (2, 1)
    for one in won.pairs:
        better = one.videos[one.truth == "right"]
        assert better in ("1" * 64, "3" * 64)
    with pytest.raises(ConfigError, match="truth=rank: expected two recordings"):
        known_pairs(episodes[:2], task, "rank")
    ranked = known_pairs([episode("1", 1, 60, "limit"), episode("2", 1, 50, "limit")], task, "rank")
    assert ranked.pairs[0].videos[ranked.pairs[0].truth == "right"] == "2" * 64
    made = known_pairs(episodes, task, "made", cuts=(1, 6))
    assert (len(made.pairs), made.left_out) == (3, 5)
    for one in made.pairs:
        worse = one.evidence("right" if one.truth == "left" else "left")
        assert (worse.last, worse.ended) == (80, "cut")
    assert len({one.key for one in (*won.pairs, *made.pairs)}) == 5


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two players on three seeds: one finds the cave, one does not."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed in (100_001, 100_002, 100_003):
        record(folder / "good", seed, player="good", cave_steps=10, steps=24)
        record(folder / "poor", seed, player="poor", steps=24)
    return folder


def test_recordings_for_testing_are_refused(tmp_path: Path) -> None:
    task = get_task("find_cave")
    with pytest.raises(RecordingError, match="no such folder"):
        load_episodes([str(tmp_path / "none")], task)
    record(tmp_path, 230_001, steps=2)
    with pytest.raises(ConfigError, match="held-out seed"):
        load_episodes([str(tmp_path)], task)


def config(recordings: Path, out: Path, **settings: object) -> RunConfig:
    given = {
        "task": "find_cave", "recordings": str(recordings), "truth": ["success", "made"], "cuts": [0.6],
        "dishonest_true": 0.25, "honest_true": 0.9, "look": 0.6, "repeats": 2, "out": str(out), "progress": False,
    }  # fmt: skip
    return RunConfig(**{**given, **settings})


def rows(made: Report, kind: str = "success") -> dict[str, Row]:
    return {f"{one.arm} {one.judge.split()[0]}": one for one in made.tables[kind][0].rows}


def test_a_run_resumes_and_grows(recordings: Path, tmp_path: Path) -> None:
    first = run(config(recordings, tmp_path, arms=["floor", "debate"]))
    assert set(rows(first)) == {"floor bayes", "debate bayes"}
    lines = (tmp_path / "trials.jsonl").read_bytes().splitlines()
    # Two kinds of truth, three pairs each, two repeats, two arms, two orders.
    assert len(lines) == 2 * 3 * 2 * 2 * 2
    again = run(config(recordings, tmp_path, arms=["floor", "debate"]))
    assert again == first
    assert (tmp_path / "trials.jsonl").read_bytes().splitlines() == lines
    more = run(config(recordings, tmp_path, judges=["bayes", "count"]))
    assert (tmp_path / "trials.jsonl").read_bytes().splitlines()[: len(lines)] == lines
    assert rows(more)["debate bayes"] == rows(first)["debate bayes"].model_copy(
        update={"p": rows(more)["debate bayes"].p}  # its family has grown
    )
    with pytest.raises(ConfigError, match="was made with checked"):
        run(config(recordings, tmp_path, checked=0.5))


def test_the_table_of_a_run(recordings: Path, tmp_path: Path) -> None:
    judges = ["bayes", "count", "always_left"]
    made = run(
        config(recordings, tmp_path, judges=judges, dishonest_true=0.0, honest_true=1.0, right=0.0)
    )
    found = rows(made)
    assert list(made.tables) == ["made", "success"]
    debate = found["debate count"]
    assert (debate.accuracy.hits, debate.accuracy.trials, debate.clusters) == (6, 6, 3)
    assert debate.honest_claims.checks == {"true": 18}
    assert debate.dishonest_claims.checks == {"false": 18}
    assert debate.consistency.value == 1 and debate.none.hits == 0
    assert debate.against_floor == (6, 0)  # without claims it cannot tell
    assert debate.splits == {"train": 6} and debate.tokens is None
    left = found["floor always_left"]
    assert left.consistency.hits == 0 and left.first_place.value == 1 and not left.is_reported
    assert left.settled == 0.5
    chosen = found["open_debate count"]  # the first debater always chose the wrong side
    assert (chosen.spoke_wrong.hits, chosen.spoke_wrong.trials) == (6, 6)
    assert chosen.spoke_right.trials == 0
    text = "\n".join(made.lines())
    assert "exactly one of the two recordings succeeded; 0 pairs left out; seeds: train" in text
    assert "nothing here is a finding about debate" in text
    assert "floor, always_left: not reported, 100% of the pairs have no verdict" in text


def test_the_commands(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["task=find_cave", f"recordings={recordings}", "truth=[success]", f"out={out}"]
    assert basalt(["oversight", "run", *words, "arms=[floor,debate]", "progress=false"]) == 0
    printed = capsys.readouterr().out
    assert "debate" in printed
    saved = tmp_path / "report.json"
    assert basalt(["oversight", "report", f"runs={out}", f"out={saved}"]) == 0
    assert capsys.readouterr().out == printed
    assert Report.read(saved) == report([out])
    assert basalt(["oversight", "report", f"runs={tmp_path}"]) == 1
    assert "expected a folder of `basalt oversight run`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judges": ["solomon"]}, "judges: unknown option 'solomon'"),
        ({"honest": "orakle"}, "honest: unknown option 'orakle'; did you mean 'oracle'?"),
        ({"judges": ["naive"]}, "judges: naive believes the only speaker"),
        ({"checked": 1.5}, "checked: expected at most 1"),
        ({"truth": ["gold"]}, "unknown option 'gold'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(task="find_cave", **settings)
