"""A policy whose encoder sees several consecutive frames at once."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basalt.data.episodes import load_episodes
from basalt.policies.config import VPTConfig
from basalt.policies.embed import embed_episodes
from basalt.policies.imitation import encode_episodes, evaluate
from basalt.policies.vpt import VPTPolicy
from tests.support.synthetic import write_episodes

CONFIG = VPTConfig(
    hidsize=8,
    attention_heads=2,
    attention_memory_size=12,
    timesteps=4,
    n_recurrence_layers=1,
    impala_chans=(2, 2, 2),
    impala_width=1,
    img_shape=(8, 8, 3),
    frame_stack=3,
)


@pytest.fixture(scope="module")
def policy() -> VPTPolicy:
    torch.manual_seed(0)
    return VPTPolicy(CONFIG).eval()


def numbered(first: int, last: int) -> torch.Tensor:
    """Frames [1, T, 8, 8, 3], each filled with its number."""
    numbers = torch.arange(first, last + 1, dtype=torch.uint8)
    return numbers[None, :, None, None, None].expand(1, -1, 8, 8, 3)


def seen(stacks: torch.Tensor) -> list[list[int]]:
    """Numbers of the frames in each stack of the first row."""
    return stacks[0, :, 0, 0, ::3].tolist()


def test_a_stack_is_the_frame_and_those_before_it(policy: VPTPolicy) -> None:
    first = torch.tensor([[True, False, False, False]])
    stacks, state = policy.net.stack(numbered(1, 4), first, policy.initial_state(1))
    assert stacks.shape == (1, 4, 8, 8, 9)
    assert seen(stacks) == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4]]
    stacks, _ = policy.net.stack(numbered(5, 6), torch.zeros(1, 2, dtype=torch.bool), state)
    assert seen(stacks) == [[3, 4, 5], [4, 5, 6]]


def test_no_stack_reaches_into_the_episode_before(policy: VPTPolicy) -> None:
    first = torch.tensor([[True, False, True, False]])
    stacks, state = policy.net.stack(numbered(1, 4), first, policy.initial_state(1))
    assert seen(stacks) == [[1, 1, 1], [1, 1, 2], [3, 3, 3], [3, 3, 4]]
    again, _ = policy.net.stack(numbered(5, 5), torch.tensor([[True]]), state)
    assert seen(again) == [[5, 5, 5]]


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 11)),
    starts=st.sets(st.integers(1, 11)),
    stack=st.integers(1, 4),
)
def test_cutting_into_chunks_changes_nothing(cuts: set[int], starts: set[int], stack: int) -> None:
    torch.manual_seed(1)
    policy = VPTPolicy(replace(CONFIG, frame_stack=stack)).eval()
    frames = torch.randint(0, 256, (2, 12, 8, 8, 3), dtype=torch.uint8)
    first = torch.zeros(2, 12, dtype=torch.bool)
    first[:, [0, *starts]] = True
    with torch.inference_mode():
        whole = policy(frames, first, policy.initial_state(2)).latent
        state, parts = policy.initial_state(2), []
        edges = [0, *sorted(cuts), 12]
        for a, b in pairwise(edges):
            output = policy(frames[:, a:b], first[:, a:b], state)
            state = output.state
            parts.append(output.latent)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-4)


def test_the_frame_before_matters_where_the_encoder_sees_it(policy: VPTPolicy) -> None:
    frames = torch.zeros(2, 2, 8, 8, 3, dtype=torch.uint8)
    frames[1, 0] = 255
    first = torch.tensor([[True, False]] * 2)
    with torch.inference_mode():
        stacks, _ = policy.net.stack(frames, first, policy.initial_state(2))
        encoded = policy.net.encode(stacks)[:, 1]
    assert not torch.allclose(encoded[0], encoded[1], atol=1e-3)


@torch.inference_mode()
def test_whole_episodes_are_embedded_as_they_are_played(policy: VPTPolicy, tmp_path: Path) -> None:
    folder = write_episodes(tmp_path, range(100_000, 100_003), 30)
    episodes = load_episodes(folder, size=CONFIG.frame_size)
    embedded = list(embed_episodes(policy, episodes, batch_size=2, seq_len=7, workers=0))
    assert len(embedded) == 3
    for episode, latents in embedded:
        state, stepped = policy.initial_state(1), []
        for t, frame in enumerate(episode.read()):
            output = policy(torch.from_numpy(frame)[None, None], torch.tensor([[t == 0]]), state)
            state = output.state
            stepped.append(output.latent[0, 0])
        torch.testing.assert_close(latents, torch.stack(stepped), rtol=1e-3, atol=1e-3)
    encoded = evaluate(policy, encode_episodes(policy, episodes))
    assert encoded["loss"] == pytest.approx(evaluate(policy, episodes)["loss"], abs=1e-4)
