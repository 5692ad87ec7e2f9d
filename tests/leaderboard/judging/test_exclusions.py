"""A ban and a failed qualification outlive the erasure of personal data, which still removes the person."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from leaderboard.http.api import create_server
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.participants import PLATFORMS
from leaderboard.judging.raters import erase, join, rater_status, register_rater
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck, Base, Exclusion, Membership, Rater
from leaderboard.studies.access import AccessDeniedError, command_line_admin, hash_secret
from leaderboard.studies.events import ban, record_ban, requalify, unban
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Store, StudyInfo]]:
    """A study by which raters must pass one of two practice pairs, and another one without, named `second`."""
    store = open_store(str(tmp_path / "leaderboard.sqlite"), tmp_path / "media")
    study = fill(store, 3, 2)
    with store.read() as session:
        pairs = [(one.id, other.id) for one, other in all_pairs(session, study)]
    for one, other in pairs[:2]:
        add_gold_pair(store, study, ADMIN, one, other, "left")
    change_settings(
        store, study, ADMIN, qualification_pairs=2, qualification_right=1, answers_per_minute=10_000
    )
    yield store, study
    store.close()


def practise(store: Store, study: StudyInfo, rater: str, *, right: bool, pairs: int = 2) -> None:
    for _ in range(pairs):
        pair = next_pair(store, study, rater)
        assert pair is not None and pair.qualification
        with store.read() as session:
            expected = session.get_one(AttentionCheck, pair.assignment_id).expected
        given = expected if right else "both_bad"
        answer_pair(store, pair.assignment_id, rater, given)


def banned(store: Store, study: StudyInfo, rater: str) -> None:
    ban(store, study, ADMIN, rater, "careless")


def banned_by_rule(store: Store, study: StudyInfo, rater: str) -> None:
    practise(store, study, rater, right=True)
    with store.write() as session:
        record_ban(session, study.id, rater, "rule", "failed 3 attention checks")


def failed(store: Store, study: StudyInfo, rater: str) -> None:
    practise(store, study, rater, right=False)


def beyond_passing(store: Store, study: StudyInfo, rater: str) -> None:
    change_settings(store, study, ADMIN, qualification_right=2)
    practise(store, study, rater, right=False, pairs=1)


def in_good_standing(store: Store, study: StudyInfo, rater: str) -> None:
    practise(store, study, rater, right=True)


def pardoned(store: Store, study: StudyInfo, rater: str) -> None:
    failed(store, study, rater)
    requalify(store, study, ADMIN, rater)
    banned(store, study, rater)
    unban(store, study, ADMIN, rater, "a mistake")


EXCLUDED = (banned, banned_by_rule, failed, beyond_passing)
FREE = (in_good_standing, pardoned)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    end=st.sampled_from(EXCLUDED + FREE),
    platform=st.sampled_from((None, *PLATFORMS)),
    participant=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30),
    returns=st.lists(
        st.sampled_from(("secret", "participant", "both", "app")), min_size=1, max_size=3
    ),
)
def test_who_may_not_judge_does_not_come_back_after_erasure_and_others_do(
    place: tuple[Store, StudyInfo],
    end: Callable[[Store, StudyInfo, str], None],
    platform: str | None,
    participant: str,
    returns: list[str],
) -> None:
    store, study = place
    change_settings(store, study, ADMIN, qualification_right=1)
    participant += uuid4().hex  # nobody of an example before
    person: dict[str, Any] = (
        {} if platform is None else {"platform": platform, "participant": participant}
    )
    secret = uuid4().hex
    rater = join(store, study, secret, name="Alice", **person)
    end(store, study, rater)
    erase(store, rater)
    change_settings(store, study, ADMIN, qualification_right=1)
    for way in returns:
        used = uuid4().hex if way == "participant" else secret
        known = way != "participant" or platform is not None
        if way == "app":
            state = rater_status(store, study, register_rater(store, used)).state
            assert (state == "banned") == (end in EXCLUDED)
            continue
        named: dict[str, Any] = {} if way == "secret" else person
        if end in EXCLUDED and known:
            with pytest.raises(AccessDeniedError, match=r"no longer judge|did not pass"):
                join(store, study, used, **named)
        else:
            back = join(store, study, used, **named)
            assert back != rater and rater_status(store, study, back).state == "qualify"
            # Erased again, so that the next way back begins as this one did.
            erase(store, back)
    # Another person, and the same one on another platform, are strangers.
    other: dict[str, Any] = {"platform": platform or "other", "participant": participant + "x"}
    assert rater_status(store, study, join(store, study, uuid4().hex, **other)).state == "qualify"


@pytest.mark.parametrize("end", EXCLUDED)
def test_erasure_still_removes_the_person(
    place: tuple[Store, StudyInfo], end: Callable[[Store, StudyInfo, str], None]
) -> None:
    store, study = place
    rater = join(
        store, study, "her secret", name="Alice Liddell", platform="prolific", participant="P-1865"
    )
    end(store, study, rater)
    erase(store, rater)
    everything = ""
    with store.read() as session:
        for table in Base.metadata.sorted_tables:
            everything += str(session.execute(sa.select(table)).all())
        kept = session.scalars(sa.select(Exclusion)).all()
        assert session.get_one(Rater, rater).erased
        assert session.get_one(Membership, (study.id, rater)).participant is None
    for personal in ("Alice Liddell", "P-1865", "her secret", hash_secret("her secret")):
        assert personal not in everything
    # One for the secret and one for the participant; neither leads to the votes.
    assert len({one.person_hmac for one in kept}) == 2
    assert {one.reason for one in kept} == {"banned" if "banned" in end.__name__ else "failed"}
    assert set(Exclusion.__table__.columns.keys()) == {"study_id", "person_hmac", "reason"}


def test_one_study_does_not_recognise_people_of_another(
    place: tuple[Store, StudyInfo],
) -> None:
    store, study = place
    second = fill(store, 2, 1, name="second")
    person: dict[str, Any] = {"platform": "mturk", "participant": "W1"}
    raters = [join(store, one, "secret", **person) for one in (study, second)]
    assert raters[0] == raters[1]
    banned(store, study, raters[0])
    erase(store, raters[0])
    with pytest.raises(AccessDeniedError):
        join(store, study, "secret", **person)
    back = join(store, second, "secret", **person)
    assert rater_status(store, second, back).state == "judge"
    assert rater_status(store, study, back).state == "banned"
    with store.read() as session:
        kept = session.scalars(sa.select(Exclusion)).all()
    assert {one.study_id for one in kept} == {study.id}


def test_forget_me_over_http_does_not_undo_a_ban(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    change_settings(store, study, ADMIN, open_signup=False)
    body = {
        "invite": create_invite(store, study, ADMIN, "everybody"),
        "platform": "prolific", "participant": "P-1",
    }  # fmt: skip
    with TestClient(create_server(store)) as client:
        joined = client.post("/api/studies/small/join", json=body).json()
        banned(store, study, joined["rater"])
        secret = {"Authorization": f"Bearer {joined['secret']}"}
        assert client.delete("/api/me", headers=secret).status_code == 204
        for headers in ({}, secret):
            again = client.post("/api/studies/small/join", json=body, headers=headers)
            assert (again.status_code, "secret" in again.json()) == (403, False)
        other = client.post("/api/studies/small/join", json=body | {"participant": "P-2"})
        assert (other.status_code, other.json()["state"]) == (200, "qualify")
