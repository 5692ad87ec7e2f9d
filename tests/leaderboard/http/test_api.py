"""The HTTP API: the same rules as in the app, and nothing that a stranger sends gets through."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from leaderboard.http.api import create_server
from leaderboard.http.media import MAX_BODY
from leaderboard.judging.invites import create_invite
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Agent, Episode, Judgment
from leaderboard.studies.access import add_admin, command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support import ROOT
from tests.support.three_players import SEEDS, record

ADMIN = command_line_admin()


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with TestClient(create_server(store, joins_per_minute=10_000)) as opened:
        yield opened


class Person:
    """A rater over HTTP."""

    def __init__(self, client: TestClient, **join) -> None:
        self.client = client
        answer = client.post("/api/studies/small/join", json=join)
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['secret']}"}

    def post(self, path: str, body: dict | None = None):
        return self.client.post(f"/api/{path}", json=body, headers=self.headers)

    def get(self, path: str, **headers):
        return self.client.get(f"/api/{path}", headers=self.headers | headers)

    def next(self) -> dict | None:
        answer = self.post("studies/small/next")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def answer(self, pair: dict, winner: str = "left", **more):
        return self.post("answers", {"pair": pair["pair"], "winner": winner, **more})


def test_a_rater_judges_all_pairs_over_http(
    client: TestClient, store: Store, full_study: StudyInfo
) -> None:
    (listed,) = client.get("/api/studies").json()
    assert (listed["name"], listed["tasks"]) == ("small", ["find_cave"])
    details = client.get("/api/studies/small").json()
    assert details["questions"]["find_cave"]["direct"]
    rater = Person(client)
    while pair := rater.next():
        assert rater.next() == pair
        first = rater.answer(pair, "right", justification="<script>alert(1)</script>")
        again = rater.answer(pair, "right")
        assert first.json() == again.json()
        assert rater.answer(pair, "left").status_code == 409
    me = rater.get("studies/small/me").json()
    assert (me["done"], me["total"]) == (6, 6)
    assert len(load_comparisons(store, full_study)) == 6
    scores = client.get("/api/studies/small/scores").json()
    assert {row["agent"] for row in scores} == {"good", "middling", "poor"}
    assert rater.post("studies/small/undo").json()["task"] == "find_cave"
    assert rater.client.delete("/api/me", headers=rater.headers).status_code == 204
    assert rater.get("studies/small/me").status_code == 403


def test_videos_come_in_ranges_under_addresses_that_tell_nothing(
    client: TestClient, store: Store, study: StudyInfo, tmp_path: Path
) -> None:
    # Names that neither a random token nor a video's bytes hold by chance.
    names = ("Quartzwalker", "Zamioculcas")
    for name in names:
        for seed in SEEDS:
            record(tmp_path / name, seed, player=name)
        submit_recordings(store, study, tmp_path / name)
    rater = Person(client)
    pair = rater.next()
    assert pair is not None
    whole = client.get(pair["left"])
    assert whole.status_code == 200 and whole.headers["content-type"] == "video/mp4"
    part = client.get(pair["left"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    text = json.dumps(pair) + str(whole.headers)
    assert not any(name in text or name.encode() in whole.content for name in names)
    for ticket in (pair["left"][:-3] + "aaa", "/api/video/..%2f..%2fetc%2fpasswd", "/api/video/x"):
        assert client.get(ticket).status_code in (403, 404)
    rater.answer(pair)
    assert client.get(pair["left"]).status_code == 200  # until the reservation's end


def test_headers_neither_group_videos_by_agent_nor_name_an_episode(
    client: TestClient, store: Store, full_study: StudyInfo
) -> None:
    with store.read() as session:
        episodes = session.scalars(sa.select(Episode).order_by(Episode.agent_id)).all()
        agents = sorted({one.agent_id for one in episodes})
        for one in episodes:
            # Submissions are days apart.
            day = 86_400 * (1 + agents.index(one.agent_id))
            os.utime(store.media / f"{one.media_name}.mp4", (day, day))
    seen: dict[str, list[str]] = {}
    links = []
    for _ in range(4):
        rater = Person(client)
        while pair := rater.next():
            rater.answer(pair, "draw")
            links += [pair["left"], pair["right"]]
    for link in links:
        whole = client.get(link)
        for name, value in whole.headers.items():
            seen.setdefault(name, []).append(value)
        head = client.head(link)
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(whole.headers)
        part = {"Range": "bytes=0-3"}
        tag = {"If-Range": whole.headers["etag"]}
        assert client.get(link, headers=part | tag).content == whole.content[:4]
        assert client.get(link, headers=part | {"If-Range": '"other"'}).content == whole.content
    assert "last-modified" not in seen
    # The size is the film's own; a tag is the link's, another one each time an episode is shown.
    assert len(set(seen.pop("etag"))) == len(links) == 48
    assert len(seen.pop("content-length")) == len(links)
    assert all(len(set(values)) == 1 for values in seen.values())


def test_a_study_by_invitation_is_neither_listed_nor_described_to_strangers(
    client: TestClient, store: Store, full_study: StudyInfo
) -> None:
    change_settings(
        store, full_study, ADMIN, open_signup=False, show_results=False, consent="We keep a secret."
    )
    add_admin(store, "ada", password="correct horse battery")
    invite = create_invite(store, full_study, ADMIN, "Alice")
    login = {"name": "ada", "password": "correct horse battery"}
    admin = client.post("/api/admin/login", json=login).json()["secret"]

    def seen(secret: str = "", query: str = "") -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        details = client.get(f"/api/studies/small{query}", headers=headers)
        assert ("We keep a secret." in details.text) == (details.status_code == 200)
        return len(client.get("/api/studies", headers=headers).json()), details.status_code

    for stranger in ("", "guessed"):
        assert seen(stranger) == (0, 403)
    for path in ("studies/none", "studies/none/scores"):
        unknown = client.get(f"/api/{path}")
        assert unknown.status_code == 400 and "small" not in unknown.text
    assert seen("", "?invite=forged") == (0, 403)
    assert seen("", f"?invite={invite}") == (0, 200)
    assert seen(admin) == (1, 200)
    joined = client.post("/api/studies/small/join", json={"invite": invite}).json()
    assert seen(joined["secret"]) == (1, 200)


def test_strangers_and_raters_stay_out_of_what_is_the_admins(
    client: TestClient, store: Store, full_study: StudyInfo
) -> None:
    add_admin(store, "ada", password="correct horse battery")
    rater = Person(client)
    pair = rater.next()
    assert pair is not None
    rater.answer(pair)
    for path in ("raters", "quality"):
        assert client.get(f"/api/studies/small/{path}").status_code == 403
        assert rater.get(f"studies/small/{path}").status_code == 403
    me = rater.get("studies/small/me").json()["rater"]
    assert rater.post(f"studies/small/raters/{me}/ban", {"reason": "me"}).status_code == 403
    wrong = client.post("/api/admin/login", json={"name": "ada", "password": "' OR 1=1 --"})
    assert wrong.status_code == 403
    right = client.post(
        "/api/admin/login", json={"name": "ada", "password": "correct horse battery"}
    )
    admin = {"Authorization": f"Bearer {right.json()['secret']}"}
    (row,) = client.get("/api/studies/small/raters", headers=admin).json()
    assert row["judged"] == 1
    banned = client.post(
        f"/api/studies/small/raters/{me}/ban", json={"reason": "test"}, headers=admin
    )
    assert banned.status_code == 204
    assert load_comparisons(store, full_study) == []
    assert rater.post("studies/small/next").status_code == 403
    quality = client.get("/api/studies/small/quality", headers=admin).json()
    assert (quality["judgments"], quality["alpha"]) == (0, None)
    change_settings(store, full_study, ADMIN, show_results=False)
    assert rater.get("studies/small/scores").status_code == 403
    assert client.get("/api/studies/small/scores", headers=admin).status_code == 200


def test_invited_raters_only(client: TestClient, store: Store, full_study: StudyInfo) -> None:
    change_settings(store, full_study, ADMIN, open_signup=False, consent="Agreed?")
    token = create_invite(store, full_study, ADMIN, "one", max_raters=1)
    assert client.post("/api/studies/small/join", json={}).status_code == 403
    assert client.post("/api/studies/small/join", json={"invite": "x" * 43}).status_code == 403
    rater = Person(client, invite=token)
    assert rater.post("studies/small/next").status_code == 403
    assert rater.post("studies/small/join", {"consent": True}).json()["state"] == "judge"
    assert rater.next() is not None


HOSTILE = [
    {"winner": "left'; DROP TABLE judgment; --"},
    {"winner": "left", "justification": "x" * 10_001},
    {"winner": "left", "justification": "nul \0 byte"},
    {"winner": "left", "responses": {"deep": "\0"}},
    {"winner": "left", "responses": {"big": "x" * 70_000}},
    {"winner": "left", "responses": {"direct": ["Ada"]}},
    {
        "winner": "left",
        "responses": {"direct": [{"question": "Ada?", "left": True, "right": True}]},
    },
    {"winner": "left", "video_events": [0] * 1001},
    {"winner": "left", "watched_left": 2, "watched_right": 1},
    {"winner": "left", "rater": "someone else"},
    {"winner": None},
    {"winner": "left", "pair": "../../../etc/passwd"},
    {"winner": "left", "pair": "x" * 1000},
    {"winner": "left", "pair": ["a"]},
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_malformed_answers_are_refused_and_store_nothing(
    client: TestClient, store: Store, full_study: StudyInfo, body: dict
) -> None:
    rater = Person(client)
    pair = rater.next()
    assert pair is not None
    answer = rater.post("answers", {"pair": pair["pair"]} | body)
    assert answer.status_code in (409, 422), answer.text
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Judgment)) == 0
    assert rater.answer(pair).status_code == 200


def test_huge_and_broken_bodies_are_refused(
    client: TestClient, store: Store, full_study: StudyInfo
) -> None:
    rater = Person(client)
    json_type = rater.headers | {"Content-Type": "application/json"}
    huge = client.post("/api/answers", content=b"[" * (MAX_BODY + 1), headers=json_type)
    assert huge.status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * MAX_BODY

    assert client.post("/api/answers", content=endless(), headers=json_type).status_code == 413
    deep = client.post("/api/answers", content=b"[" * 100_000, headers=json_type)
    assert deep.status_code in (400, 422)
    assert client.post("/api/answers", content=b"\xff\xfe", headers=json_type).status_code in (
        400,
        422,
    )
    assert client.get("/api/studies/" + "%27%20OR%201=1").status_code == 400
    for token in ("", "x", "é", "a" * 10_000):
        headers = {"Authorization": f"Bearer {token}".encode()}
        assert client.post("/api/studies/small/next", headers=headers).status_code == 403


def test_foreign_answers_are_refused(client: TestClient, full_study: StudyInfo) -> None:
    one, other = Person(client), Person(client)
    pair = one.next()
    assert pair is not None
    answer = other.answer(pair)
    assert answer.status_code == 409 and "another rater" in answer.json()["detail"]
    assert one.answer(pair).status_code == 200


def test_the_description_names_every_answer(client: TestClient) -> None:
    description = client.get("/api/openapi.json").json()
    assert set(description["paths"]) >= {"/studies/{study}/next", "/answers", "/video/{ticket}"}
    winner = description["components"]["schemas"]["AnswerRequest"]["properties"]["winner"]
    assert winner["enum"] == ["left", "right", "draw", "both_bad", "skip"]


def test_videos_may_lie_in_an_object_store(tmp_path, agents, monkeypatch) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    store = open_store(tmp_path / "s.sqlite", f"file://{tmp_path}/bucket")
    study = create_study(store, "small", demo_study({"find_cave": (100_001, 100_002)}, "test", "1"))
    for folder in agents.values():
        submit_recordings(store, study, folder)
    with TestClient(create_server(store)) as client:
        pair = Person(client).next()
        assert pair is not None
        whole = client.get(pair["right"])
        for header, expected in (
            ("bytes=5-9", whole.content[5:10]),
            ("bytes=-7", whole.content[-7:]),
            ("bytes=100-", whole.content[100:]),
        ):
            part = client.get(pair["right"], headers={"Range": header})
            assert (part.status_code, part.content) == (206, expected)
        beyond = client.get(pair["right"], headers={"Range": "bytes=99999999-"})
        assert beyond.status_code == 416
    with store.read() as session:
        episode = session.scalars(sa.select(Episode)).first()
        assert session.scalar(sa.select(sa.func.count()).select_from(Agent)) == 3
    assert episode is not None
    assert (tmp_path / "bucket" / f"{episode.media_name}.mp4").is_file()
    assert whole.content[4:8] == b"ftyp"


def test_the_api_starts_without_docstrings() -> None:
    code = (
        "from leaderboard.http.api import create_app; print(create_app(lambda: None).description)"
    )
    shown = subprocess.run(
        [sys.executable, "-OO", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Judge pairs of episodes" in shown.stdout
