"""What a process has read of a study stays what the store holds, whatever happens to its judgments."""

import pytest

from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair, undo_last
from leaderboard.judging.raters import erase, register_rater
from leaderboard.store.database import Store
from leaderboard.studies import export
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import ban, unban
from leaderboard.studies.export import iter_comparisons, load_comparisons
from leaderboard.studies.rules import StudyInfo


def judge(store: Store, study: StudyInfo, rater: str, why: str = "") -> None:
    pair = next_pair(store, study, rater)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "left", justification=why)


def test_new_judgments_bans_withdrawals_and_erasures_are_followed(
    store: Store, full_study: StudyInfo
) -> None:
    admin = command_line_admin()
    alice, bob = (register_rater(store, name) for name in ("alice", "bob"))

    def kept() -> list[str]:
        found = load_comparisons(store, full_study)
        assert found == list(iter_comparisons(store, full_study))
        return [one.justification for one in found]

    assert kept() == []
    judge(store, full_study, alice, "it swims")
    judge(store, full_study, bob, "it climbs")
    assert kept() == ["it swims", "it climbs"]
    judge(store, full_study, alice)
    assert len(kept()) == 3
    undo_last(store, full_study, alice)
    assert len(kept()) == 2
    ban(store, full_study, admin, bob, "test")
    assert kept() == ["it swims"]
    unban(store, full_study, admin, bob, "test")
    erase(store, alice)
    assert "it swims" not in kept()


def test_a_judgment_that_becomes_visible_late_is_read(store: Store, full_study: StudyInfo) -> None:
    """On PostgreSQL a lower number may be committed after a higher one."""
    rater = register_rater(store, "alice")
    judge(store, full_study, rater)
    judge(store, full_study, rater)
    whole = load_comparisons(store, full_study)
    del export._logs[store][full_study.id].comparisons[0]  # as if it had not been there
    assert load_comparisons(store, full_study) == whole


@pytest.mark.parametrize("sources", [{"human"}, {"telemetry"}])
def test_sources_are_chosen_after_reading(
    store: Store, full_study: StudyInfo, sources: set[str]
) -> None:
    judge(store, full_study, register_rater(store, "alice"))
    assert len(load_comparisons(store, full_study)) == 1
    assert len(load_comparisons(store, full_study, sources)) == ("human" in sources)
