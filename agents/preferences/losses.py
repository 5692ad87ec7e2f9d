"""Losses of learning from pairs of clips, and weights of learning from rewards.

A clip's score A is `scale` times the sum of log pi(action), or of log pi(action) - log pi_ref(action), over its steps. CPL (Hejna et
al. 2023, arXiv 2310.13639) takes the first and calls it an advantage; DPO (Rafailov et al. 2023, arXiv 2305.18290) takes the second.
Both lose

    softplus(bias * A(loser) - A(winner))
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast(winner: Tensor, loser: Tensor, bias: float = 1.0, flip_rate: float = 0.0) -> Tensor:
    """Loss of each pair in nats, float [n].

    With `bias` below 1 it depends on the absolute scores: the loser counts less, and the policy stays closer to all clips.

    Args:
        winner: Scores of the winning clips, float [n].
        loser: Scores of the losing clips, float [n].
        bias: Factor of the loser's score (CPL's lambda), above 0 and at most 1.
        flip_rate: Share of the answers that name the wrong side. It bounds the loss of a wrong answer.
    """
    right = F.softplus(bias * loser - winner)
    if not flip_rate:
        return right
    wrong = F.softplus(bias * winner - loser)
    return -torch.logaddexp(math.log1p(-flip_rate) - right, math.log(flip_rate) - wrong)


def draw_contrast(one: Tensor, other: Tensor, bias: float = 1.0) -> Tensor:
    """Loss of each draw in nats, float [n]: half of each answer's."""
    return (contrast(one, other, bias) + contrast(other, one, bias)) / 2


def ranked_contrast(scores: Tensor, values: Tensor, bias: float = 1.0) -> Tensor:
    """Mean loss over all B(B-1)/2 pairs of B clips that something else has valued (CPL's dense mode), a scalar.

    Args:
        scores: Scores of the clips, float [B].
        values: What the clips are worth, float [B]; the order decides.
        bias: Factor of the loser's score, see `contrast`.
    """
    ordered = scores[values.argsort(descending=True)]
    better, worse = torch.triu_indices(len(ordered), len(ordered), offset=1)
    return contrast(ordered[better], ordered[worse], bias).mean()


def advantage_weights(advantage: Tensor, temperature: float, largest: float = math.inf) -> Tensor:
    """Weights exp(advantage / temperature), at most `largest`, scaled to a mean of 1, float of the same shape."""
    weights = (advantage / temperature).exp().clamp(max=largest)
    return weights / weights.mean()


def effective_share(weights: Tensor) -> float:
    """Share of equally weighted samples that are worth as much as these: (sum w)^2 / (n sum w^2)."""
    return float(weights.sum().square() / (len(weights) * weights.square().sum()))
