"""Raters join by invitation, qualify, are checked, banned and forgotten; rights are the server's."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from basalt.io.errors import StudyError
from leaderboard.http.video_urls import episode_video, pair_videos, video_of_ticket
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair, list_gold_pairs, retire_gold_pair
from leaderboard.judging.invites import create_invite, list_invites, revoke_invite, study_of_invite
from leaderboard.judging.judgments import (
    AnswerRefusedError,
    answer_pair,
    undo_last,
)
from leaderboard.judging.quality import rater_reports, study_quality
from leaderboard.judging.rater_view import next_view, rater_view, studies_for_rater
from leaderboard.judging.raters import (
    erase,
    find_rater,
    join,
    rater_of_code,
    rater_status,
    register_rater,
)
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store
from leaderboard.store.models import (
    AttentionCheck,
    Episode,
    Judgment,
    Membership,
    Rater,
    RefusedAnswer,
)
from leaderboard.studies.access import (
    AccessDeniedError,
    TooManyRequestsError,
    add_admin,
    admin_of_email,
    admin_of_session,
    command_line_admin,
    log_in,
    log_out,
    remove_admin,
)
from leaderboard.studies.events import ban, history, requalify, unban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study
from leaderboard.studies.settings import change_settings, get_settings

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADMIN = command_line_admin()


def answer(store: Store, study: StudyInfo, rater: str, winner: str = "left", **options) -> str:
    pair = next_pair(store, study, rater)
    assert pair is not None
    return answer_pair(store, pair.assignment_id, rater, winner, **options).id


def gold_pairs(store: Store, study: StudyInfo) -> list[str]:
    """Gold pairs of every seed's first two episodes; the left one is the better."""
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode).order_by(Episode.seed, Episode.id)))
    pairs: dict[int, list[str]] = {}
    for episode in episodes:
        pairs.setdefault(episode.seed, []).append(episode.id)
    return [
        add_gold_pair(store, study, ADMIN, one, two, "left", "look!")
        for one, two, _ in pairs.values()
    ]


def expected_of(store: Store, assignment_id: str) -> str:
    with store.read() as session:
        return session.get_one(AttentionCheck, assignment_id).expected


def test_only_invited_raters_judge_a_closed_study(store: Store, full_study: StudyInfo) -> None:
    change_settings(store, full_study, ADMIN, open_signup=False)
    stranger = register_rater(store, "stranger")
    assert rater_status(store, full_study, stranger).state == "invite"
    with pytest.raises(AccessDeniedError, match="invitation"):
        next_pair(store, full_study, stranger)
    token = create_invite(store, full_study, ADMIN, "the lab", max_raters=1)
    with pytest.raises(AccessDeniedError, match="unknown invitation"):
        join(store, full_study, "alice", invite=token[:-1] + "x")
    alice = join(store, full_study, "alice", invite=token, name="Alice")
    assert join(store, full_study, "alice", invite=token) == alice == find_rater(store, "alice")
    assert next_pair(store, full_study, alice) is not None
    with pytest.raises(AccessDeniedError, match="already used"):
        join(store, full_study, "bob", invite=token)
    (info,) = list_invites(store, full_study, ADMIN)
    assert (info.label, info.raters) == ("the lab", 1)
    with store.read() as session:
        dump = str(session.execute(sa.text("SELECT * FROM invite")).all())
        dump += str(session.execute(sa.text("SELECT * FROM rater")).all())
    assert token not in dump and "alice" not in dump


def test_an_invite_ends(store: Store, full_study: StudyInfo) -> None:
    change_settings(store, full_study, ADMIN, open_signup=False)
    old = create_invite(store, full_study, ADMIN, "old", expires=NOON)
    gone = create_invite(store, full_study, ADMIN, "gone")
    (info,) = [one for one in list_invites(store, full_study, ADMIN) if one.label == "gone"]
    revoke_invite(store, full_study, ADMIN, info.id)
    for token in (old, gone):
        with pytest.raises(AccessDeniedError, match="expired"):
            join(store, full_study, "alice", invite=token, now=NOON)


def test_consent_comes_first_and_again_when_the_text_changes(
    store: Store, full_study: StudyInfo
) -> None:
    change_settings(store, full_study, ADMIN, consent="We keep your answers.")
    rater = join(store, full_study, "alice")
    assert rater_status(store, full_study, rater).state == "consent"
    with pytest.raises(AccessDeniedError, match="terms"):
        next_pair(store, full_study, rater)
    join(store, full_study, "alice", consent=True)
    assert rater_status(store, full_study, rater).state == "judge"
    change_settings(store, full_study, ADMIN, consent="We keep your answers for ever.")
    assert rater_status(store, full_study, rater).state == "consent"


def test_a_participant_of_a_platform_joins_once(store: Store, full_study: StudyInfo) -> None:
    first = join(store, full_study, "a", platform="prolific", participant="5f1")
    with pytest.raises(AccessDeniedError, match="joined already"):
        join(store, full_study, "b", platform="prolific", participant="5f1")
    assert join(store, full_study, "c", platform="mturk", participant="5f1") != first
    with pytest.raises(StudyError, match="platform"):
        join(store, full_study, "d", platform="pigeon", participant="5f1")


def test_the_qualification_decides_who_judges(store: Store, full_study: StudyInfo) -> None:
    change_settings(store, full_study, ADMIN, qualification_pairs=2, qualification_right=2)
    rater = register_rater(store, "alice")
    with pytest.raises(StudyError, match="too few gold pairs"):
        next_pair(store, full_study, rater)
    gold_pairs(store, full_study)
    for right in (True, False):
        pair = next_pair(store, full_study, rater)
        assert pair is not None and pair.qualification
        expected = expected_of(store, pair.assignment_id)
        given = expected if right else {"left": "right", "right": "left"}[expected]
        feedback = answer_pair(store, pair.assignment_id, rater, given).feedback
        assert feedback is not None
        assert (feedback.right, feedback.expected, feedback.explanation) == (
            right,
            expected,
            "look!",
        )
    assert rater_status(store, full_study, rater).state == "failed"
    with pytest.raises(AccessDeniedError, match="qualification"):
        next_pair(store, full_study, rater)
    requalify(store, full_study, ADMIN, rater)
    for _ in range(2):
        pair = next_pair(store, full_study, rater)
        assert pair is not None
        answer_pair(store, pair.assignment_id, rater, expected_of(store, pair.assignment_id))
    assert rater_status(store, full_study, rater).state == "judge"
    assert load_comparisons(store, full_study) == []
    assert [one.right_answers for one in list_gold_pairs(store, full_study, ADMIN)] == [2, 1] or [
        one.right_answers for one in list_gold_pairs(store, full_study, ADMIN)
    ] == [1, 2]


def test_an_answer_of_the_qualification_stays_once_the_right_one_is_told(
    store: Store, full_study: StudyInfo
) -> None:
    gold_pairs(store, full_study)
    change_settings(store, full_study, ADMIN, qualification_pairs=2, qualification_right=1)
    rater = register_rater(store, "alice")
    answer(store, full_study, rater)
    assert rater_view(store, full_study, rater).undoable_until is None
    with pytest.raises(AnswerRefusedError, match="no answer to withdraw"):
        undo_last(store, full_study, rater)


def test_gold_pairs_of_the_qualification_are_not_asked_again_nor_counted(
    store: Store, full_study: StudyInfo
) -> None:
    gold_pairs(store, full_study)
    change_settings(store, full_study, ADMIN, qualification_pairs=2)
    rater = register_rater(store, "alice")
    before = rater_view(store, full_study, register_rater(store, "bob")).total
    for _ in range(2):
        answer(store, full_study, rater)
    assert rater_view(store, full_study, rater).total == before - 2
    judged = 0
    while next_pair(store, full_study, rater) is not None:
        answer(store, full_study, rater)
        judged += 1
    assert judged == before - 2


def test_an_invite_tells_its_study(store: Store, full_study: StudyInfo) -> None:
    token = create_invite(store, full_study, ADMIN, "the lab")
    assert study_of_invite(store, token) == full_study
    assert study_of_invite(store, "forged") is None


def test_gold_pairs_are_of_one_seed_and_can_be_retired(store: Store, full_study: StudyInfo) -> None:
    first, _ = gold_pairs(store, full_study)
    with store.read() as session:
        one, other = session.scalars(sa.select(Episode).order_by(Episode.seed)).all()[::5]
    with pytest.raises(StudyError, match="same task and seed"):
        add_gold_pair(store, full_study, ADMIN, one.id, other.id, "left")
    retire_gold_pair(store, full_study, ADMIN, first)
    assert [one.retired is None for one in list_gold_pairs(store, full_study, ADMIN)] == [
        False,
        True,
    ]


@pytest.mark.parametrize("kind", ["gold", "repeat", "self"])
def test_checks_look_like_pairs_and_never_enter_ratings(
    store: Store, full_study: StudyInfo, kind: str
) -> None:
    gold_pairs(store, full_study)
    rater = register_rater(store, "alice")
    # A repeat needs pairs to repeat; of the two gold pairs one must be left.
    for _ in range(4 if kind == "repeat" else 1):
        answer(store, full_study, rater, "left")
    rated = rate(load_comparisons(store, full_study))
    change_settings(store, full_study, ADMIN, check_share=0.5, check_kinds=(kind,))
    pair = next_pair(store, full_study, rater, rng=random.Random(4))
    assert pair is not None
    with store.read() as session:
        check = session.get(AttentionCheck, pair.assignment_id)
    assert check is not None and check.kind == kind
    assert not pair.qualification
    assert pair_videos(store, pair)
    before = rater_view(store, full_study, rater).status.answered
    answer_pair(store, pair.assignment_id, rater, "left")
    assert rater_view(store, full_study, rater).status.answered == before + 1
    assert rate(load_comparisons(store, full_study)) == rated
    everything = load_comparisons(store, full_study, checks=True)
    assert rate(everything) == rated
    assert [one.is_check for one in everything] == [False] * (len(everything) - 1) + [True]
    asked = everything[-1]
    if kind == "repeat":
        (first,) = [one for one in everything if one.comparison_id == asked.pair_of]
        assert (asked.left, asked.right, asked.gold) == (first.right, first.left, None)
    else:
        assert asked.gold == check.expected and asked.pair_of is None
    (report,) = rater_reports(store, full_study, ADMIN)
    tally = {"gold": report.gold, "repeat": report.repeats, "self": report.self_pairs}[kind]
    assert tally[1] == 1
    if kind == "repeat":
        assert tally == (0, 1)  # left of the swapped pair is the other episode
        assert study_quality(store, full_study).repeated.count == 1


def test_who_fails_checks_is_banned_by_rule(store: Store, full_study: StudyInfo) -> None:
    change_settings(
        store, full_study, ADMIN, check_share=0.5, check_kinds=("self",), ban_after_failed_checks=2
    )
    rater = register_rater(store, "alice")
    rng = random.Random(1)
    with pytest.raises(AccessDeniedError, match="no longer judge"):
        for _ in range(12):
            pair = next_pair(store, full_study, rater, rng=rng)
            assert pair is not None
            answer_pair(store, pair.assignment_id, rater, "left")
    (event, *_) = history(store, full_study, ADMIN)
    assert (event.kind, event.by, event.rater_id) == ("ban", "rule", rater)
    assert load_comparisons(store, full_study) == []


def test_a_ban_takes_judgments_out_at_once_and_deletes_nothing(
    store: Store, full_study: StudyInfo
) -> None:
    alice, bob = (register_rater(store, name) for name in ("alice", "bob"))
    for rater in (alice, bob):
        for _ in range(3):
            answer(store, full_study, rater)
    before = rate(load_comparisons(store, full_study))
    pair = next_pair(store, full_study, bob)
    assert pair is not None
    ban(store, full_study, ADMIN, bob, "answers too fast")
    assert {one.rater for one in load_comparisons(store, full_study)} == {alice}
    with pytest.raises(AccessDeniedError):
        answer_pair(store, pair.assignment_id, bob, "left")
    with pytest.raises(AccessDeniedError):
        next_pair(store, full_study, bob)
    with pytest.raises(StudyError, match="already"):
        ban(store, full_study, ADMIN, bob, "again")
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Judgment)) == 6
    unban(store, full_study, ADMIN, bob, "a mistake")
    assert rate(load_comparisons(store, full_study)) == before
    assert next_pair(store, full_study, bob) is not None


def test_the_last_answer_is_taken_back_within_a_minute(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "alice")
    pair = next_pair(store, full_study, rater, now=NOON)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "left", now=NOON)
    assert rater_view(store, full_study, rater).undoable_until == NOON + timedelta(seconds=60)
    next_pair(store, full_study, rater, now=NOON)
    again = undo_last(store, full_study, rater, now=NOON + timedelta(seconds=59))
    assert (again.task, again.seed, again.steps) == (pair.task, pair.seed, pair.steps)
    assert load_comparisons(store, full_study) == []
    assert next_pair(store, full_study, rater, now=NOON + timedelta(minutes=1)) == again
    with pytest.raises(AnswerRefusedError, match="withdrawn"):
        answer_pair(store, pair.assignment_id, rater, "left", now=NOON)
    answer_pair(store, again.assignment_id, rater, "right", now=NOON + timedelta(minutes=1))
    assert [one.winner for one in load_comparisons(store, full_study)] == ["right"]
    with pytest.raises(AnswerRefusedError, match="within 60 s"):
        undo_last(store, full_study, rater, now=NOON + timedelta(minutes=3))
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Judgment)) == 2


def test_a_forgotten_rater_leaves_the_votes_only(store: Store, full_study: StudyInfo) -> None:
    rater = join(store, full_study, "alice", name="Alice", platform="other", participant="p1")
    events = [{"type": "play", "clock": 1_700_000_000_000}]
    answer(store, full_study, rater, justification="I, Alice, say so", video_events=events)
    before = rate(load_comparisons(store, full_study))
    erase(store, rater)
    assert rate(load_comparisons(store, full_study)) == before
    with store.read() as session:
        assert session.get_one(Rater, rater).name is None
        assert session.get_one(Membership, (full_study.id, rater)).participant is None
        (judgment,) = session.scalars(sa.select(Judgment))
        assert (judgment.justification, judgment.video_events) == ("", [])
    (report,) = rater_reports(store, full_study, ADMIN)
    assert (report.forgotten, report.name, report.judged) == (True, None, 1)
    with pytest.raises(AccessDeniedError):
        find_rater(store, "alice")
    assert join(store, full_study, "alice") != rater


def test_limits_and_completion_codes(store: Store, full_study: StudyInfo) -> None:
    change_settings(
        store, full_study, ADMIN, pairs_per_rater=2, completion_url="https://x.test/done?cc={code}"
    )
    rater = register_rater(store, "alice")
    assert rater_view(store, full_study, rater).ending is None
    answer(store, full_study, rater)
    answer(store, full_study, rater)
    assert next_pair(store, full_study, rater) is None
    assert rater_view(store, full_study, rater).total == 2
    done = rater_view(store, full_study, rater).ending
    assert done is not None and done.address == f"https://x.test/done?cc={done.code}"
    assert rater_of_code(store, full_study, ADMIN, done.code.lower()) == rater
    assert rater_of_code(store, full_study, ADMIN, "F" * 12) is None
    change_settings(store, full_study, ADMIN, completion_code="C0DE")
    done = rater_view(store, full_study, rater).ending
    assert done is not None
    assert (done.code, done.address) == ("C0DE", "https://x.test/done?cc=C0DE")


def test_answers_need_watching_reasons_and_a_human_pace(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "alice")
    change_settings(store, full_study, ADMIN, watch_share=0.9, reason_characters=10)
    pair = next_pair(store, full_study, rater, now=NOON)
    assert pair is not None
    later = NOON + timedelta(minutes=5)
    for options in (
        {"watched": (1.0, 1.0), "justification": "short", "now": later},
        {"watched": (1.0, 0.5), "justification": "long enough", "now": later},
        {"justification": "long enough", "now": later},
        {"watched": (1.0, 1.0), "justification": "long enough", "now": NOON},
    ):
        with pytest.raises(AnswerRefusedError):
            answer_pair(store, pair.assignment_id, rater, "left", **options)
    answer_pair(store, pair.assignment_id, rater, "skip", skip_reason="broken", now=NOON)
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RefusedAnswer)) == 4
    change_settings(
        store, full_study, ADMIN, watch_share=0.0, reason_characters=0, answers_per_minute=1
    )
    pair = next_pair(store, full_study, rater, now=NOON)
    assert pair is not None
    with pytest.raises(TooManyRequestsError):
        answer_pair(store, pair.assignment_id, rater, "left", now=NOON)
    answer_pair(store, pair.assignment_id, rater, "left", now=NOON + timedelta(seconds=61))


def test_settings_are_checked_and_their_changes_kept(store: Store, full_study: StudyInfo) -> None:
    with pytest.raises(StudyError, match="check_share"):
        change_settings(store, full_study, ADMIN, check_share=2)
    with pytest.raises(StudyError, match="no_such"):
        change_settings(store, full_study, ADMIN, no_such=2)
    change_settings(store, full_study, ADMIN, undo_seconds=30)
    change_settings(store, full_study, ADMIN, undo_seconds=30)
    assert get_settings(store, full_study).undo_seconds == 30
    assert [one.kind for one in history(store, full_study, ADMIN)] == ["settings"] * 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET kind = 'unban'",
        "DELETE FROM event",
        "UPDATE judgment SET winner = 'draw', justification = ''",
        "UPDATE judgment SET justification = 'other words'",
    ],
)
def test_the_database_refuses_to_rewrite_history(
    store: Store, full_study: StudyInfo, change: str
) -> None:
    rater = register_rater(store, "alice")
    answer(store, full_study, rater, justification="why")
    ban(store, full_study, ADMIN, rater, "reason")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.write() as session:
        session.execute(sa.text(change))


def test_admins_log_in_by_password_or_email(store: Store) -> None:
    with pytest.raises(StudyError, match="at least 12 characters"):
        add_admin(store, "ada", password="short")
    add_admin(store, "ada", password="correct horse battery", email="Ada@x.test")
    secret = log_in(store, "ada", "correct horse battery", now=NOON)
    assert admin_of_session(store, secret, now=NOON).name == "ada"
    for wrong in (secret + "x", "", None):
        with pytest.raises(AccessDeniedError):
            admin_of_session(store, wrong, now=NOON)
    with pytest.raises(AccessDeniedError):
        admin_of_session(store, secret, now=NOON + timedelta(hours=13))
    assert admin_of_email(store, "ada@x.test", verified=True).name == "ada"
    with pytest.raises(AccessDeniedError):
        admin_of_email(store, "ada@x.test", verified=False)
    with pytest.raises(AccessDeniedError):
        admin_of_email(store, None, verified=True)
    log_out(store, secret)
    with pytest.raises(AccessDeniedError):
        admin_of_session(store, secret, now=NOON)
    with store.read() as session:
        dump = str(session.execute(sa.text("SELECT * FROM admin")).all())
    assert "correct horse" not in dump and "argon2id" in dump
    remove_admin(store, "ada")
    with pytest.raises(AccessDeniedError):
        admin_of_email(store, "ada@x.test", verified=True)


def test_guessing_passwords_is_slowed_down(store: Store) -> None:
    with pytest.raises(TooManyRequestsError):
        for _ in range(7):
            with pytest.raises(AccessDeniedError):
                log_in(store, f"nobody at {store.url}", "guess")


def test_video_addresses_are_opaque_signed_and_expire(store: Store, full_study: StudyInfo) -> None:
    pair = next_pair(store, full_study, register_rater(store, "alice"), now=NOON)
    assert pair is not None
    videos = pair_videos(store, pair)
    ticket = videos.left.rsplit("/", 1)[1]
    assert (store.media / video_of_ticket(store, ticket, now=NOON)).is_file()
    for wrong in (ticket[:-2] + "aa", "", "../../etc/passwd", ticket.split(".")[0] + ".", "é.é"):
        with pytest.raises(AccessDeniedError):
            video_of_ticket(store, wrong, now=NOON)
    with pytest.raises(AccessDeniedError, match="no longer reserved"):
        video_of_ticket(store, ticket, now=NOON + timedelta(hours=1))
    with store.read() as session:
        episode = session.scalars(sa.select(Episode)).first()
    assert episode is not None
    ticket = episode_video(store, episode.id, now=NOON).rsplit("/", 1)[1]
    assert video_of_ticket(store, ticket, now=NOON) == f"{episode.media_name}.mp4"


def test_a_page_of_the_app_is_read_in_three_sessions(
    store: Store, full_study: StudyInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater = join(store, full_study, "alice")
    opened: list[str] = []

    def counted(kind: str, real: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: (opened.append(kind), real())[1]

    for kind in ("read", "write"):
        monkeypatch.setattr(store, kind, counted(kind, getattr(store, kind)))
    view, pair = next_view(store, full_study, rater)
    assert pair is not None and pair_videos(store, pair).left
    assert (view.status.state, view.status.answered, view.ending) == ("judge", 0, None)
    # A process first reads the study's judgments. Serving writes; links to videos are signed with the store's own
    # secret, read once.
    assert opened[:4] == ["read", "read", "write", "read"] and len(opened) <= 6
    opened.clear()
    assert next_view(store, full_study, rater)[1] == pair and pair_videos(store, pair)
    assert opened == ["read", "write", "read"]


def test_raters_see_the_studies_they_may_judge_or_read(store: Store, full_study: StudyInfo) -> None:
    hidden = create_study(store, "hidden", full_study.rules)
    change_settings(store, hidden, ADMIN, open_signup=False, show_results=False)
    join(store, hidden, "alice", invite=create_invite(store, hidden, ADMIN, "for Alice"))
    names = {
        token: [study.name for study in studies_for_rater(store, token)]
        for token in ("alice", "bob")
    }
    # Who is invited to a study knows of it, and of those that they joined themselves.
    assert names == {"alice": ["hidden"], "bob": ["small"]}
    join(store, full_study, "alice")
    assert [study.name for study in studies_for_rater(store, "alice")] == ["hidden", "small"]
