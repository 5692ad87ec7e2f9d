"""Activations of a policy over recordings, and replacing them while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from basalt.data.dataset import Episode, single_pass
from basalt.errors import ConfigError
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
    seen: list[Tensor] = []
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]] = []

    def keep(x: Tensor) -> Tensor:
        seen.append(x)
        return x

    rows = min(rows, len(episodes))
    state = policy.initial_state(rows)
    with replaced(policy, site, keep):
        for batch in single_pass(episodes, rows, length):
            first = torch.from_numpy(batch.first).to(policy.device)
            state = policy.forward_encoded(gather(encoded, batch), first, state).state
            values = seen.pop().float().cpu().numpy()
            parts.append(
                (values[batch.valid], batch.episode[batch.valid], batch.frame[batch.valid])
            )
    values, episode, frame = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((frame, episode))
    return Activations(torch.from_numpy(values[order]), episode[order], frame[order])


@torch.no_grad()
def site_widths(policy: VPTPolicy) -> dict[str, int]:
    """Width of each site's activation, found by running one black frame."""
    widths: dict[str, int] = {}
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, site=site: widths.__setitem__(site, out.shape[-1])
        )
        for site, module in policy.sites().items()
    ]
    try:
        img = torch.zeros(1, 1, *policy.config.img_shape, dtype=torch.uint8, device=policy.device)
        first = torch.ones(1, 1, dtype=torch.bool, device=policy.device)
        policy(img, first, policy.initial_state(1))
    finally:
        for handle in handles:
            handle.remove()
    return {site: widths[site] for site in policy.sites()}
