"""Comparisons between agents of planted strengths."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from basalt.core.comparisons import Comparison

START = datetime(2026, 1, 1, tzinfo=UTC)


def one_comparison(
    left: str, right: str, winner: str, minute: int = 0, rater: str | None = "r0"
) -> Comparison:
    return Comparison(
        comparison_id=f"c{minute}",
        study="s",
        task="find_cave",
        world="test",
        world_version="1",
        seed=1,
        left_agent=left,
        right_agent=right,
        left_episode="0" * 64,
        right_episode="1" * 64,
        winner=winner,  # type: ignore[arg-type]
        source="human",
        created=START + timedelta(minutes=minute),
        rater=rater,
    )


def planted(
    strengths: Sequence[float], count: int, *, raters: int = 1, ties: float = 0.3, seed: int = 0
) -> list[Comparison]:
    """Random pairs of agents `a0`, `a1`, ...; answers by Davidson's model.

    Args:
        strengths: Log-strength of each agent.
        count: Number of comparisons, one minute apart.
        raters: Number of raters, in random order.
        ties: Davidson's nu.
        seed: Seed of the random numbers.
    """
    rng = random.Random(seed)
    out = []
    for minute in range(count):
        i, j = rng.sample(range(len(strengths)), 2)
        weights = (
            math.exp(strengths[i]),
            math.exp(strengths[j]),
            ties * math.exp((strengths[i] + strengths[j]) / 2),
        )
        (winner,) = rng.choices(("left", "right", "draw"), weights)
        rater = f"r{rng.randrange(raters)}"
        out.append(one_comparison(f"a{i}", f"a{j}", winner, minute, rater))
    return out
