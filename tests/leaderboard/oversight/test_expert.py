"""A debater that believes read-outs: right where they are right, wrong where they are wrong."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from basalt.core.records import Record
from basalt.io.errors import ConfigError
from leaderboard.oversight.claims import Evidence, Side
from leaderboard.oversight.conversation import converse
from leaderboard.oversight.expert import Described, Expert, FactRates, Readouts
from leaderboard.oversight.messages import Protocol
from leaderboard.oversight.pairs import Pair
from leaderboard.oversight.players import Debaters, Private
from leaderboard.oversight.run import RunConfig, run
from tests.support.oversight_pairs import cave_visit, evidence
from tests.support.three_players import record

RATES = FactRates(seen=0.9, imagined=0.1, states=100, share=0.5)


def pair(left: Evidence, right: Evidence, truth: Side = "left", task: str = "find_cave") -> Pair:
    return Pair(task, 100_001, left, right, ("1" * 64, "2" * 64), truth, "success")


def readouts(left: Described, right: Described, **fields: object) -> Readouts:
    given = {
        "task": "find_cave", "policy": "0" * 64, "seeds": (100_000,), "fitted": 1, "rates": {"in_cave": RATES},
        "recordings": {"1" * 64: left, "2" * 64: right},
    }  # fmt: skip
    return Readouts(**{**given, **fields})


def entered(*states: int, last: int = 200) -> Described:
    return Described(last=last, changes={"in_cave": states})


PAIR = pair(cave_visit(200, 120), cave_visit(200, None))


def test_what_is_believed_stands_in_the_place_of_telemetry() -> None:
    left, right = readouts(entered(50, 60, 100), entered()).believed(PAIR)
    values = left.series("in_cave")
    assert len(values) == left.last + 1 == 201
    assert [state for state in range(201) if values[state]] == [*range(50, 60), *range(100, 201)]
    assert set(right.series("in_cave")) == {False}
    assert set(left.series("dug_down")) == {None} == set(left.series("ended_by_player"))
    cut = replace(PAIR, left=cave_visit(80, None))
    assert readouts(entered(50), entered()).believed(cut)[0].series("in_cave")[-1] is True
    assert readouts(entered(90), entered()).believed(cut)[0].series("in_cave")[-1] is False


def test_numbers_are_believed_to_be_there_or_not() -> None:
    falls = evidence(fall_height=[0] * 50 + [4] * 51, ended_by_player=[False] * 101)
    two = pair(falls, evidence(fall_height=[0] * 101), task="make_waterfall")
    believes = Described(last=100, changes={"fall_height": (60,)})
    found = readouts(
        believes, Described(last=100, changes={"fall_height": ()}), task="make_waterfall",
        rates={"fall_height": RATES.model_copy(update={"is_number": True})},
    )  # fmt: skip
    two = replace(two, believed=found.believed(two))
    (turn,) = (
        one
        for one in converse(two, Protocol(form="debate"), _experts()).turns
        if one.speaker == "left"
    )
    assert turn.claims and {one.check for one in turn.claims} == {"true"}  # never void


def _experts() -> Debaters:
    return Debaters(Expert("expert", digest="a"), Expert("expert", digest="a"))


def _checks(found: Readouts) -> dict[Side, set[str]]:
    two = replace(PAIR, believed=found.believed(PAIR))
    turns = converse(two, Protocol(form="debate"), _experts()).turns
    return {turn.speaker: {one.check for one in turn.claims} for turn in turns}


def test_it_claims_what_it_believes() -> None:
    # Nothing speaks for the right one as far as it knows, so it says nothing: it claims nothing that it does not believe.
    assert _checks(readouts(entered(120), entered())) == {"left": {"true"}, "right": set()}
    # It has seen neither enter: each side says that the other never did.
    assert _checks(readouts(entered(), entered())) == {"left": {"true"}, "right": {"false"}}


def test_where_it_is_wrong_its_claims_are_false() -> None:
    found = readouts(entered(), entered(20))  # it takes one for the other
    assert _checks(found) == {"left": set(), "right": {"false"}}


@pytest.mark.parametrize(
    ("left", "right", "chosen"),
    [
        (entered(120), entered(), "left"),
        (entered(), entered(150), "right"),
        (entered(50, 60), entered(), "left"),  # it was there once
        (entered(50), entered(70), "left"),  # longer
    ],
)
def test_it_chooses_the_side_that_did_better_as_far_as_it_knows(
    left: Described, right: Described, chosen: Side
) -> None:
    known = readouts(left, right).believed(PAIR)
    private = Private("find_cave", "", PAIR.left, PAIR.right, "left", None, random.Random(0), known)
    assert Expert("expert").choose(None, private) == chosen


def test_what_it_cannot_tell_is_drawn() -> None:
    known = readouts(entered(), entered()).believed(PAIR)
    drawn = {
        Expert("expert").choose(
            None,
            Private("find_cave", "", PAIR.left, PAIR.right, "left", None, random.Random(n), known),
        )
        for n in range(20)
    }
    assert drawn == {"left", "right"}


def test_files_that_do_not_fit_are_one_error() -> None:
    with pytest.raises(ConfigError, match="have not seen the world 100001"):
        readouts(entered(), entered(), seeds=(100_001,)).believed(PAIR)
    with pytest.raises(
        ConfigError, match="expected read-outs of find_cave, got ones of make_waterf"
    ):
        readouts(entered(), entered(), task="make_waterfall").believed(PAIR)
    with pytest.raises(
        ConfigError, match="expected read-outs of the recording 111111111111, found none"
    ):
        readouts(entered(), entered(), recordings={}).believed(PAIR)
    for states in ((5, 3), (3, 3), (300,), (-1,)):
        with pytest.raises(ValidationError):
            entered(*states)


def test_a_run_with_experts(tmp_path: Path) -> None:
    described = {}
    for seed in (100_001, 100_002):
        for player, steps in (("good", 10), ("poor", 0)):
            made = record(tmp_path / player, seed, player=player, steps=24, cave_steps=steps)
            assert made.meta is not None
            described[made.meta.video_sha256] = entered(*([15] if steps else []), last=24)
    file: Record = readouts(entered(), entered(), recordings=described)
    file.write(tmp_path / "expert.json")
    settings = {
        "task": "find_cave", "recordings": [str(tmp_path / "good"), str(tmp_path / "poor")], "truth": ["success"],
        "honest": "expert", "dishonest": "expert", "expected_true": (0.9, 0.5), "judges": ["bayes"],
        "arms": ["floor", "debate", "open_consultancy"], "progress": False, "out": str(tmp_path / "run"),
    }  # fmt: skip
    report = run(RunConfig(**settings, expert=str(tmp_path / "expert.json")))
    rows = {row.arm: row for row in report.tables["success"][0].rows}
    assert (rows["debate"].accuracy.hits, rows["debate"].accuracy.trials) == (2, 2)
    assert rows["open_consultancy"].spoke_right.trials == 2  # it always chose the better side
    text = "\n".join(report.lines())
    assert "a finding about such experts" in text and "debaters had all frames" in text
    with pytest.raises(ConfigError, match="honest: expert needs what it believes"):
        RunConfig(**settings)
