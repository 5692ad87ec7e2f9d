"""Activations of a policy over recordings, collected in memory or streamed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.points import record


class Activations(NamedTuple):
    """Activations of the same frames at several hook points, one row per frame.

    Attributes:
        values: By hook point, float32 [n, width].
        episode: Index in the list of episodes, int64 [n].
        frame: Frame of the recording, int64 [n].
    """

    values: dict[str, Tensor]
    episode: NDArray[np.int64]
    frame: NDArray[np.int64]


@torch.no_grad()
def advance(policy: VPTPolicy, batch: Batch, state: PolicyState) -> PolicyState:
    """Run a batch through the policy up to its latents; returns the next state."""
    inputs, first = (torch.from_numpy(x).to(policy.device) for x in (batch.inputs, batch.first))
    return policy.latents(inputs, first, state, batch.kind)[1]


def chunks(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    hook_points: Sequence[str],
    batch_size: int,
    seq_len: int,
) -> Iterator[Activations]:
    """Run the policy over whole episodes with carried memory.

    Yields:
        The activations of each batch, on the CPU, in the order of its rows.
    """
    batch_size = min(batch_size, len(episodes))
    state = policy.initial_state(batch_size)
    for batch in single_pass(episodes, batch_size, seq_len):
        # The hooks end with this call: other code may use the policy between batches.
        with record(policy, hook_points) as seen:
            state = advance(policy, batch, state)
        valid = torch.from_numpy(batch.valid)
        values = {name: seen[name].float().cpu()[valid] for name in hook_points}
        yield Activations(values, batch.episode[batch.valid], batch.frame[batch.valid])


def collect(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    hook_points: Sequence[str],
    *,
    batch_size: int = 8,
    seq_len: int = 64,
) -> Activations:
    """Run the policy over whole episodes with carried memory and keep its activations.

    Args:
        policy: Policy in evaluation mode.
        episodes: Episodes to run over.
        hook_points: Names of the hook points.
        batch_size: Number of episodes per call.
        seq_len: Number of frames per call.

    Returns:
        Activations sorted by episode and frame.
    """
    parts = list(chunks(policy, episodes, hook_points, batch_size, seq_len))
    episode, frame = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    order = np.lexsort((frame, episode))
    values = {
        name: torch.cat([part.values[name] for part in parts])[torch.from_numpy(order)]
        for name in hook_points
    }
    return Activations(values, episode[order], frame[order])


def stream(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    hook_point: str,
    batch: int,
    *,
    pool: int = 16_384,
    batch_size: int = 8,
    seq_len: int = 64,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Endless raw batches [batch, width], float32, computed while they are used.

    Only a pool is kept: when it is full it is shuffled and half of it is given out, so that
    neighbouring frames, which are near-copies, do not stay together. Each pass runs the episodes in a
    new random order, with carried memory.

    Args:
        policy: Policy in evaluation mode.
        episodes: Episodes to run over, repeatedly.
        hook_point: Name of the hook point.
        batch: Number of activations per batch.
        pool: Number of activations in memory, at most as many as there are frames.
        batch_size: Number of episodes per call.
        seq_len: Number of frames per call.
        seed: Seed of the orders.

    Raises:
        ConfigError: fewer frames than a batch, a pool below 1, or an unknown hook point.
    """
    frames = sum(map(len, episodes))
    if pool < 1:
        raise ConfigError(f"pool: expected at least 1 activation, got {pool}")
    if frames < batch:
        raise ConfigError(
            f"stream: expected at least {batch} frames for one batch, got {frames}; record more"
        )
    rng = np.random.default_rng(seed)
    size = max(min(pool, frames), batch)
    parts: list[Tensor] = []
    while True:
        order = [episodes[i] for i in rng.permutation(len(episodes))]
        for chunk in chunks(policy, order, [hook_point], batch_size, seq_len):
            parts.append(chunk.values[hook_point])
            if sum(map(len, parts)) < size:
                continue
            full = torch.cat(parts)
            full = full[torch.from_numpy(rng.permutation(len(full)))]
            given = max(len(full) // 2 // batch, 1) * batch
            yield from full[:given].split(batch)
            parts = [full[given:]]
