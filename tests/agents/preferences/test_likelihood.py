"""The log-probability of a clip does not depend on how it is computed, nor on labels that mean nothing."""

import pytest
import torch

from agents.preferences.likelihood import Actions, burn_in, clip_sums, log_probs, of_latents
from basalt.core.actions import CAMERA_ON, N_BUTTONS, N_CAMERA
from basalt.data.baselines import camera_counts
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy
from tests.support.tiny_policy import TINY

pytestmark = pytest.mark.usefixtures("one_thread")

BEFORE, LENGTH = 60, 32


@pytest.fixture(scope="module")
def policy() -> VPTPolicy:
    torch.manual_seed(0)
    return VPTPolicy(TINY).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    return torch.randint(256, (1, BEFORE + LENGTH, *TINY.img_shape), generator=draws).byte()


def actions_of(steps: int) -> Actions:
    draws = torch.Generator().manual_seed(2)
    buttons = torch.randint(N_BUTTONS, (1, steps), generator=draws)
    camera = torch.randint(N_CAMERA, (1, steps), generator=draws)
    counts = torch.from_numpy(camera_counts(buttons.numpy()))
    return Actions(buttons, camera, counts, torch.ones(1, steps, dtype=torch.bool))


@torch.no_grad()
def of_clip(policy: VPTPolicy, frames: torch.Tensor, burned: int, chunk: int) -> torch.Tensor:
    """Log-probabilities of the last LENGTH steps, run from `burned` steps before them in chunks."""
    frames = frames[:, BEFORE - burned :]
    state, latents = policy.initial_state(1), []
    for start in range(0, frames.shape[1], chunk):
        part = frames[:, start : start + chunk]
        first = torch.zeros(part.shape[:2], dtype=torch.bool)
        first[:, 0] = start == 0
        found, state = policy.latents(part, first, state)
        latents.append(found)
    return log_probs(of_latents(policy, torch.cat(latents, 1)[:, -LENGTH:]), actions_of(LENGTH))


def test_chunks_do_not_matter(policy: VPTPolicy, frames: torch.Tensor) -> None:
    whole = of_clip(policy, frames, BEFORE, BEFORE + LENGTH)
    for chunk in (1, 32):
        torch.testing.assert_close(of_clip(policy, frames, BEFORE, chunk), whole, rtol=0, atol=2e-5)


def test_the_burn_in_is_just_long_enough(policy: VPTPolicy, frames: torch.Tensor) -> None:
    whole = of_clip(policy, frames, BEFORE, BEFORE + LENGTH)
    enough = burn_in(TINY)
    assert enough == 2 * (TINY.memory - 1) < BEFORE
    two_blocks = VPTConfig(n_recurrence_layers=2, attention_memory_size=192)  # with a memory of 64
    assert (burn_in(two_blocks), burn_in(VPTConfig())) == (126, 508)
    # Other lengths of a call may round otherwise, in the last digit.
    torch.testing.assert_close(
        of_clip(policy, frames, enough, BEFORE + LENGTH), whole, rtol=0, atol=1e-6
    )
    less = of_clip(policy, frames, enough - 1, BEFORE + LENGTH)
    assert float((less - whole)[:, 0].abs()) > 1e-5


def test_a_camera_that_does_not_move_says_nothing(policy: VPTPolicy) -> None:
    output = of_latents(policy, torch.randn(1, LENGTH, TINY.hidsize))
    actions = actions_of(LENGTH)
    still = (~torch.from_numpy(CAMERA_ON[actions.buttons.numpy()])).nonzero()[0]
    assert len(still)
    other = actions.camera.clone()
    other[tuple(still)] = (other[tuple(still)] + 1) % N_CAMERA
    torch.testing.assert_close(
        log_probs(output, actions._replace(camera=other)),
        log_probs(output, actions),
        rtol=0,
        atol=0,
    )
    moved = actions.counts.nonzero()[0]
    other[tuple(moved)] = (other[tuple(moved)] + 1) % N_CAMERA
    assert not torch.equal(log_probs(output, actions._replace(camera=other)), log_probs(output, actions))  # fmt: skip


def test_padding_adds_nothing_and_longer_clips_do_not_count_more(policy: VPTPolicy) -> None:
    output = of_latents(policy, torch.randn(1, LENGTH, TINY.hidsize))
    actions = actions_of(LENGTH)
    steps = log_probs(output, actions)
    mask = actions.mask.clone()
    mask[:, LENGTH // 2 :] = False
    half = log_probs(output, actions._replace(mask=mask))
    torch.testing.assert_close(half[:, : LENGTH // 2], steps[:, : LENGTH // 2])
    assert not half[:, LENGTH // 2 :].any()
    sums = clip_sums(torch.ones(1, LENGTH) * mask, mask, LENGTH)
    assert sums.item() == clip_sums(torch.ones(1, LENGTH), actions.mask, LENGTH).item() == LENGTH
