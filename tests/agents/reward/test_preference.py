"""The model of answers: known probabilities and gradients, and what must not change them."""

import math

import pytest
import torch

from agents.reward.model import LinearReward
from agents.reward.preference import (
    BOTH_BAD,
    DRAW,
    LEFT,
    RIGHT,
    left_chance,
    log_likelihood,
)

EACH = torch.tensor([LEFT, RIGHT, DRAW])
TIE = torch.tensor(math.log(0.5))


def test_ties_have_davidsons_probabilities_and_gradients() -> None:
    # d = 1, v = 0.5
    d = torch.ones(3, requires_grad=True)
    log_tie = TIE.clone().requires_grad_()
    found = log_likelihood(d, torch.zeros(3), EACH, log_tie)
    chances = found.exp().tolist()
    assert chances == pytest.approx([0.5984, 0.2201, 0.1815], abs=1e-4)
    assert sum(chances) == pytest.approx(1, abs=1e-6)
    (by_d,) = torch.autograd.grad(-found.sum(), d, retain_graph=True)
    assert by_d.tolist() == pytest.approx([-0.3109, 0.6891, 0.1891], abs=1e-4)
    for answer, is_tie in ((0, 0), (1, 0), (2, 1)):
        (by_tie,) = torch.autograd.grad(-found[answer], log_tie, retain_graph=True)
        assert float(by_tie) == pytest.approx(chances[2] - is_tie, abs=1e-4)


def test_swapped_sides_and_answers_have_the_same_likelihood() -> None:
    left, right = torch.tensor([0.3, -2.0, 1.0]), torch.tensor([1.1, 0.5, 1.0])
    mirrored = torch.tensor([RIGHT, LEFT, DRAW])
    for flip_rate in (0.0, 0.1):
        a = log_likelihood(left, right, EACH, TIE, torch.tensor(0.2), flip_rate)
        b = log_likelihood(right, left, mirrored, TIE, torch.tensor(0.2), flip_rate)
        torch.testing.assert_close(a, b)


def test_a_share_of_equal_clips_is_a_draw() -> None:
    # A share t of draws at d = 0 is v = 2t / (1 - t).
    for share, tie in ((0.1, 0.222), (0.2, 0.5), (1 / 3, 1.0)):
        zero = torch.zeros(1)
        found = log_likelihood(zero, zero, torch.tensor([DRAW]), torch.tensor(math.log(tie)))
        assert float(found.exp()) == pytest.approx(share, abs=1e-3)


def test_random_answers_bound_the_loss_of_a_wrong_one() -> None:
    # A tenth of random answers is a twentieth of wrong ones.
    d = torch.tensor([0.0, 1.0, 2.0, 4.0])
    assert left_chance(d, 0.05).tolist() == pytest.approx([0.5, 0.708, 0.843, 0.934], abs=1e-3)
    no_ties = torch.tensor(-1e4)
    answers = torch.full((4,), LEFT)
    found = log_likelihood(d, torch.zeros(4), answers, no_ties, None, 0.05)
    torch.testing.assert_close(found.exp(), left_chance(d, 0.05))
    worst = log_likelihood(torch.tensor([-500.0]), torch.zeros(1), answers[:1], no_ties, None, 0.05)
    assert float(-worst) == pytest.approx(-math.log(0.05), abs=1e-4)
    three = log_likelihood(d[1:2].expand(3), torch.zeros(3), EACH, TIE, None, 0.05)
    assert float(three.exp().sum()) == pytest.approx(1, abs=1e-6)


def test_four_answers_have_probabilities_that_add_up_to_one() -> None:
    answers = torch.tensor([LEFT, RIGHT, DRAW, BOTH_BAD])
    for left, right in ((0.5, -1.0), (-6.0, -7.0), (8.0, 9.0)):
        cut = torch.tensor(0.3)
        found = log_likelihood(torch.full((4,), left), torch.full((4,), right), answers, TIE, cut, 0.1)  # fmt: skip
        assert float(found.exp().sum()) == pytest.approx(1, abs=1e-5)
        reject = torch.sigmoid(cut - left) * torch.sigmoid(cut - right)
        assert float(found[3].exp()) == pytest.approx(float(reject), abs=1e-6)


def test_rejections_fix_the_zero_of_the_score_that_pairs_leave_free() -> None:
    left, right = torch.tensor([1.0, -3.0]), torch.tensor([0.0, -2.0])
    pairs, mixed = torch.tensor([LEFT, RIGHT]), torch.tensor([LEFT, BOTH_BAD])
    for shift in (-2.0, 2.0):
        same = log_likelihood(left + shift, right + shift, pairs, TIE)
        torch.testing.assert_close(same, log_likelihood(left, right, pairs, TIE))
        cut = torch.tensor(0.0)
        moved = log_likelihood(left + shift, right + shift, mixed, TIE, cut)
        assert not torch.allclose(moved, log_likelihood(left, right, mixed, TIE, cut), atol=0.01)


def test_a_constant_changes_sums_over_unequal_lengths_but_no_score_of_a_clip() -> None:
    member = LinearReward(1)
    with torch.no_grad():
        member.head.weight.fill_(1.0)
    values = torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.0, 99.0]])[..., None]
    mask = torch.tensor([[True, True, True], [True, True, False]])
    sums, clips = [], []
    for constant in (0.0, 0.5):
        with torch.no_grad():
            steps = member(values + constant, mask)
        sums.append(float((steps.scores * mask).sum(1)[0] - (steps.scores * mask).sum(1)[1]))
        clips.append(float(steps.clip[0] - steps.clip[1]))
    assert sums == pytest.approx([2.0, 2.5])
    assert clips == pytest.approx([0.0, 0.0])
