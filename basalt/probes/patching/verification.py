"""What an estimate is worth: true effects in its order, their cost, and a bound on what it missed.

Formulas of Kramár et al. 2024 (arXiv 2403.00745). The bound comes from random sets of nodes, patched together: the
effects of the sets that contain a node, less those of the sets that do not, estimate its effect in the midst of others.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def random_sets(n: int, nodes: Sequence[int], total: int, share: float, seed: int) -> Tensor:
    """Random sets that each of some nodes joins on its own with probability `share`, bool [n, total].

    Args:
        n: Number of sets.
        nodes: Nodes that may join.
        total: Number of all nodes.
        share: Probability to join.
        seed: Seed of the draws.
    """
    sets = torch.zeros(n, total, dtype=torch.bool)
    draws = np.random.default_rng(seed).random((n, len(nodes))) < share
    sets[:, torch.tensor(list(nodes), dtype=torch.long)] = torch.from_numpy(draws)
    return sets


class Differences(NamedTuple):
    """Per node, the mean effect of sets with it less that of sets without it, float64 [nodes] each.

    Attributes:
        mean: The difference, signed.
        error: Its standard error (Welch).
        freedom: Degrees of freedom (Welch and Satterthwaite).

    All are NaN where fewer than two sets contain the node, or fewer than two do not.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    freedom: NDArray[np.float64]


def differences(effects: NDArray[np.float64], sets: NDArray[np.bool_]) -> Differences:
    """Compare the sets that contain a node with those that do not, for every node.

    Args:
        effects: Effect of each set on one pair [n].
        sets: Nodes of each set [n, nodes].
    """
    centred = effects - effects.mean()
    groups = []
    for members in (sets.astype(np.float64), 1.0 - sets):
        count = members.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = centred @ members / count
            variance = (centred**2 @ members - count * mean**2).clip(0) / (count - 1)
        enough = count >= 2
        groups.append((*(np.where(enough, x, np.nan) for x in (mean, variance / count)), count))
    (mean_in, var_in, n_in), (mean_out, var_out, n_out) = groups
    squared = var_in + var_out
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = squared**2 / (var_in**2 / (n_in - 1) + var_out**2 / (n_out - 1))
    freedom = np.where(squared == 0, np.inf, freedom)
    return Differences(mean_in - mean_out, np.sqrt(squared), freedom)


def t_quantile(confidence: float, freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantile of Student's t by the Cornish-Fisher expansion to the fourth order.

    Within 0.5% of the true value for 5 degrees of freedom at 0.99, and better for more.

    Args:
        confidence: Probability below the quantile.
        freedom: Degrees of freedom, any shape.
    """
    z, n = NormalDist().inv_cdf(confidence), freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    found = np.full(np.shape(n), z)
    for power, term in enumerate(terms, 1):
        found += term / n**power
    return found


def missed_bounds(
    effects: NDArray[np.float64], sets: NDArray[np.bool_], confidence: float
) -> NDArray[np.float64]:
    """Upper confidence bound on each node's contribution: |difference| + t * standard error.

    With several pairs, the bound is the mean over pairs, each at the confidence that holds for all of them together
    (Bonferroni). It holds for each node, not for the largest of all; where nodes interact, it bounds the node's mean
    effect among random others instead of its effect alone.

    Args:
        effects: Effect of each set on each pair [P, n].
        sets: Nodes of each set [n, nodes].
        confidence: Confidence of each node's bound.

    Returns:
        float64 [nodes]; NaN for nodes that fewer than two sets contain.
    """
    level = 1 - (1 - confidence) / len(effects)
    found = [differences(one, sets) for one in effects]
    bounds = [abs(d.mean) + t_quantile(level, d.freedom) * d.error for d in found]
    return np.asarray(np.mean(bounds, axis=0))


def relative_cost(
    order: Sequence[int], effects: NDArray[np.floating], passes: float = 0.0
) -> float:
    """Cost to find the nodes of largest effect by patching in an order, relative to an oracle's; see `search_cost`.

    Args:
        order: All nodes, first the one to be patched first.
        effects: True contribution of each node.
        passes: Forward passes that the method needs before.

    Returns:
        1 for an oracle.
    """
    cost = np.empty(len(effects))
    cost[np.asarray(order)] = passes + np.arange(1, len(effects) + 1)
    return search_cost(cost, effects)


def search_cost(cost: NDArray[np.floating], effects: NDArray[np.floating]) -> float:
    """Cost to find the nodes of largest effect, relative to an oracle's.

    To have found the true K largest, one must have patched the last of them. The cost of that, over K, is averaged over all
    K as a geometric mean with weights 1 / K. Of equal effects, those that are found first count as the larger.

    Args:
        cost: Forward passes after which each node had been patched alone.
        effects: True contribution of each node.

    Returns:
        1 for an oracle.
    """
    truth = np.lexsort((cost, -np.asarray(effects)))
    k = np.arange(1, len(effects) + 1)
    spent = np.maximum.accumulate(np.asarray(cost, dtype=float)[truth])
    return math.exp(float((np.log(spent / k) / k).sum() / (1 / k).sum()))
