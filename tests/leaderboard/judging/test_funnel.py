"""How many raters have come how far."""

from pathlib import Path

from leaderboard.judging.assignments import next_pair
from leaderboard.judging.funnel import Funnel, read_funnel
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.raters import join
from leaderboard.store.database import open_store
from leaderboard.store.models import AttentionCheck
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import ban
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()


def test_each_stage_counts_those_who_came_at_least_as_far(tmp_path: Path) -> None:
    store = open_store(tmp_path / "leaderboard.sqlite")
    study = fill(store, 3, 2)
    with store.read() as session:
        one, other = (episode.id for episode in all_pairs(session, study)[0])
    add_gold_pair(store, study, ADMIN, one, other, "left", practice=True)
    change_settings(
        store, study, ADMIN, open_signup=False, consent="We keep your answers.", pairs_per_rater=1,
        qualification_pairs=1, qualification_right=1, watch_share=0,
    )  # fmt: skip
    assert read_funnel(store, study, ADMIN) == Funnel(*[0] * 9)
    invite = create_invite(store, study, ADMIN, "batch 1", max_raters=20)

    def rater(name: str, *, consent: bool = True, answers: str = "") -> str:
        """Somebody who joins and answers rightly (r) or wrongly (w) as often as said."""
        who = join(store, study, name, invite=invite, consent=consent)
        for answer in answers:
            pair = next_pair(store, study, who)
            assert pair is not None
            with store.read() as session:
                check = session.get(AttentionCheck, pair.assignment_id)
            right = check.expected if check else "left"
            answer_pair(store, pair.assignment_id, who, right if answer == "r" else "both_bad")
        return who

    rater("reads", consent=False)
    rater("begins")
    rater("fails", answers="w")
    rater("qualifies", answers="r")
    rater("finishes", answers="rr")
    ban(store, study, ADMIN, rater("is banned", answers="rr"), "at random")
    assert read_funnel(store, study, ADMIN) == Funnel(
        joined=6, consented=5, qualified=3, judging=2, done=1, failed=1, banned=1, held=0, places=20
    )
    create_invite(store, study, ADMIN, "everybody")
    assert read_funnel(store, study, ADMIN).places is None
    store.close()
