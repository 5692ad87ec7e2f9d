"""What counts of attempts can and cannot say."""

import math


def at_least_one(hits: int, attempts: int, k: int) -> float:
    """Chance that at least one of k attempts is a hit, estimated without bias from more attempts: 1 - C(n-c, k) / C(n, k).

    It says what can be brought out of a player in k tries; it is not the rate of hits.

    Args:
        hits: Number of hits c.
        attempts: Number of attempts n, at least k.
        k: Number of tries.
    """
    return 1 - math.comb(attempts - hits, k) / math.comb(attempts, k)


def bound_without_hits(attempts: int) -> float:
    """Largest rate with which no hit in n attempts is still as likely as 5%: 1 - 0.05^(1/n), exact and one-sided."""
    return float(1 - 0.05 ** (1 / attempts))
