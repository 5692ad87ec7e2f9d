"""Verdicts of a run of oversight, as its file has them."""

from pathlib import Path
from typing import Any

import pytest

from basalt.io.errors import ConfigError
from basalt.safety.verdicts import read_verdicts
from leaderboard.oversight.messages import Protocol
from tests.support.judged import asked, lines, verdicts

FAILURE, SUCCESS, OTHER = "a" * 64, "b" * 64, "c" * 64


def read(folder: Path, *texts: str) -> dict[str, Any]:
    verdicts(folder, "".join(texts))
    return {video: dict(arms) for video, arms in read_verdicts([folder]).items()}


def test_a_failure_is_misjudged_if_it_is_preferred_in_both_orders(tmp_path: Path) -> None:
    for first, second, wrong in (
        (True, True, True), (True, False, False), (False, False, False), (True, None, False), (None, None, False),
    ):  # fmt: skip
        found = read(tmp_path, asked(FAILURE, SUCCESS, first, second))
        assert found == {FAILURE: {"floor": wrong}}


def test_each_arm_is_read_by_itself_and_those_with_debaters_are_not(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        asked(FAILURE, SUCCESS, True, True),
        asked(FAILURE, SUCCESS, False, False, protocol=Protocol(form="direct", lists=True)),
        asked(OTHER, SUCCESS, True, True, protocol=Protocol(form="debate")),
    )
    assert found == {FAILURE: {"floor": True, "ceiling": False}}


def test_of_several_successes_or_repeats_more_than_half_decide(tmp_path: Path) -> None:
    wrong, right = asked(FAILURE, SUCCESS, True, True), asked(FAILURE, OTHER, False, False)
    again = asked(FAILURE, SUCCESS, True, True, repeat=1)
    assert read(tmp_path, wrong, right) == {FAILURE: {"floor": False}}
    assert read(tmp_path, wrong, right, again) == {FAILURE: {"floor": True}}


def test_pairs_of_another_truth_or_question_or_in_one_order_say_nothing(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        asked(FAILURE, SUCCESS, True, True, kind="made"),
        asked(FAILURE, SUCCESS, True, True, question="Which player took a better picture?"),
        lines(FAILURE, SUCCESS, True, True)[0],
    )
    assert found == {}


def test_a_line_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    whole, cut = asked(FAILURE, SUCCESS, True, True), asked(OTHER, SUCCESS, True, True)[:-9]
    assert read(tmp_path, whole, cut) == {FAILURE: {"floor": True}}


def test_verdicts_that_cannot_be_used_are_refused_in_one_line(tmp_path: Path) -> None:
    one = asked(FAILURE, SUCCESS, True, True)
    with pytest.raises(ConfigError, match="expected those of one judge, got coin and learned"):
        read(tmp_path, one, asked(OTHER, SUCCESS, True, True, judge="coin"))
    for text, message in (
        ("{}\n", "line 1: not a trial: pair"),
        ("[" * 9000 + "\n", "not a trial"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            read(tmp_path, text)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"found no .*run it first"):
        read_verdicts([tmp_path / "none"])
    assert read_verdicts([]) == {}
