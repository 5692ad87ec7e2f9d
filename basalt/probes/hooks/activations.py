"""Activations of a policy over recordings, and replacing them while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from basalt.data.dataset import Batch, Episode, single_pass
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.imitation import gather
from basalt.policies.vpt import VPTPolicy


class Activations(NamedTuple):
    """One site's activations, one row a frame.

    Attributes:
        values: float32 [n, width].
        episode: int64 [n], position in the list of episodes.
        frame: int64 [n], frame of the recording.
    """

    values: Tensor
    episode: NDArray[np.int64]
    frame: NDArray[np.int64]


def site_module(policy: VPTPolicy, site: str) -> nn.Module:
    """The module whose output is the site's activation.

    Raises:
        ConfigError: no such site; the message lists them.
    """
    sites = policy.sites()
    if site not in sites:
        close = get_close_matches(site, sites, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"site: unknown site {site!r}; {hint}known: {', '.join(sites)}")
    return sites[site]


@contextmanager
def replaced(
    policy: VPTPolicy, site: str, replacement: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Within the context, the site's activation x [B, T, width] becomes `replacement(x)`."""

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return replacement(output)

    handle = site_module(policy, site).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded(policy: VPTPolicy, sites: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the context, each call of the policy leaves the sites' activations [B, T, width] in the dict.

    Raises:
        ConfigError: no such site.
    """
    seen: dict[str, Tensor] = {}

    def hook(site: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: seen.__setitem__(site, output)

    modules = {site: site_module(policy, site) for site in sites}
    handles = [module.register_forward_hook(hook(site)) for site, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def collect(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    site: str,
    encoded: Sequence[Tensor],
    *,
    rows: int = 8,
    length: int = 64,
) -> Activations:
    """Run the policy over whole episodes with carried memory and keep one site's activations.

    Args:
        policy: in evaluation mode.
        episodes: which to run over.
        site: one of `policy.sites()`.
        encoded: the episodes' encoded frames, `basalt.policies.imitation.encode_episodes`.
        rows: episodes side by side.
        length: frames of a call.

    Returns:
        Activations sorted by episode and frame.
    """
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]] = []
    rows = min(rows, len(episodes))
    state = policy.initial_state(rows)
    with recorded(policy, [site]) as seen:
        for batch in single_pass(episodes, rows, length):
            first = torch.from_numpy(batch.first).to(policy.device)
            state = policy.forward_encoded(gather(encoded, batch), first, state).state
            values = seen[site].float().cpu().numpy()
            parts.append(
                (values[batch.valid], batch.episode[batch.valid], batch.frame[batch.valid])
            )
    values, episode, frame = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((frame, episode))
    return Activations(torch.from_numpy(values[order]), episode[order], frame[order])


def stream(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    site: str,
    batch: int,
    *,
    pool: int = 16_384,
    rows: int = 8,
    length: int = 64,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Endless raw batches [batch, width], float32, made while they are used.

    Nothing is kept but a pool: when it is full it is shuffled and half of it given out, so that
    neighbouring frames, near-copies of each other, do not stay together. Each pass runs the episodes in
    an order of its own, with carried memory.

    Args:
        policy: in evaluation mode.
        episodes: which to run over, again and again.
        site: one of `policy.sites()`.
        batch: activations a batch.
        pool: activations held at a time; at most all there are.
        rows: episodes side by side.
        length: frames of a call.
        seed: of the orders.

    Raises:
        ConfigError: fewer frames than a batch, no pool, or no such site.
    """
    frames = sum(map(len, episodes))
    if pool < 1:
        raise ConfigError(f"stream: a pool of {pool} activations; give 1 or more")
    if frames < batch:
        raise ConfigError(f"stream: {frames} frames for batches of {batch}; record more")
    rng = np.random.default_rng(seed)
    size = max(min(pool, frames), batch)
    parts: list[Tensor] = []
    while True:
        order = [episodes[i] for i in rng.permutation(len(episodes))]
        side = min(rows, len(order))
        state = policy.initial_state(side)
        for chunk in single_pass(order, side, length):
            values, state = _values(policy, site, chunk, state)
            parts.append(values)
            if sum(map(len, parts)) < size:
                continue
            full = torch.cat(parts)
            full = full[torch.from_numpy(rng.permutation(len(full)))]
            given = max(len(full) // 2 // batch, 1) * batch
            yield from full[:given].split(batch)
            parts = [full[given:]]


@torch.no_grad()
def _values(
    policy: VPTPolicy, site: str, chunk: Batch, state: PolicyState
) -> tuple[Tensor, PolicyState]:
    """The site's activations at a chunk's frames [n, width], on the CPU, and the next state."""
    # No longer than this: others may use the policy meanwhile.
    with recorded(policy, [site]) as seen:
        img = torch.from_numpy(chunk.img).to(policy.device)
        first = torch.from_numpy(chunk.first).to(policy.device)
        _, state = policy.net.recur(policy.net.encode(img), first, state)
    return seen[site].float().cpu()[torch.from_numpy(chunk.valid)], state


@torch.no_grad()
def site_widths(policy: VPTPolicy) -> dict[str, int]:
    """Width of each site's activation, found by running one black frame."""
    sites = policy.sites()
    with recorded(policy, sites) as seen:
        img = torch.zeros(1, 1, *policy.config.img_shape, dtype=torch.uint8, device=policy.device)
        first = torch.ones(1, 1, dtype=torch.bool, device=policy.device)
        policy(img, first, policy.initial_state(1))
    return {site: seen[site].shape[-1] for site in sites}
