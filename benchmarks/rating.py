"""`basalt bench rating`: replicates of the bootstrap per second, against the `trueskill` package.

Both replay the same resampled judgments on one core, in turn, within one run; the package replays fewer
replicates, because each takes it about half a second. The ratings must agree to 1e-9.
The time to choose the next pair in a study of 100 agents, 4 tasks and 11 seeds is measured too.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import trueskill

from basalt.core.comparisons import Comparison, Winner
from basalt.io.errors import ConfigError
from leaderboard.judging.matchmaking import Board
from leaderboard.ratings.bootstrap import resample_counts
from leaderboard.ratings.trueskill import TRUESKILL

AGENTS, RATERS, DRAWS = 17, 100, 0.1
"""Agents as in the published evaluation; raters and share of draws are our choice."""

PAIR_SHAPE = (4, 100, 11)
"""Tasks, agents and seeds of the study whose next pair is chosen; every agent has every episode."""

PAIR_LIMIT_MS = 50.0
"""Upper limit for choosing the next pair of that study."""

_PAIR_CALLS = 9
"""Number of choices; their median is reported."""

TARGET_S = 5.0
"""Upper limit for 1,000 replicates of 3,000 comparisons on one core."""


def judgments(count: int, seed: int = 0) -> list[Comparison]:
    """Random pairs of agents whose skills differ, with random answers to match."""
    rng = random.Random(seed)
    out = []
    for number in range(count):
        left, right = rng.sample(range(AGENTS), 2)
        chance = 1 / (1 + 10 ** ((right - left) / AGENTS))
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
                left_agent=f"agent {left:02}",
                right_agent=f"agent {right:02}",
                left_episode="",
                right_episode="",
                winner=winner,
                source="human",
                created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
                rater=f"rater {rng.randrange(RATERS)}",
            )
        )
    return out


def next_pair_ms() -> list[float]:
    """Milliseconds of each choice of a next pair, without the database.

    Each chosen pair is judged before the next is chosen, by one of `RATERS` raters in turn.
    """
    tasks, agents, seeds = PAIR_SHAPE
    episodes = np.arange(tasks * agents * seeds, dtype=np.int64).reshape(PAIR_SHAPE)
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
        start = time.perf_counter()
        pair = board.choose(rater, (), (), rng)
        took.append(1000 * (time.perf_counter() - start))
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


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: Arguments `--comparisons N`, `--replicates N`, `--peer-replicates N`, `--repeats N`.

    Raises:
        ConfigError: an argument is below 1.
    """
    parser = argparse.ArgumentParser(prog="basalt bench rating", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=3000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument(
        "--peer-replicates", type=int, default=3, help="number that the package replays"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats of both; the median is reported"
    )
    options = parser.parse_args(argv)
    if min(vars(options).values()) < 1:
        raise ConfigError("bench rating: comparisons, replicates and repeats: expected at least 1")
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
        },
        "peer": f"trueskill {trueskill.__version__} replaying the same judgments, {peers} replicates",
        "ratio": round(speed / peer_speed, 1),
    }
