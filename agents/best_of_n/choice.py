"""The choice of the best of n, and how far it goes from the policy that played."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def best(rewards: ArrayLike) -> NDArray[np.int64]:
    """Number of the highest reward in each row, int64 [rows]; the first among equals.

    Args:
        rewards: Reward of each of n episodes in a row, float [rows, n].
    """
    return np.asarray(rewards, dtype=float).argmax(axis=1).astype(np.int64)


def divergence(n: int) -> float:
    """KL divergence in nats of the best of n from one episode: ln n - (n - 1) / n, where rewards differ.

    Optimisation against a proxy is compared at equal divergence (Gao et al. 2022, arXiv 2210.10760).
    """
    return math.log(n) - (n - 1) / n
