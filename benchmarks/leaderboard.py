"""`basalt bench leaderboard`: a study of many agents and judgments on PostgreSQL, served by several processes.

The database is a server of its own, durable as it comes from Debian, or the one at `--store`. A full study is made, and
smaller ones, by which times and memory are extended to `--extend` judgments: a straight line through the sizes, least squares.

- **load**: raters join, ask for pairs and answer them over HTTP, at all `basalt leaderboard serve` processes; whatever does
  not arrive is sent again to the next process. In the middle one process is killed. All answers that were called
  stored have to be in the database, once each.
- **board**: the score tables, as the API sends them: of a process that has not made them before, then again after each
  of some further answers.
- **exports**: judgments as Parquet and CSV, and the zip of everything, each by a process of its own, of which the memory
  at its peak counts.
"""

import argparse
import asyncio
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import sqlalchemy as sa

from basalt.core.comparisons import write_comparisons
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.processes import spawned_pool
from benchmarks.rating import judgments
from leaderboard.judging.archive import write_archive
from leaderboard.store.database import MEDIA_VARIABLE, Store, open_store
from leaderboard.store.models import (
    Agent,
    Assignment,
    Episode,
    Event,
    Judgment,
    Rater,
    Submission,
    new_id,
    pair_key,
)
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import iter_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from tools.postgres_server import POSTGRES, PostgresServer

PAIR_LIMIT_MS = 50.0
"""Upper limit for the next pair, at the median, over HTTP."""

BOARD_LIMIT_S = 2.0
"""Upper limit for the score tables over HTTP."""

TASK = "find_cave"
STUDY = "bench"
PATIENCE_S = 120.0

WITHDRAWN = 0.01
"""Share of the judgments that their raters withdrew."""

_ROWS = 5_000
"""Rows that are inserted at a time."""

SERVER = "import sys; from basalt.cli.main import run; sys.exit(run(sys.argv[1:]))"


class BenchError(BasaltError):
    """A server did not answer as it should, or an answer was lost."""


# -- what was judged ----------------------------------------------------------------------------------


def fill(store: Store, name: str, agents: int, seeds: int, raters: int, count: int) -> StudyInfo:
    """A study in which every agent has an episode on every seed, and raters have judged.

    Args:
        store: Leaderboard.
        name: Name of the study.
        agents: Number of agents.
        seeds: Number of seeds.
        raters: Number of raters.
        count: Number of judgments.
    """
    numbers = list(range(100_001, 100_001 + seeds))
    study = create_study(store, name, demo_study({TASK: numbers}, "bench", "1"))
    change_settings(store, study, command_line_admin(), watch_share=0, answers_per_minute=10_000)
    now = datetime.now(UTC)
    players = [new_id() for _ in range(agents)]
    places = {
        f"agent {number:03}": [new_id() for _ in numbers] for number in range(agents)
    }  # names as in `judgments`
    people = [new_id() for _ in range(raters)]
    with store.write() as session:
        _insert(session, Agent, (
            {"id": one, "study_id": study.id, "name": name, "name_key": name.replace(" ", ""), "kind": "agent", "created": now}
            for one, name in zip(players, places, strict=True)
        ))  # fmt: skip
        _insert(session, Submission, (
            {"id": one, "study_id": study.id, "agent_id": one, "created": now, "manifest": {}} for one in players
        ))  # fmt: skip
        _insert(session, Episode, (
            {
                "id": episode, "study_id": study.id, "submission_id": player, "agent_id": player, "task": TASK,
                "seed": seed, "steps": 1000, "ended": "esc", "video_sha256": new_id() * 2,
                "lines_sha256": new_id() * 2, "verified": False,
            }
            for player, episodes in zip(players, places.values(), strict=True)
            for seed, episode in zip(numbers, episodes, strict=True)
        ))  # fmt: skip
        _insert(session, Rater, (
            {"id": one, "token_sha256": new_id() * 2, "created": now} for one in people
        ))  # fmt: skip
        rows = list(_judged(study, places, people, count, now))
        reserved = (
            "id",
            "study_id",
            "rater_id",
            "left_episode_id",
            "right_episode_id",
            "pair",
            "created",
            "expires",
        )
        _insert(session, Assignment, (
            {key: row[key] for key in reserved} | {"id": row["assignment_id"], "expires": row["created"]} for row in rows
        ))  # fmt: skip
        _insert(
            session, Judgment, ({key: row[key] for key in row if key != "expires"} for row in rows)
        )
        _insert(session, Event, (
            {
                "study_id": study.id, "kind": "withdraw", "rater_id": row["rater_id"], "answer_id": row["id"],
                "by": "rater", "data": {}, "created": row["created"],
            }
            for row in rows[:: round(1 / WITHDRAWN)]
        ))  # fmt: skip
    if store.engine.dialect.name == "postgresql":
        with (
            store.engine.connect() as connection
        ):  # as the server's own upkeep does within a minute
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                sa.text("VACUUM ANALYZE")
            )
    return study


def _judged(
    study: StudyInfo, places: dict[str, list[str]], people: Sequence[str], count: int, now: datetime
) -> Iterator[dict[str, Any]]:
    rng = random.Random(0)
    known: set[tuple[str, str]] = set()
    for number, one in enumerate(judgments(count, agents=len(places))):
        while True:  # a rater judges a pair once
            seed = rng.randrange(len(places[one.left_agent]))
            rater = rng.choice(people)
            left, right = places[one.left_agent][seed], places[one.right_agent][seed]
            pair = pair_key(left, right)
            if (rater, pair) not in known:
                break
        known.add((rater, pair))
        yield {
            "id": new_id(), "study_id": study.id, "assignment_id": new_id(), "rater_id": rater,
            "left_episode_id": left, "right_episode_id": right, "pair": pair, "winner": one.winner, "source": "human",
            "responses": {}, "justification": "it went on and found more of the cave", "video_events": EVENTS,
            "seconds": 60.0, "created": now - timedelta(seconds=60 * (count - number)), "attempt": 0,
            "expires": now,
        }  # fmt: skip


EVENTS = [{"type": f"quarter-{n}", "at": n / 20, "clock": 0} for n in range(1, 5)]
"""What the player reports of a video, as in `basalt bench ui`."""


def _insert(session: Any, table: Any, rows: Any) -> None:
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS:
            session.execute(sa.insert(table), waiting)
            waiting = []
    if waiting:
        session.execute(sa.insert(table), waiting)


# -- exports ------------------------------------------------------------------------------------------


def _exported(location: str, media: str, study: str, suffix: str) -> dict[str, float]:
    """Seconds and megabytes of one export, in a process of its own."""
    store = open_store(location, media)
    found = find_study(store, study)
    before, start = _peak_mb(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="basalt-bench-") as folder:
        path = Path(folder) / f"export{suffix}"
        if suffix == ".zip":
            write_archive(path, store, found, command_line_admin())
        else:
            write_comparisons(path, iter_comparisons(store, found))
        seconds, size = time.perf_counter() - start, path.stat().st_size / 1e6
    store.close()
    return {
        "s": round(seconds, 2),
        "peak_mb": round(_peak_mb(), 1),
        "before_mb": round(before, 1),
        "file_mb": round(size, 2),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- servers ------------------------------------------------------------------------------------------


class _Server:
    """`basalt leaderboard serve` on a free port."""

    def __init__(self, location: str, media: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", SERVER, "leaderboard", "serve", "--store", location, "--port", str(self.port),
                "--joins-per-minute", "1000000", "--requests-per-minute", "10000000",
            ],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), MEDIA_VARIABLE: str(media)},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError("basalt leaderboard serve did not start")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)


class _Rater:
    """A rater over HTTP; what fails is sent again, to the next server.

    Args:
        number: Number of the rater, by which the first server is chosen.
        servers: The servers.
        times: Milliseconds by kind of request; first ones of a server are kept apart.
        fresh: Servers that have not served a pair.
    """

    def __init__(
        self,
        number: int,
        servers: Sequence[_Server],
        times: dict[str, list[float]],
        fresh: set[str],
    ) -> None:
        self._at, self._servers, self._times, self._fresh = number, servers, times, fresh
        self.stored: dict[str, str] = {}
        self.again = 0

    async def judge(self, answers: int, think: float) -> None:
        rng = random.Random(self._at)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            await asyncio.sleep(rng.uniform(0, think))
            secret = (await self._send(client, "join", f"/studies/{STUDY}/join", {}))["secret"]
            client.headers.update({"Authorization": f"Bearer {secret}"})
            for _ in range(answers):
                pair = (await self._send(client, "next", f"/studies/{STUDY}/next", None))["pair"]
                await asyncio.sleep(rng.uniform(0, 2 * think))
                winner = rng.choice(("left", "right", "draw"))
                await self._send(client, "answer", "/answers", {"pair": pair, "winner": winner})
                self.stored[pair] = winner

    async def _send(self, client: aiohttp.ClientSession, what: str, path: str, body: Any) -> Any:
        for _ in range(100):
            server = self._servers[self._at % len(self._servers)]
            start = time.perf_counter()
            try:
                async with client.post(f"{server.url}{path}", json=body) as reply:
                    out = await reply.json()
                    if reply.status == 200:
                        took = 1000 * (time.perf_counter() - start)
                        kind = what
                        if what == "next" and server.url in self._fresh:
                            self._fresh.discard(server.url)
                            kind = "first_next_of_a_server"
                        self._times.setdefault(kind, []).append(took)
                        return out
                    if reply.status < 500:
                        raise BenchError(f"{path}: {reply.status} {out}")
            except aiohttp.ClientError:
                pass
            self._at += 1
            self.again += 1
            await asyncio.sleep(0.05)
        raise BenchError(f"{path}: no server answers")


async def _load(
    servers: Sequence[_Server], raters: int, answers: int, think: float, *, kill: bool
) -> tuple[dict[str, list[float]], list[_Rater], float]:
    """Waits in milliseconds, the raters, and the seconds that all took."""
    times: dict[str, list[float]] = {}
    fresh = {one.url for one in servers}
    people = [_Rater(number, servers, times, fresh) for number in range(raters)]
    start = time.perf_counter()
    work = [asyncio.create_task(one.judge(answers, think)) for one in people]
    if kill:
        while sum(len(one.stored) for one in people) < raters * answers // 2 and not all(
            one.done() for one in work
        ):
            await asyncio.sleep(0.01)
        servers[0].stop(signal.SIGKILL)
    await asyncio.gather(*work)
    return times, people, time.perf_counter() - start


def lost(store: Store, people: Sequence[_Rater]) -> int:
    """Number of answers that were called stored and are not in the database exactly once as given."""
    said = {pair: winner for one in people for pair, winner in one.stored.items()}
    found: dict[str, list[str]] = {}
    with store.read() as session:
        for start in range(0, len(said), _ROWS):
            rows = sa.select(Judgment.assignment_id, Judgment.winner).where(
                Judgment.assignment_id.in_(list(said)[start : start + _ROWS])
            )
            for pair, winner in session.execute(rows):
                found.setdefault(str(pair), []).append(winner)
    return sum(found.get(pair) != [winner] for pair, winner in said.items())


async def _boards(url: str, study: str, repeats: int) -> list[float]:
    """Seconds of each request for the score tables."""
    out = []
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        for _ in range(repeats):
            start = time.perf_counter()
            async with client.get(f"{url}/studies/{study}/scores") as reply:
                if reply.status != 200 or not await reply.json():
                    raise BenchError(f"scores: {reply.status} {await reply.text()}")
            out.append(round(time.perf_counter() - start, 3))
    return out


# -- the measurement ----------------------------------------------------------------------------------


def fitted(sizes: Sequence[int], values: Sequence[float], to: int) -> dict[str, float]:
    """A straight line through values by size (least squares), and its value at `to`."""
    slope, offset = np.polyfit(sizes, values, 1)
    apart = float(np.abs(np.polyval((slope, offset), sizes) - values).max())
    return {
        "at_zero": round(float(offset), 3),
        "per_1000": round(1000 * float(slope), 5),
        "largest_residual": round(apart, 3),
        "extended": round(float(offset + slope * to), 2),
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(values), 1),
        "p95": round(float(np.quantile(values, 0.95)), 1),
        "most": round(max(values), 1),
        "count": len(values),
    }


@contextmanager
def _database(location: str | None, media: Path) -> Iterator[str]:
    if location is not None:
        yield location
        return
    if not POSTGRES:
        raise ConfigError(
            "bench leaderboard: PostgreSQL is not installed; run: apt-get install postgresql, or give --store URL"
        )
    server = PostgresServer(durable=True)
    try:
        yield server.url
    finally:
        server.close()


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: `--agents N`, `--seeds N`, `--judgments N`, `--sizes N`, `--servers N`, `--raters N`, `--answers N`,
            `--think SECONDS`, `--extend N`, `--store URL`.

    Raises:
        ConfigError: an argument cannot be, or there is no PostgreSQL.
        BenchError: a server failed.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench leaderboard", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--judgments", type=int, default=100_000)
    parser.add_argument(
        "--sizes",
        type=int,
        default=4,
        help="number of studies; each has half the judgments of the one before",
    )
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--raters", type=int, default=24, help="who judge at the same time")
    parser.add_argument("--answers", type=int, default=20, help="of each rater")
    parser.add_argument("--think", type=float, default=3.0, help="mean seconds before an answer")
    parser.add_argument(
        "--extend", type=int, default=1_000_000, help="judgments to which the fits are extended"
    )
    parser.add_argument(
        "--store",
        help="URL of a PostgreSQL database without a leaderboard; a server of its own without it",
    )
    options = parser.parse_args(argv)
    counts = [options.judgments >> number for number in range(options.sizes)]
    if (
        options.agents < 2
        or min(options.seeds, options.servers, options.raters, options.answers, *counts, 1) < 1
    ):
        raise ConfigError("bench leaderboard: expected at least 1 of everything, and 2 agents")
    with ExitStack() as held:
        folder = Path(
            held.enter_context(tempfile.TemporaryDirectory(prefix="basalt-bench-leaderboard-"))
        )
        media = folder / "media"
        location = held.enter_context(_database(options.store, media))
        store = open_store(location, media)
        held.callback(store.close)
        names = [STUDY, *(f"{STUDY}-{count}" for count in counts[1:])]
        start = time.perf_counter()
        for name, count in zip(names, counts, strict=True):
            fill(store, name, options.agents, options.seeds, 500, count)
        filling = time.perf_counter() - start
        exports: dict[str, list[dict[str, float]]] = {}
        for suffix in (".parquet", ".csv", ".zip"):
            for name in names:
                with spawned_pool(1) as pool:
                    done = pool.submit(_exported, location, str(media), name, suffix).result()
                exports.setdefault(suffix, []).append(done)
        servers = [_Server(location, media) for _ in range(options.servers)]
        for server in servers:
            held.callback(server.stop)
            server.wait()
        boards = [asyncio.run(_boards(servers[-1].url, name, 3)) for name in names]
        calm, first, _ = asyncio.run(
            _load(servers, options.raters, options.answers, options.think, kill=False)
        )
        busy, second, seconds = asyncio.run(
            _load(servers, options.raters, options.answers, 0.0, kill=options.servers > 1)
        )
        after = asyncio.run(_boards(servers[-1].url, STUDY, 1))
        missing = lost(store, [*first, *second])
        with store.read() as session:
            size = session.scalar(sa.text("SELECT pg_database_size(current_database())"))
    answered = sum(len(one.stored) for one in (*first, *second))
    next_ms = _summary(calm["next"])
    return {
        "name": "leaderboard",
        "figures": {
            "agents": options.agents,
            "judgments": counts,
            "server_processes": options.servers,
            "raters_at_once": options.raters,
            "mean_think_s": options.think,
            "fill_s": round(filling, 1),
            "database_mb": round((size or 0) / 1e6, 1),
            "calm_ms": {what: _summary(values) for what, values in calm.items()},
            "busy_ms": {what: _summary(values) for what, values in busy.items()},
            "busy_answers_per_s": round(sum(len(one.stored) for one in second) / seconds, 1),
            "killed_processes": int(options.servers > 1),
            "sent_again": sum(one.again for one in second),
            "answers_called_stored": answered,
            "answers_lost_or_doubled": missing,
            "board_s": dict(zip(counts, boards, strict=True)),
            "board_after_answers_s": after,
            "exports": exports,
            "fits": {
                "model": "a + b * judgments, least squares",
                "extended_to": options.extend,
                "board_first_s": fitted(counts, [one[0] for one in boards], options.extend),
                "board_again_s": fitted(counts, [one[-1] for one in boards], options.extend),
                **{
                    f"{suffix[1:]}_{what}": fitted(
                        counts, [one[what] for one in found], options.extend
                    )
                    for suffix, found in exports.items()
                    for what in ("s", "peak_mb")
                },
            }
            if options.sizes > 1
            else None,
            "next_pair_limit_ms": PAIR_LIMIT_MS,
            "board_limit_s": BOARD_LIMIT_S,
        },
        "peer": f"the aim of {PAIR_LIMIT_MS} ms, against the median of the next pair over HTTP",
        "ratio": round(PAIR_LIMIT_MS / next_ms["p50"], 2),
    }
