"""How likely an answer is, given the scores of the two clips.

Davidson's model (1970) of choices with ties, d = score of left minus score of right:

    P(left) = exp(d/2) / Z     P(right) = exp(-d/2) / Z     P(draw) = v / Z     Z = exp(d/2) + exp(-d/2) + v

so left wins a decided pair with chance sigmoid(d), Bradley and Terry's. A share of the answers names the wrong side. And both clips are
rejected with chance sigmoid(c - left) * sigmoid(c - right), where c is the acceptable score; only if they are not, they
are compared. An answer that names a winner or a draw so says that at least one is acceptable: without that, c would grow for ever.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from basalt.core.comparisons import Winner

LEFT, RIGHT, DRAW, BOTH_BAD = range(4)

CODES: dict[Winner, int] = {"left": LEFT, "right": RIGHT, "draw": DRAW, "both_bad": BOTH_BAD}
"""Number of each answer that teaches something; `skip` does not."""


def log_likelihood(
    left: Tensor,
    right: Tensor,
    answers: Tensor,
    log_tie: Tensor,
    cut: Tensor | None = None,
    flip_rate: float = 0.0,
) -> Tensor:
    """Log-probability of answers in nats, float [..., n].

    Args:
        left: Scores of the left clips, float [..., n].
        right: Scores of the right clips, float [..., n].
        answers: `CODES` of the answers, int64 [n].
        log_tie: Logarithm of Davidson's v, float [...] or a scalar.
        cut: Acceptable score, float [...]; None if no answer may be `both_bad`.
        flip_rate: Share of the answers that name the wrong side.
    """
    half = (left - right) / 2
    each = torch.stack([half, -half, log_tie[..., None].expand_as(half)], -1).log_softmax(-1)
    if flip_rate:
        right_way, wrong_way = math.log1p(-flip_rate), math.log(flip_rate)
        named, other = each[..., :2], each[..., :2].flip(-1)
        each = torch.cat(
            [torch.logaddexp(named + right_way, other + wrong_way), each[..., 2:]], dim=-1
        )
    compared = each.gather(-1, _index(answers.clamp(max=DRAW), each)).squeeze(-1)
    if cut is None:
        return compared
    rejected = F.logsigmoid(cut[..., None] - left) + F.logsigmoid(cut[..., None] - right)
    # log(1 - exp(x)) for x < 0, and never the logarithm of 0.
    acceptable = torch.log(-torch.expm1(rejected.clamp(max=-1e-6)))
    return torch.where(answers == BOTH_BAD, rejected, compared + acceptable)


def _index(answers: Tensor, each: Tensor) -> Tensor:
    return answers.expand(each.shape[:-1])[..., None]


def left_chance(difference: Tensor, flip_rate: float = 0.0) -> Tensor:
    """Chance that a decided answer names the left clip, float of the same shape.

    Args:
        difference: Score of left minus score of right.
        flip_rate: Share of the answers that name the wrong side.
    """
    return flip_rate + (1 - 2 * flip_rate) * torch.sigmoid(difference)
