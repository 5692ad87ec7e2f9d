"""`basalt bench rating`: replicates of the bootstrap per second, against the `trueskill` package.

Both replay the same resampled judgments on one core, in turn, within one run; the package replays fewer
replicates, because each takes it about half a second. The ratings must agree to 1e-9.
The time to choose the next pair in a study of 100 agents, 4 tasks and 11 seeds is measured too.

A board of 200 agents and 100,000 judgments is measured as `basalt leaderboard show` makes it: ratings by
Bradley-Terry with intervals, ranks, differences and flips of neighbours, TrueSkill's ratings beside them, and
the text. Its peers are `evalica` and `arena-rank`, where they are installed: they fit the strengths alone
(`arena-rank` with intervals), so they are compared with our fit alone.
"""

import argparse
import importlib
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import trueskill

from basalt.core.comparisons import Comparison, Winner
from basalt.io.errors import ConfigError
from leaderboard.judging.matchmaking import Board
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bootstrap import resample_counts
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.models import Floats
from leaderboard.ratings.ranking import rate
from leaderboard.ratings.tables import text_tables
from leaderboard.ratings.trueskill import TRUESKILL

AGENTS, RATERS, DRAWS = 17, 100, 0.1
"""Agents as in the published evaluation; raters and share of draws are our choice."""

PAIR_SHAPE = (4, 100, 11)
"""Tasks, agents and seeds of the study whose next pair is chosen; every agent has every episode."""

PAIR_LIMIT_MS = 50.0
"""Upper limit for choosing the next pair of that study."""

_PAIR_CALLS = 9
"""Number of choices; their median is reported."""

BOARD_SHAPE = (1, 200, 11)
"""Tasks, agents and seeds of the large board."""

BOARD_LIMIT_S = 2.0
"""Upper limit for the large board, in seconds of processor time on one core."""

TARGET_S = 5.0
"""Upper limit for 1,000 replicates of 3,000 comparisons on one core."""


def judgments(count: int, seed: int = 0, agents: int = AGENTS) -> list[Comparison]:
    """Random pairs of agents whose skills differ, with random answers to match."""
    rng = random.Random(seed)
    out = []
    for number in range(count):
        left, right = rng.sample(range(agents), 2)
        chance = 1 / (1 + 10 ** ((right - left) / agents))
        winner: Winner = (
            "draw" if rng.random() < DRAWS else "left" if rng.random() < chance else "right"
        )
        out.append(
            Comparison(
                comparison_id=str(number),
                study="bench",
                task="find_cave",
                world="none",
                world_version="1",
                seed=1,
                left_agent=f"agent {left:03}",
                right_agent=f"agent {right:03}",
                left_episode="",
                right_episode="",
                winner=winner,
                source="human",
                created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
                rater=f"rater {rng.randrange(RATERS)}",
            )
        )
    return out


def next_pair_ms(
    shape: tuple[int, int, int] = PAIR_SHAPE, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Milliseconds by a clock of each choice of a next pair, without the database.

    Each chosen pair is judged before the next is chosen, by one of `RATERS` raters in turn.
    """
    tasks, agents, seeds = shape
    episodes = np.arange(tasks * agents * seeds, dtype=np.int64).reshape(shape)
    mu, variance = TRUESKILL.prior((tasks, agents))
    board = Board(
        episodes=episodes,
        ids=[str(number) for number in range(episodes.size)],
        place={
            str(number): (int(task), int(agent), int(seed))
            for (task, agent, seed), number in np.ndenumerate(episodes)
        },
        mu=mu,
        variance=variance,
        shown=np.zeros((tasks, agents, agents, seeds), np.int32),
    )
    rng = random.Random(0)
    took = []
    for number in range(_PAIR_CALLS):
        rater = f"rater {number % RATERS}"
        start = clock()
        pair = board.choose(rater, (), (), rng)
        took.append(1000 * (clock() - start))
        if pair is None:
            raise ConfigError("bench rating: no pair is left; please report this")
        board.add(*pair, rng.choice(("left", "right", "draw")), rater)
    return took


def by_package(played: Sequence[Comparison], names: Sequence[str]) -> list[tuple[float, float]]:
    """mu and sigma of agents after one sequence of comparisons, by the `trueskill` package."""
    published = trueskill.TrueSkill()
    ratings = {name: published.create_rating() for name in names}
    for one in played:
        first, second = one.winner_loser
        ratings[first], ratings[second] = trueskill.rate_1vs1(
            ratings[first], ratings[second], one.winner == "draw", env=published
        )
    return [(ratings[name].mu, ratings[name].sigma) for name in names]


def board(count: int, repeats: int) -> dict[str, Any]:
    """Seconds for the large board and its parts, and of its peers; null with a reason where one is absent."""
    history = judgments(count, agents=BOARD_SHAPE[1])
    names = sorted({name for one in history for name in one.winner_loser})
    whole, busy, fits = [], [], []
    for _ in range(repeats):
        start, began = time.perf_counter(), time.process_time()
        (table,) = rate(history, model=BRADLEY_TERRY)
        text_tables([analyse(table)])
        whole.append(time.perf_counter() - start)
        busy.append(time.process_time() - began)
        start = time.perf_counter()
        ours = BRADLEY_TERRY.fit(history, names)
        fits.append(time.perf_counter() - start)
    pair_ms = next_pair_ms(BOARD_SHAPE)
    pair_cpu_ms = next_pair_ms(BOARD_SHAPE, time.process_time)
    return {
        "board_judgments": count,
        "board_agents": len(names),
        "board_s": round(statistics.median(whole), 3),
        "board_s_all": [round(one, 3) for one in whole],
        "board_cpu_s": round(statistics.median(busy), 3),
        "board_cpu_s_all": [round(one, 3) for one in busy],
        "board_limit_s": BOARD_LIMIT_S,
        "board_fit_s": round(statistics.median(fits), 3),
        "board_next_pair_ms": round(statistics.median(pair_ms), 2),
        "board_next_pair_ms_all": [round(one, 2) for one in pair_ms],
        "board_next_pair_cpu_ms": round(statistics.median(pair_cpu_ms), 2),
        "board_next_pair_limit_ms": PAIR_LIMIT_MS,
        "board_peers": {
            "evalica": _peer(_by_evalica, history, names, ours.value, repeats),
            "arena-rank": _peer(_by_arena_rank, history, names, ours.value, repeats),
        },
    }


Peer = Callable[[Sequence[Comparison], Sequence[str]], tuple[str, Floats]]


def _peer(
    peer: Peer, history: Sequence[Comparison], names: Sequence[str], ours: Floats, repeats: int
) -> dict[str, Any]:
    """Seconds of a peer's fit and the correlation of its strengths with ours."""
    took = []
    try:
        for _ in range(repeats):
            start = time.perf_counter()
            version, found = peer(history, names)
            took.append(time.perf_counter() - start)
    except ImportError as err:
        return {"seconds": None, "reason": f"not installed ({err})"}
    return {
        "version": version,
        "seconds": round(statistics.median(took), 3),
        "seconds_all": [round(one, 3) for one in took],
        "correlation": round(float(np.corrcoef(ours, found)[0, 1]), 6),
    }


def _by_evalica(history: Sequence[Comparison], names: Sequence[str]) -> tuple[str, Floats]:
    evalica = importlib.import_module("evalica")
    words = {"left": evalica.Winner.X, "right": evalica.Winner.Y, "draw": evalica.Winner.Draw}
    found = evalica.bradley_terry(
        [one.left_agent for one in history],
        [one.right_agent for one in history],
        [words[one.winner] for one in history],
    )
    return version("evalica"), np.log([found.scores[name] for name in names])


def _by_arena_rank(history: Sequence[Comparison], names: Sequence[str]) -> tuple[str, Floats]:
    data = importlib.import_module("arena_rank.utils.data_utils")
    models = importlib.import_module("arena_rank.models.bradley_terry")
    words = {"left": "model_a", "right": "model_b", "draw": "tie"}
    frame = pd.DataFrame(
        {
            "model_a": [one.left_agent for one in history],
            "model_b": [one.right_agent for one in history],
            "winner": [words[one.winner] for one in history],
        }
    )
    dataset = data.PairDataset.from_pandas(frame)
    fitted = models.BradleyTerry(n_competitors=len(dataset.competitors))
    found = fitted.compute_ratings_and_cis(dataset, significance_level=0.05)
    ratings = dict(zip(found["competitors"], found["ratings"], strict=True))
    return version("arena-rank"), np.array([float(ratings[name]) for name in names])


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: Arguments `--comparisons N`, `--replicates N`, `--peer-replicates N`, `--repeats N`,
            `--board N`.

    Raises:
        ConfigError: an argument is below 1.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench rating", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--comparisons", type=int, default=3000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument(
        "--peer-replicates", type=int, default=3, help="number that the package replays"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats of both; the median is reported"
    )
    parser.add_argument(
        "--board", type=int, default=100_000, help="number of judgments of the large board"
    )
    options = parser.parse_args(argv)
    if min(vars(options).values()) < 1:
        raise ConfigError(
            "bench rating: comparisons, replicates, repeats and board: expected at least 1"
        )
    history = judgments(options.comparisons)
    names = sorted({name for one in history for name in (one.left_agent, one.right_agent)})
    peers = min(options.peer_replicates, options.replicates)
    played = [
        [one for one, times in zip(history, row, strict=True) for _ in range(times)]
        for row in resample_counts(history, options.replicates, seed=0)[:peers]
    ]

    ours: list[float] = []
    theirs: list[float] = []
    difference = 0.0
    for _ in range(options.repeats):
        start = time.perf_counter()
        found = TRUESKILL.resample(
            history, names, resample_counts(history, options.replicates, seed=0)
        )
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        package = np.array([by_package(replicate, names) for replicate in played])
        theirs.append(time.perf_counter() - start)
        same = np.stack([found.value[:peers], found.error[:peers]], axis=-1)
        difference = max(difference, float(np.abs(same - package).max()))
    seconds = statistics.median(ours)
    pair_ms = next_pair_ms()
    speed, peer_speed = options.replicates / seconds, peers / statistics.median(theirs)
    return {
        "name": "rating",
        "figures": {
            "comparisons": options.comparisons,
            "agents": len(names),
            "replicates": options.replicates,
            "seconds": round(seconds, 3),
            "seconds_all": [round(one, 3) for one in ours],
            "target_seconds_for_1000_of_3000": TARGET_S,
            "next_pair_tasks_agents_seeds": PAIR_SHAPE,
            "next_pair_ms": round(statistics.median(pair_ms), 2),
            "next_pair_ms_all": [round(one, 2) for one in pair_ms],
            "next_pair_limit_ms": PAIR_LIMIT_MS,
            "replicates_per_s": round(speed, 1),
            "package_replicates_per_s": round(peer_speed, 3),
            "largest_difference": difference,
            **board(options.board, options.repeats),
        },
        "peer": f"trueskill {trueskill.__version__} replaying the same judgments, {peers} replicates",
        "ratio": round(speed / peer_speed, 1),
    }
