"""How good predicted chances are: accuracy with its interval, calibration, temperature."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from basalt.core.intervals import MIN_EPISODES

BINS = 10
"""Number of bins of a reliability diagram, between even odds and certainty."""

DRAWS = 2_000
"""Number of bootstrap samples."""


class Bin(BaseModel):
    """One bar of a reliability diagram.

    Attributes:
        low, high: Range of the confidence, the chance of the side that is predicted to win.
        pairs: Number of pairs in it.
        confidence: Their mean confidence; None without pairs.
        accuracy: Share of them that are predicted; None without pairs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float
    pairs: int
    confidence: float | None
    accuracy: float | None


def hits(chances: ArrayLike, left_won: ArrayLike) -> NDArray[np.float64]:
    """1 where the side with the larger chance won, 0 where the other did, 0.5 for even chances: float64 [n]."""
    ahead = np.sign(np.asarray(chances, dtype=float) - 0.5)
    won: NDArray[np.float64] = np.where(np.asarray(left_won, dtype=bool), 1.0, -1.0)
    return 0.5 + 0.5 * ahead * won


def pair_interval(
    values: ArrayLike, left: Sequence[str], right: Sequence[str], *, seed: int = 0
) -> tuple[float, float] | None:
    """95% bootstrap interval of a mean over pairs, resampling worlds.

    Pairs of the same world are not independent. So worlds are drawn with replacement, and a pair counts as often as its world
    was drawn, a pair of two worlds as often as both were, multiplied.

    Args:
        values: Value of each pair, float [n].
        left: World of each left clip.
        right: World of each right clip.
        seed: Seed of the resampling.

    Returns:
        [low, high]; None below `MIN_EPISODES` worlds.
    """
    names = sorted({*left, *right})
    if len(names) < MIN_EPISODES:
        return None
    each = np.asarray(values, dtype=float)
    number = {name: n for n, name in enumerate(names)}
    first, second = (np.array([number[one] for one in side], dtype=int) for side in (left, right))
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(DRAWS):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(first == second, counts[first], counts[first] * counts[second])
        if total := weights.sum():
            means.append(float(weights @ each / total))
    if not means:
        return None
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def reliability_diagram(chances: ArrayLike, left_won: ArrayLike) -> tuple[Bin, ...]:
    """Confidence and accuracy in `BINS` equal bins of the confidence from 0.5 to 1."""
    p = np.asarray(chances, dtype=float)
    confidence, right = np.maximum(p, 1 - p), hits(p, left_won)
    edges = np.linspace(0.5, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    return tuple(
        Bin(
            low=float(edges[n]),
            high=float(edges[n + 1]),
            pairs=int((place == n).sum()),
            confidence=float(confidence[place == n].mean()) if (place == n).any() else None,
            accuracy=float(right[place == n].mean()) if (place == n).any() else None,
        )
        for n in range(BINS)
    )


def calibration_error(diagram: Sequence[Bin]) -> float:
    """Expected calibration error: mean over pairs of the distance between accuracy and confidence of their bin."""
    total = sum(one.pairs for one in diagram)
    gaps = (
        one.pairs * abs(one.accuracy - one.confidence)
        for one in diagram
        if one.accuracy is not None and one.confidence is not None
    )
    return sum(gaps) / total if total else 0.0


def chances_of(
    differences: ArrayLike, temperature: float = 1.0, flip_rate: float = 0.0
) -> NDArray[np.float64]:
    """Chance that a decided answer names left, from differences of scores, float64 [n].

    Args:
        differences: Score of left minus score of right.
        temperature: Number that the differences are divided by.
        flip_rate: Share of answers that name the wrong side.
    """
    logits = np.clip(np.asarray(differences, dtype=float) / temperature, -50, 50)
    chances: NDArray[np.float64] = flip_rate + (1 - 2 * flip_rate) / (1 + np.exp(-logits))
    return chances


def mean_loss(chances: ArrayLike, left_won: ArrayLike) -> float:
    """Mean negative log-probability of decided answers in nats; always guessing even odds has ln 2 = 0.693."""
    p = np.clip(np.asarray(chances, dtype=float), 1e-12, 1 - 1e-12)
    return float(-np.log(np.where(np.asarray(left_won, dtype=bool), p, 1 - p)).mean())


def fitted_temperature(
    differences: ArrayLike, left_won: ArrayLike, flip_rate: float = 0.0
) -> float:
    """The temperature that minimises the loss, from 0.05 to 20; above 1 where the model is too sure of itself.

    Args:
        differences: Score of left minus score of right, float [n].
        left_won: Whether left won, bool [n].
        flip_rate: Share of answers that name the wrong side.
    """

    def loss(log_temperature: float) -> float:
        return mean_loss(chances_of(differences, np.exp(log_temperature), flip_rate), left_won)

    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):  # golden section: the loss has one minimum
        a, b = high - (high - low) * 0.618034, low + (high - low) * 0.618034
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))
