"""The planted problem on which contrast beats filtering, and the reference form the plain one where habits rule."""

from typing import NamedTuple

import pytest
import torch

from agents.preferences.losses import contrast

STATES, ACTIONS, LENGTH, PAIRS = 20, 10, 16, 300
HABIT = 0.97
STEPS = 400


class Problem(NamedTuple):
    """Behaviour and advantages of a contextual problem, and answered pairs of its clips.

    Attributes:
        behaviour: Log-probabilities of the player, float [STATES, ACTIONS].
        advantage: What each action is worth, with mean 0 under the behaviour, float [STATES, ACTIONS].
        states, actions: Winners and losers, int64 [2, PAIRS, LENGTH].
    """

    behaviour: torch.Tensor
    advantage: torch.Tensor
    states: torch.Tensor
    actions: torch.Tensor


def planted(seed: int) -> Problem:
    """Half of the states have a habit; the share of them in a clip varies; the true advantage answers."""
    draws = torch.Generator().manual_seed(seed)
    probability = torch.full((STATES, ACTIONS), 1 / ACTIONS)
    habits = torch.randint(ACTIONS, (STATES // 2,), generator=draws)
    probability[: STATES // 2] = (1 - HABIT) / (ACTIONS - 1)
    probability[torch.arange(STATES // 2), habits] = HABIT
    advantage = torch.randn(STATES, ACTIONS, generator=draws)
    advantage -= (probability * advantage).sum(1, keepdim=True)
    share = torch.rand(2, PAIRS, 1, generator=draws)
    habitual = torch.rand(2, PAIRS, LENGTH, generator=draws) < share
    states = torch.randint(STATES // 2, habitual.shape, generator=draws) + (STATES // 2) * ~habitual
    actions = torch.multinomial(
        probability[states.flatten()], 1, generator=draws
    ).view(states.shape)  # fmt: skip
    worth = advantage[states, actions].sum(-1)
    order = worth.argsort(0, descending=True)[..., None].expand_as(states)
    return Problem(
        probability.log(), advantage, states.gather(0, order), actions.gather(0, order)
    )  # fmt: skip


def learned(problem: Problem, method: str) -> torch.Tensor:
    """Value of the learned policy in each state, float [STATES]."""
    logits = problem.behaviour.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.03)
    for _ in range(STEPS):
        likely = logits.log_softmax(1)[problem.states, problem.actions].sum(-1)
        if method == "reference":
            likely = likely - problem.behaviour[problem.states, problem.actions].sum(-1)
        loss = -likely[0] / LENGTH if method == "filtered" else contrast(0.1 * likely[0], 0.1 * likely[1])  # fmt: skip
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return (logits.detach().softmax(1) * problem.advantage).sum(1)


@pytest.mark.usefixtures("one_thread")
def test_contrast_beats_filtering_and_the_reference_helps_where_habits_rule() -> None:
    values = {
        method: torch.stack([learned(planted(seed), method) for seed in range(4)])
        for method in ("reference", "plain", "filtered")
    }
    assert values["reference"].mean() > 0.6
    assert values["filtered"].mean() < 0.15
    habits = {method: float(found[:, : STATES // 2].mean()) for method, found in values.items()}
    assert habits["reference"] > habits["plain"]
