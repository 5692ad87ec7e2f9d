"""The effect of a changed query or key, with the attention weights recomputed (Kramár et al. 2024, arXiv 2403.00745).

Where attention is saturated, the gradient through the softmax is near 0 although another query or key would move it.
So the weights are recomputed, and only what follows them is taken to be linear, with gradient g. All in float64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from basalt.policies.attention import HIDDEN


def query_fix(before: Tensor, after: Tensor, gradient: Tensor) -> Tensor:
    """Effect of each query: its row of weights recomputed with the query from the other run.

    Args:
        before: Attention logits [..., T, S].
        after: The same with all queries from the other run.
        gradient: Gradient of the metric by the attention weights [..., T, S].

    Returns:
        [..., T].
    """
    return ((after.softmax(-1) - before.softmax(-1)) * gradient).sum(-1)


class KeyFix(NamedTuple):
    """What each key alone, taken from the other run, does to each query, all [..., T, S].

    Attributes:
        weight: The key's new attention weight.
        effect: Effect on the metric through the weights of the query.
    """

    weight: Tensor
    effect: Tensor


def key_fix(before: Tensor, after: Tensor, gradient: Tensor) -> KeyFix:
    """Effect of each key on each query in closed form.

    A key changes one logit of a query, by D: its weight p becomes p' = sigmoid(logit(p) + D), and the other weights
    scale by (1 - p') / (1 - p). With the mean gradient m of the other keys by their weights, the effect is
    (p' - p) (g - m).

    Args:
        before: Attention logits [..., T, S].
        after: The same with all keys from the other run; entry [t, s] depends on key s alone.
        gradient: Gradient of the metric by the attention weights [..., T, S].
    """
    p, top = before.softmax(-1), before.argmax(-1, keepdim=True)
    # Only the largest weight can be so near 1 that 1 - p loses its digits, so that one is computed without it.
    without = before.scatter(-1, top, HIDDEN)
    log_odds = before.log_softmax(-1) - torch.log1p(-p.scatter(-1, top, 0))
    log_odds = log_odds.scatter(-1, top, before.gather(-1, top) - without.logsumexp(-1, True))
    others = ((p * gradient).sum(-1, keepdim=True) - p * gradient) / (1 - p.scatter(-1, top, 0))
    others = others.scatter(-1, top, (without.softmax(-1) * gradient).sum(-1, keepdim=True))
    weight = torch.sigmoid(log_odds + after - before)
    return KeyFix(weight, (weight - p) * (gradient - others))
