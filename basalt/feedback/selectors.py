"""Which pairs to ask about: rules that choose from candidates by what an ensemble of reward models thinks of them.

A fifth of all pairs, at least, is drawn uniformly before any rule chooses. These are an unbiased sample of the
candidates, and the only ones to test a model on.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from basalt.core.settings import unknown_option
from basalt.io.errors import ConfigError

Selector = Literal["uniform", "disagreement", "entropy", "k_center"]

SELECTORS: tuple[Selector, ...] = get_args(Selector)

MAX_CHOSEN = 0.8
"""Largest share of pairs that a rule may choose."""


@dataclass(frozen=True)
class Selection:
    """Pairs that were selected, in the order of asking.

    Attributes:
        indices: Index of each pair among the candidates, int64 [n]; uniform ones and chosen ones are mixed.
        selectors: Rule that took each pair.
        probabilities: Chance with which that rule takes the pair from the candidates it was given.
    """

    indices: NDArray[np.int64]
    selectors: tuple[Selector, ...]
    probabilities: tuple[float, ...]


def require_reward(selector: Selector, reward: str | None) -> None:
    """Refuse settings that name a rule without the reward model that it goes by, or the other way round.

    Raises:
        ConfigError: The settings do not go together.
    """
    if (selector == "uniform") != (reward is None):
        raise ConfigError(
            f"reward: expected a run of `basalt train agent=reward` with selector=disagreement, entropy or k_center, and none "
            f"with uniform; got selector={selector} and reward={reward}"
        )


def disagreement(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Standard deviation over members of the chance that left is better, float64 [pairs].

    Of the chance and not of its logit, which is unbounded and prefers pairs with large features.

    Args:
        probabilities: Each member's chance that left is better, float [members, pairs].
    """
    spread: NDArray[np.float64] = _chances(probabilities).std(axis=0)
    return spread


def entropy(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Mean over members of the entropy of their answer in nats, float64 [pairs].

    Args:
        probabilities: Each member's chance that left is better, float [members, pairs].
    """
    p = _chances(probabilities)
    terms = [x * np.log(np.where(x > 0, x, 1.0)) for x in (p, 1 - p)]
    found: NDArray[np.float64] = -(terms[0] + terms[1]).mean(axis=0)
    return found


def k_center(features: ArrayLike, covered: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Greedy k-center: each next pair is the farthest from all covered ones, in Euclidean distance, int64 [count].

    Args:
        features: What describes each candidate, such as the mean latents of both clips, float [pairs, dims].
        covered: The same for pairs that were asked before, float [before, dims]; None or empty for none, then the
            first is the farthest from the candidates' mean.
        count: Number of pairs to choose.
    """
    points = np.asarray(features, dtype=np.float64)
    before = np.empty((0, points.shape[1])) if covered is None else np.asarray(covered, np.float64)
    centers = before if len(before) else points.mean(axis=0, keepdims=True)
    distance = np.full(len(points), np.inf)
    for center in centers:
        distance = np.minimum(distance, np.linalg.norm(points - center, axis=1))
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        distance[chosen] = -1.0  # never twice, even where points coincide
    return np.array(chosen, dtype=np.int64)


def select(
    count: int,
    candidates: int,
    selector: Selector,
    rng: np.random.Generator,
    *,
    probabilities: ArrayLike | None = None,
    features: ArrayLike | None = None,
    covered: ArrayLike | None = None,
    chosen_share: float = MAX_CHOSEN,
) -> Selection:
    """Select pairs from candidates: some uniformly, the others by a rule from what is left.

    Args:
        count: Number of pairs to select.
        candidates: Number of candidates; ten times `count` is usual.
        selector: Rule.
        rng: Source of the uniform draws, and of the order of asking.
        probabilities: Chances for `disagreement` and `entropy`, float [members, candidates].
        features: Features for `k_center`, float [candidates, dims].
        covered: Features of the pairs that were asked before.
        chosen_share: Share of pairs that the rule chooses, at most `MAX_CHOSEN`.

    Raises:
        ConfigError: There are too few candidates, the rule is unknown or has nothing to choose by, or the share is
            too large.
    """
    if selector not in SELECTORS:
        raise ConfigError(unknown_option("selector", selector, SELECTORS))
    if not 0 <= chosen_share <= MAX_CHOSEN:
        raise ConfigError(
            f"chosen_share: expected a number from 0 to {MAX_CHOSEN}, got {chosen_share}; the others are the test set"
        )
    if not 0 < count <= candidates:
        raise ConfigError(f"n: expected a number from 1 to {candidates} candidates, got {count}")
    by_rule = 0 if selector == "uniform" else int(chosen_share * count)
    drawn = rng.choice(candidates, size=count - by_rule, replace=False).astype(np.int64)
    left = np.setdiff1d(np.arange(candidates), drawn)
    if not by_rule:
        chosen = left[:0]
    elif selector == "k_center":
        if features is None:
            raise ConfigError("selector: k_center needs features of the pairs; use uniform")
        points = _of_each(features, candidates, "features", axis=0)
        asked = [points[drawn]] if covered is None else [points[drawn], np.asarray(covered)]
        chosen = left[k_center(points[left], np.concatenate(asked), by_rule)]
    else:
        if probabilities is None:
            raise ConfigError(f"selector: {selector} needs reward models; use uniform first")
        chances = _of_each(probabilities, candidates, "probabilities", axis=1)
        score = {"disagreement": disagreement, "entropy": entropy}[selector](chances)
        chosen = left[np.argsort(-score[left], kind="stable")[:by_rule]]
    order = rng.permutation(count)
    at_random: Selector = "uniform"
    names = [at_random] * len(drawn) + [selector] * len(chosen)
    taken = [len(drawn) / candidates] * len(drawn) + [1.0] * len(chosen)
    return Selection(
        np.concatenate([drawn, chosen])[order],
        tuple(names[n] for n in order),
        tuple(taken[n] for n in order),
    )


def _of_each(values: ArrayLike, candidates: int, name: str, axis: int) -> NDArray[np.float64]:
    """Finite numbers of each candidate along an axis of two."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or found.shape[axis] != candidates or not np.isfinite(found).all():
        raise ConfigError(
            f"{name}: expected finite numbers of {candidates} candidates along axis {axis} of 2, got shape {found.shape}"
        )
    return found


def _chances(probabilities: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not ((p >= 0) & (p <= 1)).all():
        raise ConfigError("expected chances from 0 to 1, one row a member, got other numbers")
    return p
