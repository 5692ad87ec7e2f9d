"""Answers to the tasks' own questions, by agent."""

from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.ratings.profiles import Profile, profiles
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, Episode
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo

FOUND, FASTER = "Did this player find a cave?", "Which player was faster?"


def answer(store: Store, study: StudyInfo, responses: dict[str, object]) -> tuple[str, str]:
    """One answer with these responses; returns the names of the left and the right agent."""
    rater = register_rater(store, "rater")
    pair = next_pair(store, study, rater)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "left", responses=responses)
    with store.read() as session:
        served = session.get_one(Assignment, pair.assignment_id)
        sides = (served.left_episode_id, served.right_episode_id)
        left, right = (session.get_one(Episode, side).agent.name for side in sides)
    return left, right


def found(store: Store, study: StudyInfo) -> list[Profile]:
    (table,) = rate(load_comparisons(store, study))
    return profiles(store, study, table)


def test_shares_of_yes_and_of_being_named(store: Store, full_study: StudyInfo) -> None:
    left, right = answer(
        store,
        full_study,
        {
            "comparative": [{"question": FASTER, "answer": "draw"}],
            "direct": [{"question": FOUND, "left": True, "right": False}],
        },
    )
    assert {
        (one.agent, one.question, one.kind, one.share, one.answers)
        for one in found(store, full_study)
    } == {
        (left, FOUND, "direct", 1.0, 1),
        (right, FOUND, "direct", 0.0, 1),
        (left, FASTER, "comparative", 0.5, 1),
        (right, FASTER, "comparative", 0.5, 1),
    }


def test_what_was_left_open_or_is_malformed_says_nothing(
    store: Store, full_study: StudyInfo
) -> None:
    answer(
        store,
        full_study,
        {
            "direct": [{"question": FOUND, "left": None, "right": "true"}],
            "comparative": [
                {"question": FASTER, "answer": None},
                {"question": FASTER, "answer": "na"},
                {"question": FASTER},
            ],
        },
    )
    assert found(store, full_study) == []
