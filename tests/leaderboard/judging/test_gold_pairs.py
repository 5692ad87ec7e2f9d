"""Gold pairs: practice and attention checks are two sets, and reasons name the side that a rater sees."""

import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from basalt.io.errors import StudyError
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair, list_gold_pairs
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.raters import join, rater_status
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
WHY = "{better} walked in, {worse} stayed outside"


@pytest.fixture
def place(tmp_path: Path):
    """A study with two practice pairs that say why, and two pairs for checks."""
    store = open_store(str(tmp_path / "leaderboard.sqlite"), tmp_path / "media")
    study = fill(store, 4, 4)
    with store.read() as session:
        pairs = [(one.id, other.id) for one, other in all_pairs(session, study)]
    for number, pair in enumerate(pairs[:4]):
        add_gold_pair(store, study, ADMIN, *pair, "left", WHY, practice=number < 2)
    yield store, study
    store.close()


def test_practice_uses_up_no_check_and_says_why_by_side(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    change_settings(
        store, study, ADMIN, qualification_pairs=2, qualification_right=0, check_share=0.5,
        check_kinds=("gold",), answers_per_minute=10_000,
    )  # fmt: skip
    said = set()
    for number in range(8):
        rater = join(store, study, f"rater {number}")
        for _ in range(2):
            pair = next_pair(store, study, rater)
            assert pair is not None and pair.qualification
            feedback = answer_pair(store, pair.assignment_id, rater, "draw").feedback
            assert feedback is not None
            other = {"left": "right", "right": "left"}[feedback.expected]
            assert feedback.explanation == (
                f"The {feedback.expected} player walked in, the {other} player stayed outside"
            )
            said.add(feedback.expected)
    assert said == {"left", "right"}  # sides are drawn
    rng = random.Random(0)
    while rater_status(store, study, rater).state == "judge":
        pair = next_pair(store, study, rater, rng=rng)
        assert pair is not None
        answer_pair(store, pair.assignment_id, rater, "draw")
    with store.read() as session:
        asked = session.execute(
            sa.select(AttentionCheck.kind, AttentionCheck.gold_id).where(
                AttentionCheck.rater_id == rater
            )
        ).all()
    use = {gold.id: gold.practice for gold in list_gold_pairs(store, study, ADMIN)}
    assert sorted(kind for kind, _ in asked) == ["gold"] * 2 + ["qualification"] * 2
    assert all(use[gold] == (kind == "qualification") for kind, gold in asked)


@pytest.mark.parametrize(
    ("better", "why", "problem"),
    [
        ("left", "The right player ends in a cave", "'right' would be wrong half of the time"),
        ("draw", "{better} was a little faster", "neither is"),
    ],
)
def test_reasons_that_cannot_be_shown_are_refused(
    place: tuple[Store, StudyInfo], better: str, why: str, problem: str
) -> None:
    store, study = place
    with store.read() as session:
        *_, (one, other) = all_pairs(session, study)
    with pytest.raises(StudyError, match=problem):
        add_gold_pair(store, study, ADMIN, one.id, other.id, better, why)
