"""Many raters at once over the real server, which is killed meanwhile: nothing is lost, doubled or crossed."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Assignment, Judgment, Rater
from leaderboard.studies.access import command_line_admin, hash_secret
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.settings import change_settings
from tests.support import ROOT
from tests.support.filled_store import fill
from tools.postgres_server import POSTGRES, PostgresServer

PATIENCE_S = 300
"""How long anything may take on a machine that is busy with other things."""

SERVER = "import sys; from basalt.cli.main import run; sys.exit(run(sys.argv[1:]))"


class Server:
    """`basalt leaderboard serve` as a process of its own, which can be killed and started again."""

    def __init__(self, location: str, media: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._location, self._media = location, media
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-c", SERVER, "leaderboard", "serve", "--store", self._location,
                "--port", str(self.port), "--joins-per-minute", "100000",
                "--requests-per-minute", "1000000",
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT), "BASALT_MEDIA": str(self._media)},
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended by itself"
            try:
                httpx2.get(f"{self.url}/api/studies", timeout=30)
                return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@dataclass
class SimulatedRater:
    """Answers at random; whatever fails to arrive is sent again, as a browser's retry does."""

    url: str
    number: int
    answers: int
    others: list[str]
    said: dict[str, str] = field(default_factory=dict)
    faults: list[httpx2.Response] = field(default_factory=list)
    secret: str = ""
    failure: BaseException | None = None

    @property
    def judged(self) -> int:
        """Number of answers that were no skips, which do not count."""
        return sum(winner != "skip" for winner in self.said.values())

    def run(self) -> None:
        try:
            rng = random.Random(self.number)
            with httpx2.Client(base_url=self.url, timeout=60) as client:
                self.secret = self._send(client, "studies/small/join", {}).json()["secret"]
                while self.judged < self.answers:
                    pair = self._send(client, "studies/small/next").json()["pair"]
                    assert pair not in self.said
                    self.others.append(pair)
                    winner = rng.choice(["left", "right", "draw", "both_bad", "skip"])
                    reason = {"skip_reason": "no_opinion"} if winner == "skip" else {}
                    given = {"pair": pair, "winner": winner, **reason}
                    for _ in range(rng.choice([1, 1, 2])):
                        answer = self._send(client, "answers", given)
                        assert answer.status_code == 200, answer.text
                    self.said[pair] = winner
                    foreign = rng.choice(self.others)
                    if foreign not in self.said and rng.random() < 0.2:
                        wrong = self._send(client, "answers", {"pair": foreign, "winner": "left"})
                        assert wrong.status_code == 409, wrong.text
                assert self._send(client, "studies/small/next").json() is None
        except BaseException as err:
            self.failure = err

    def _send(self, client: httpx2.Client, path: str, body: dict | None = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = client.post(f"/api/{path}", json=body, headers=headers)
                if answer.status_code < 500:
                    return answer
                self.faults.append(answer)
            except httpx2.TransportError:
                pass
            assert time.monotonic() < deadline, f"no answer to {path}"
            time.sleep(0.1)


def soak(
    place: tuple[str, Path],
    raters: int,
    answers: int,
    kills: int,
    database: PostgresServer | None = None,
) -> list[SimulatedRater]:
    """Let raters judge, kill the server again and again, and compare what they said with the store.

    With a database, that is killed instead, and started when a rater has noticed.
    """
    store = open_store(*place)
    study = fill(store, agents=6, seeds=4)
    change_settings(
        store, study, command_line_admin(), pairs_per_rater=answers, answers_per_minute=100_000,
        skips_allowed=None,
    )  # fmt: skip
    server = Server(*place)
    shared: list[str] = []
    people = [SimulatedRater(server.url, number, answers, shared) for number in range(raters)]
    threads = [threading.Thread(target=one.run) for one in people]
    for thread in threads:
        thread.start()
    total = raters * answers  # and the skips
    for number in range(kills):
        # Spread over the answers, not over time: every kill falls into the middle of the work.
        goal = (number + 1) * total // (kills + 1)
        while any(thread.is_alive() for thread in threads) and (
            sum(len(one.said) for one in people) < goal
        ):
            time.sleep(0.01)
        if database is None:
            server.kill()
            server.start()
            continue
        before = sum(len(one.faults) for one in people)
        database.kill()
        while any(thread.is_alive() for thread in threads) and (
            sum(len(one.faults) for one in people) == before
        ):
            time.sleep(0.01)
        database.start()
    for thread in threads:
        thread.join(PATIENCE_S * 3)
    server.kill()
    failures = [one.failure for one in people if one.failure]
    assert not failures, failures[0]
    assert_nothing_lost_doubled_or_crossed(store, people)
    with store.read() as session:
        stored = session.scalar(sa.select(sa.func.count()).select_from(Judgment))
    assert sum(one.judged for one in people) == total
    assert stored == len(load_comparisons(store, study)) == sum(len(one.said) for one in people)
    store.close()
    return people


def assert_nothing_lost_doubled_or_crossed(store: Store, people: list[SimulatedRater]) -> None:
    with store.read() as session:
        ids = dict(session.execute(sa.select(Rater.token_sha256, Rater.id)).all())
        judgments = list(session.scalars(sa.select(Judgment)))
        served = {one.id: one for one in session.scalars(sa.select(Assignment))}
    for one in people:
        mine = [row for row in judgments if row.rater_id == ids[hash_secret(one.secret)]]
        assert {row.assignment_id: row.winner for row in mine} == one.said
        assert max(Counter(row.pair for row in mine).values()) == 1
    for row in judgments:
        assignment = served[str(row.assignment_id)]
        assert (row.rater_id, row.pair, row.left_episode_id) == (
            assignment.rater_id,
            assignment.pair,
            assignment.left_episode_id,
        )


def test_a_few_raters_and_one_kill(store_place: tuple[str, Path]) -> None:
    soak(store_place, raters=6, answers=5, kills=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_postgresql_is_killed_in_the_middle_of_a_study(tmp_path: Path) -> None:
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    kills = 5
    database = PostgresServer(durable=True)
    try:
        people = soak((database.url, tmp_path / "media"), 12, 15, kills, database)
    finally:
        database.close()
    faults = [answer for one in people for answer in one.faults]
    assert len(faults) >= kills
    # Each of these was sent again, and counted once.
    assert {answer.status_code for answer in faults} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in faults)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_raters_at_once(store_place: tuple[str, Path]) -> None:
    soak(store_place, raters=50, answers=20, kills=0)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_raters_and_twenty_kills(store_place: tuple[str, Path]) -> None:
    soak(store_place, raters=50, answers=20, kills=20)
