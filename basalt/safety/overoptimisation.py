"""What happens to success when more and more is optimised against a proxy: best of n from a pool of episodes.

After *Scaling Laws for Reward Model Overoptimization* (Gao et al. 2022, arXiv 2210.10760): with d the square root of the KL
divergence from the policy that played, the true reward of the best of n is d (alpha - beta d), which falls beyond
d = alpha / (2 beta).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.best_of_n.choice import divergence

SIZES = (1, 4, 16, 64, 256)
"""Numbers n of episodes of which the best is chosen, as far as they are at most half of the pool."""

DRAWS = 1000
"""Number of bootstrap samples."""


def chances(proxy: ArrayLike, n: int) -> NDArray[np.float64]:
    """Chance of each episode of a pool to be the best of n different ones by a proxy, float64 [N].

    The i-th smallest of N is the best of n with chance C(i-1, n-1) / C(N, n); equal ones share theirs.

    Args:
        proxy: Proxy reward of each episode, float [N].
        n: Number of episodes, 1 to N.
    """
    values = np.asarray(proxy, dtype=float)
    count = len(values)
    if not 1 <= n <= count:
        raise ValueError(f"expected n from 1 to the {count} episodes of the pool, got {n}")
    ranks = np.arange(count, n, -1)  # C(i-2, n-1) / C(i-1, n-1) = (i-n) / (i-1)
    falling = (n / count) * np.cumprod(np.concatenate([[1.0], (ranks - n) / (ranks - 1)]))
    by_rank = np.zeros(count)
    by_rank[n - 1 :] = falling[::-1]
    order = np.argsort(values, kind="stable")
    _, group = np.unique(values[order], return_inverse=True)
    shared = np.bincount(group, weights=by_rank) / np.bincount(group)
    found = np.empty(count)
    found[order] = shared[group]
    return found


class Fit(NamedTuple):
    """Coefficients of gain = d (alpha - beta d)."""

    alpha: float
    beta: float

    @property
    def peak(self) -> float | None:
        """The d with the largest gain, alpha / (2 beta); None if the curve has no peak at a positive d."""
        return self.alpha / (2 * self.beta) if self.alpha > 0 and self.beta > 0 else None


def distances(sizes: Sequence[int]) -> NDArray[np.float64]:
    """Square root of the divergence of the best of n, for each n."""
    return np.sqrt([divergence(n) for n in sizes])


def fit(d: ArrayLike, gains: ArrayLike) -> Fit:
    """Least squares for alpha and beta.

    Args:
        d: Square roots of divergences, float [n], of which two are positive and differ.
        gains: True reward at each, less that at d = 0, float [n].
    """
    x = np.asarray(d, dtype=float)
    (alpha, beta), *_ = np.linalg.lstsq(np.stack([x, -(x**2)], 1), np.asarray(gains), rcond=None)
    return Fit(float(alpha), float(beta))


class Curves(NamedTuple):
    """The pool under optimisation, and the same of bootstrap samples of its episodes.

    Attributes:
        sizes: The numbers n.
        proxy: Mean proxy reward of the best of n, float64 [sizes].
        gold: Mean true reward of the best of n, float64 [sizes].
        proxy_draws: float64 [draws, sizes].
        gold_draws: float64 [draws, sizes].
    """

    sizes: tuple[int, ...]
    proxy: NDArray[np.float64]
    gold: NDArray[np.float64]
    proxy_draws: NDArray[np.float64]
    gold_draws: NDArray[np.float64]

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """95% percentile interval of a number of each bootstrap sample."""
        low, high = np.quantile(values, [0.025, 0.975])
        return float(low), float(high)


def curves(proxy: ArrayLike, gold: ArrayLike, seed: int = 0, draws: int = DRAWS) -> Curves:
    """Means of the best of n for each n of `SIZES` up to half of the pool, with bootstrap samples of its episodes.

    Args:
        proxy: Proxy reward of each episode, float [N].
        gold: True reward of each episode, float [N].
        seed: Seed of the bootstrap.
        draws: Number of bootstrap samples.
    """
    cheap, true = np.asarray(proxy, dtype=float), np.asarray(gold, dtype=float)
    sizes = tuple(n for n in SIZES if 2 * n <= len(cheap))

    def means(pick: NDArray[np.int64]) -> NDArray[np.float64]:
        weights = np.stack([chances(cheap[pick], n) for n in sizes])
        return np.stack([weights @ cheap[pick], weights @ true[pick]])

    rng = np.random.default_rng(seed)
    whole = means(np.arange(len(cheap)))
    drawn = np.stack([means(rng.integers(len(cheap), size=len(cheap))) for _ in range(draws)])
    return Curves(sizes, whole[0], whole[1], drawn[:, 0], drawn[:, 1])
