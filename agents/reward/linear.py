"""The linear reward model: logistic regression on differences of mean components, with ties."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.reward.preference import BOTH_BAD, log_likelihood

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties of the squared weights that are tried."""

UNTESTED = 1e-2
"""The penalty where no fold has both pairs to learn from and pairs to test on."""

FOLDS = 5

STEPS = 200
"""Largest number of steps of L-BFGS; the loss is smooth, and convex without `both_bad`."""


class LinearFit(NamedTuple):
    """A fitted linear model.

    Attributes:
        weight: Weight of each component, float64 [components].
        log_tie: Logarithm of Davidson's v, float64 scalar.
        cut: Acceptable score, float64 scalar; None if no answer is `both_bad`.
    """

    weight: Tensor
    log_tie: Tensor
    cut: Tensor | None

    def loss(self, left: Tensor, right: Tensor, answers: Tensor, flip_rate: float) -> float:
        """Mean negative log-probability of answers in nats; see `fit_linear`."""
        a, b = left.double() @ self.weight, right.double() @ self.weight
        found = log_likelihood(a, b, answers, self.log_tie, self.cut, flip_rate)
        return -float(found.mean())


def fit_linear(
    left: Tensor,
    right: Tensor,
    answers: Tensor,
    *,
    penalty: float = 1e-3,
    flip_rate: float = 0.0,
    counts: Tensor | None = None,
) -> LinearFit:
    """Fit a linear model to answers, by L-BFGS in double precision.

    Args:
        left: Features of the left clips, float [n, components].
        right: Features of the right clips, float [n, components].
        answers: `agents.reward.preference.CODES` of the answers, int64 [n].
        penalty: Penalty of the squared weights.
        flip_rate: Share of the answers that name the wrong side.
        counts: How often each answer counts, float [n]; None for once.
    """
    a, b = left.double(), right.double()
    share = torch.ones(len(a)) if counts is None else counts
    share = share.double() / share.sum()
    weight = torch.zeros(a.shape[1], dtype=torch.float64, requires_grad=True)
    log_tie = torch.zeros((), dtype=torch.float64, requires_grad=True)
    cut = torch.zeros((), dtype=torch.float64, requires_grad=True)
    rejects = bool((answers == BOTH_BAD).any())
    parameters = [weight, log_tie, cut] if rejects else [weight, log_tie]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=STEPS, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = log_likelihood(
            a @ weight, b @ weight, answers, log_tie, cut if rejects else None, flip_rate
        )
        # Without ties log_tie goes to minus infinity; the last term only keeps it in sight.
        loss = -(share * found).sum() + penalty * (weight**2).sum() + 1e-6 * log_tie**2
        loss.backward()
        return loss

    optimizer.step(closure)
    return LinearFit(weight.detach(), log_tie.detach(), cut.detach() if rejects else None)


def choose_penalty(
    left: Tensor,
    right: Tensor,
    answers: Tensor,
    places: Sequence[tuple[str, str]],
    *,
    flip_rate: float = 0.0,
    seed: int = 0,
) -> float:
    """The penalty with the smallest loss in cross-validation over worlds, never over pairs.

    Args:
        left: Features of the left clips, float [n, components].
        right: Features of the right clips, float [n, components].
        answers: Codes of the answers, int64 [n].
        places: Worlds of both clips of each pair.
        flip_rate: Share of the answers that name the wrong side.
        seed: Seed of the folds.
    """
    names = sorted({place for both in places for place in both})
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[place]: number % FOLDS for number, place in enumerate(order)}
    folds = torch.tensor([[fold_of[place] for place in both] for both in places])
    totals = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(min(FOLDS, len(names))):
        test, learn = (folds == fold).all(1), (folds != fold).all(1)
        if not test.any() or not learn.any():
            continue
        for penalty in PENALTIES:
            fit = fit_linear(
                left[learn], right[learn], answers[learn], penalty=penalty, flip_rate=flip_rate
            )
            loss = fit.loss(left[test], right[test], answers[test], flip_rate)
            totals[penalty] += loss * int(test.sum())
    if not any(totals.values()):
        return UNTESTED
    return min(PENALTIES, key=lambda penalty: totals[penalty])
