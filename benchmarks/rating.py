"""``basalt bench rating``: replicates of the bootstrap per second, against the ``trueskill`` package.

Both replay the same resampled judgments on one core, in turn, within one run; the package replays fewer
replicates, as each takes it about half a second. The ratings must agree to 1e-9.
Beside it, what choosing the next pair takes in a study of 100 agents, 4 tasks and 11 seeds.
"""

import argparse
import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import trueskill

from basalt.core.comparisons import Comparison, Winner
from basalt.io.errors import ConfigError
from leaderboard.judging.matchmaking import Board
from leaderboard.ratings.bootstrap import draw_anew, outcomes, resampled_ratings, sequences
from leaderboard.ratings.trueskill import ENVIRONMENT

AGENTS, RATERS, DRAWS = 17, 100, 0.1
"""As many agents as in the published evaluation; raters and share of draws are ours."""

PAIR_SHAPE = (4, 100, 11)
"""Tasks, agents and seeds of the study whose next pair is looked for: every agent, every episode."""

PAIR_LIMIT_MS = 50.0
"""Finding the next pair of that study is to take less."""

_PAIR_CALLS = 9
"""The median counts."""

TARGET_S = 5.0
"""1,000 replicates of 3,000 comparisons are to take less, on one core."""


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
    """Milliseconds that each choice of a next pair takes, the board in memory, the database apart.

    Each chosen pair is judged before the next is chosen, by one of ``RATERS`` raters in turn.
    """
    tasks, agents, seeds = PAIR_SHAPE
    episodes = np.arange(tasks * agents * seeds, dtype=np.int64).reshape(PAIR_SHAPE)
    board = Board(
        episodes=episodes,
        ids=[str(number) for number in range(episodes.size)],
        place={
            str(number): (int(task), int(agent), int(seed))
            for (task, agent, seed), number in np.ndenumerate(episodes)
        },
        mu=np.full((tasks, agents), ENVIRONMENT.mu),
        variance=np.full((tasks, agents), ENVIRONMENT.sigma**2),
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
            raise ConfigError("bench rating: no pair is left")
        board.add(*pair, rng.choice(("left", "right", "draw")), rater)
    return took


def by_package(
    first: list[int], second: list[int], drawn: list[bool], agents: int
) -> list[trueskill.Rating]:
    """Ratings after one sequence, by the ``trueskill`` package."""
    ratings = [ENVIRONMENT.create_rating() for _ in range(agents)]
    for one, other, draw in zip(first, second, drawn, strict=True):
        ratings[one], ratings[other] = trueskill.rate_1vs1(
            ratings[one], ratings[other], draw, env=ENVIRONMENT
        )
    return ratings


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: ``--comparisons N``, ``--replicates N``, ``--peer-replicates N``, ``--repeats N``.

    Raises:
        ConfigError: an argument below 1.
    """
    parser = argparse.ArgumentParser(prog="basalt bench rating", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=3000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--peer-replicates", type=int, default=3, help="that the package replays")
    parser.add_argument("--repeats", type=int, default=3, help="of both; the median counts")
    options = parser.parse_args(argv)
    if min(vars(options).values()) < 1:
        raise ConfigError("bench rating: comparisons, replicates and repeats begin at 1")
    history = judgments(options.comparisons)
    names = sorted({name for one in history for name in (one.left_agent, one.right_agent)})
    peers = min(options.peer_replicates, options.replicates)
    order = sequences(draw_anew(history, options.replicates, seed=0)[:peers])
    played = [row[row >= 0] for row in order]
    first, second, drawn = outcomes(history, names)

    ours: list[float] = []
    theirs: list[float] = []
    difference = 0.0
    for _ in range(options.repeats):
        start = time.perf_counter()
        mu, sigma = resampled_ratings(history, names, options.replicates, seed=0)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        expected = [
            by_package(first[row].tolist(), second[row].tolist(), drawn[row].tolist(), len(names))
            for row in played
        ]
        theirs.append(time.perf_counter() - start)
        package = np.array([[(one.mu, one.sigma) for one in replicate] for replicate in expected])
        found = np.stack([mu[:peers], sigma[:peers]], axis=-1)
        difference = max(difference, float(np.abs(found - package).max()))
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
