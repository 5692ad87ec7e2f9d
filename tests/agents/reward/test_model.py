"""The networks: the support gate, the units of rewards, and scores of episodes that do not depend on how they are cut."""

import numpy as np
import pytest
import torch

from agents.reward.config import ModelKind
from agents.reward.linear import fit_linear
from agents.reward.model import BOUND, LinearReward, RewardModel, RewardSizes
from agents.reward.preference import LEFT, RIGHT
from agents.reward.support import Support

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS: tuple[ModelKind, ...] = ("linear", "mlp", "transformer")


def sizes(**changes: object) -> RewardSizes:
    values = {"model": "mlp", "members": 2, "latents": 8, "components": 4, "references": 6, "width": 16}  # fmt: skip
    return RewardSizes.model_validate({**values, **changes})


def random_model(kind: ModelKind, **changes: object) -> RewardModel:
    """A model with random weights, also where a new one has zeros."""
    torch.manual_seed(0)
    model = RewardModel(sizes(model=kind, **changes)).eval()
    with torch.no_grad():
        model.basis.normal_()
        for parameter in model.members.parameters():
            parameter.normal_(std=0.3)
    return model


def test_members_that_agree_are_no_protection_and_the_support_gate_is() -> None:
    """Half of the directions are hardly seen in training; half of the candidates are far out in them."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        true = torch.from_numpy(rng.normal(size=20))
        usual = np.array([1.0] * 10 + [0.05] * 10)
        left, right = (torch.from_numpy(rng.normal(size=(300, 20)) * usual) for _ in range(2))
        won = torch.from_numpy(rng.random(300)) < torch.sigmoid((left - right) @ true)
        answers = torch.where(won, LEFT, RIGHT)
        model = RewardModel(
            sizes(model="linear", members=5, latents=20, components=20, references=600)
        )
        model.basis.copy_(torch.eye(20))
        for member in model.members:
            counts = torch.from_numpy(np.bincount(rng.integers(300, size=300), minlength=300))
            fit = fit_linear(left, right, answers, penalty=1e-3, counts=counts)
            assert isinstance(member, LinearReward)
            with torch.no_grad():
                member.head.weight.copy_(fit.weight[None])
        frames = torch.cat([left, right]).float()
        model.settle(frames, torch.arange(600) % 30, model.step_scores(frames).detach())
        candidates = torch.from_numpy(rng.normal(size=(512, 20)) * usual).float()
        far = torch.arange(512) % 2 == 1
        candidates[far, 10:] *= 200  # ten times the usual size of a seen direction
        found = model.rewards(candidates)
        pessimistic = found.mean - found.spread
        assert int(far[pessimistic.topk(8).indices].sum()) == 8
        gated = model.gated(found, pessimism=1.0)
        assert int(far[gated.topk(8).indices].sum()) == 0
        assert bool((gated[far] <= model.floor).all())
        # Frames like those of the training pass.
        assert float((found.distance[~far] > 1).float().mean()) < 0.05


def test_the_limit_is_the_distance_to_frames_of_other_worlds() -> None:
    """Frames of an episode are nearly equal; a new world's frames are as far as those of the others."""
    rng = np.random.default_rng(0)

    def frames(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        centres = rng.normal(size=(count, 6)).repeat(50, 0)
        near = torch.from_numpy(centres + 0.01 * rng.normal(size=centres.shape)).float()
        return near, torch.arange(count).repeat_interleave(50)

    known, places = frames(40)
    support = Support(len(known), 6)
    support.settle(known, places)
    new, _ = frames(40)
    assert float((support.distance(new) > 1).float().mean()) < 0.1
    assert float(support.distance(new + 10).min()) > 1
    support.settle(known[:1].expand(len(known), -1), torch.zeros(len(known)))  # one frame only
    assert bool(support.distance(known).isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_score(kind: ModelKind) -> None:
    model = random_model(kind)
    x = torch.randn(3, 10, 4)
    mask = torch.ones(3, 10, dtype=torch.bool)
    mask[0, 6:] = False
    whole = model.clip_scores(x, mask)
    alone = model.clip_scores(x[:1, :6], mask[:1, :6])
    torch.testing.assert_close(whole[:, :1], alone, atol=1e-5, rtol=0)
    junk = x.clone()
    junk[0, 6:] = 1e3
    torch.testing.assert_close(model.clip_scores(junk, mask), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clips_score_is_a_weighted_mean_of_its_steps(kind: ModelKind) -> None:
    model = random_model(kind)
    x, mask = torch.randn(5, 7, 4), torch.ones(5, 7, dtype=torch.bool)
    for member in model.members:
        with torch.no_grad():
            steps = member(x, mask)
        torch.testing.assert_close(steps.weights.sum(1), torch.ones(5))
        assert bool((steps.weights >= 0).all())
        if kind == "linear":
            continue
        assert float(steps.scores.abs().max()) <= BOUND
    # A new model of this kind knows nothing.
    new = RewardModel(sizes(model=kind)).eval()
    assert new.clip_scores(x, mask).abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 5, 8, 9, 30])
def test_steps_of_an_episode_are_scored_by_the_past_alone(kind: ModelKind, steps: int) -> None:
    model = random_model(kind, window=8, stride=2)
    latents = torch.randn(steps, 8)
    found = model.rewards(latents)
    assert found.mean.shape == found.spread.shape == found.distance.shape == (steps,)
    changed = latents.clone()
    changed[steps // 2 + 1 :] += 5
    again = model.rewards(changed)
    torch.testing.assert_close(
        again.mean[: steps // 2 + 1], found.mean[: steps // 2 + 1], atol=1e-4, rtol=0
    )


def test_windows_give_a_transformer_its_past() -> None:
    model = random_model("transformer", window=8)
    x = torch.randn(8, 4)
    mask = torch.ones(1, 8, dtype=torch.bool)
    whole = torch.stack([member(x[None], mask).scores[0] for member in model.members])
    torch.testing.assert_close(model.step_scores(x), whole, atol=1e-5, rtol=0)


def test_rewards_have_the_units_of_training_frames() -> None:
    model = random_model("mlp", references=500)
    x = torch.randn(500, 4)
    model.settle(x, torch.arange(500) % 10, model.step_scores(x).detach())
    scores = (model.step_scores(x) - model.centre[:, None]) / model.scale[:, None]
    torch.testing.assert_close(scores.mean(1), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.std(1, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    assert float(model.floor) == pytest.approx(float(scores.mean(0).min()), abs=1e-4)


def test_changes_add_up_to_the_end_minus_the_start() -> None:
    """So that a mean of step scores can be what a clip made better, which a mean of states cannot."""
    model = random_model("linear", changes=True, stride=3)
    model.change.copy_(torch.tensor([1.0, 2.0, 0.5, 1.0]))
    latents = torch.randn(31, 8)
    z, change = model.features(latents).split(4, dim=1)
    torch.testing.assert_close(z, model.components(latents))
    every = torch.arange(0, 31, 3)
    torch.testing.assert_close(change[every].sum(0) * model.change, z[30] - z[0], atol=1e-4, rtol=0)
    assert change[0].abs().max() == 0
    assert model.rewards(latents).mean.shape == (31,)
