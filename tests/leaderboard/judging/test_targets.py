"""Targets, the expected end and the stop rule; questions of a study's own."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from basalt.io.errors import StudyError
from leaderboard.http.api import create_app
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.invites import StudyFullError
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import join, new_rater_secret
from leaderboard.judging.targets import Count, _missing, read_targets
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import asked_questions, change_settings, get_settings

ADMIN = command_line_admin()


def judge(store: Store, study: StudyInfo, rater: str, winner: str = "left") -> None:
    served = next_pair(store, study, rater)
    assert served is not None
    reason = "no_opinion" if winner == "skip" else None
    answer_pair(store, served.assignment_id, rater, winner, skip_reason=reason)


def test_one_comparison_counts_for_its_pair_and_for_both_agents() -> None:
    def pairs(*counts: int, target: int | None) -> list[Count]:
        names = [("a", "b"), ("a", "c"), ("b", "c")]
        return [Count("t", pair, n, target) for pair, n in zip(names, counts, strict=True)]

    def agents(*counts: int, target: int | None) -> list[Count]:
        return [Count("t", (name,), n, target) for name, n in zip("abc", counts, strict=True)]

    assert _missing(pairs(1, 0, 5, target=2), agents(1, 6, 5, target=None)) == 3
    # The three that fill the pairs give a three more, b one and c two.
    assert _missing(pairs(1, 0, 5, target=2), agents(1, 6, 5, target=4)) == 3
    assert _missing(pairs(0, 0, 0, target=None), agents(0, 0, 0, target=3)) == 5
    assert _missing(pairs(0, 0, 0, target=None), agents(9, 0, 9, target=3)) == 3


def test_progress_against_targets_and_the_expected_end(store: Store, full_study: StudyInfo) -> None:
    change_settings(store, full_study, ADMIN, target_per_pair=3)
    rater = join(store, full_study, "ada")
    for winner in ("left", "skip", "draw", "right"):
        judge(store, full_study, rater, winner)
    newest = max(one.created for one in load_comparisons(store, full_study))
    oldest = min(one.created for one in load_comparisons(store, full_study))
    found = read_targets(store, full_study, ADMIN, now=newest + timedelta(hours=6))
    assert found.comparisons == 3
    assert found.missing == 3 * 3 - 3
    assert sum(one.comparisons for one in found.agents) == 2 * 3
    hours = (newest + timedelta(hours=6) - oldest) / timedelta(hours=1)
    assert found.per_day == pytest.approx(3 / hours * 24)
    assert found.expected_end is not None
    assert (found.expected_end - newest) / timedelta(hours=1) == pytest.approx(
        6 + hours * 2, rel=0.01
    )
    later = read_targets(store, full_study, ADMIN, now=newest + timedelta(days=3))
    assert (later.per_day, later.expected_end) == (0, None)


def test_the_stop_rule_keeps_new_raters_out_and_lets_others_finish(
    store: Store, full_study: StudyInfo
) -> None:
    ada = join(store, full_study, "ada")
    change_settings(store, full_study, ADMIN, stop_width=100.0)
    bob = join(store, full_study, "bob")  # nothing is connected yet, so no interval is narrow
    assert not read_targets(store, full_study, ADMIN).has_enough
    for _ in range(6):
        judge(store, full_study, ada)
    found = read_targets(store, full_study, ADMIN)
    assert found.has_enough and found.widest is not None and found.widest < 100
    with pytest.raises(StudyFullError, match="all the answers that it needs"):
        join(store, full_study, "eve")
    assert join(store, full_study, "bob") == bob
    judge(store, full_study, bob)
    change_settings(store, full_study, ADMIN, stop_width=found.widest / 10)
    join(store, full_study, "eve")


def test_a_study_asks_questions_of_its_own(store: Store, full_study: StudyInfo) -> None:
    own = {"direct": ["Who fell?"], "comparative": ["Who searched better?"]}
    with pytest.raises(StudyError, match="questions"):
        change_settings(store, full_study, ADMIN, questions={"direct": [""]})
    assert asked_questions(full_study, get_settings(store, full_study), "find_cave").direct == ()
    change_settings(store, full_study, ADMIN, questions=own)
    asked = asked_questions(full_study, get_settings(store, full_study), "find_cave")
    assert (asked.direct, asked.comparative) == (("Who fell?",), ("Who searched better?",))

    api = TestClient(create_app(store))
    shown = api.get(f"/studies/{full_study.name}").json()["questions"]["find_cave"]
    assert (shown["direct"], shown["comparative"]) == (own["direct"], own["comparative"])
    secret = new_rater_secret(store)
    rater = join(store, full_study, secret)
    served = next_pair(store, full_study, rater)
    assert served is not None
    headers = {"Authorization": f"Bearer {secret}"}

    def answer(question: str) -> int:
        responses = {"comparative": [{"question": question, "answer": "left"}]}
        body = {"pair": served.assignment_id, "winner": "left", "responses": responses}
        return api.post("/answers", json=body, headers=headers).status_code

    assert answer("my address is ...") == 409
    assert answer("Who searched better?") == 200
    (one,) = load_comparisons(store, full_study, questions=True)[1:]
    assert (one.question, one.winner) == ("Who searched better?", "left")
