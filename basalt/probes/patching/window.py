"""A policy on windows of encoded frames, run from an empty memory, with some activations patched.

A policy's memory holds keys and values of earlier frames. Here a window is run in one call from an empty memory, so
that all of them are activations of that call, and can be patched and have gradients.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from basalt.policies.attention import causal_visibility
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.points import patch, record
from basalt.probes.patching.metrics import Metric
from basalt.probes.patching.nodes import Site


class Trace(NamedTuple):
    """A run on P windows.

    Attributes:
        metric: Metric of each window, float [P].
        activations: By hook point: float [P, T, width].
    """

    metric: Tensor
    activations: dict[str, Tensor]


class Windows:
    """A policy with a metric at the last frame of windows of T frames.

    Args:
        policy: Policy in evaluation mode.
        metric: The metric.
        frames: Number of frames T of a window.
    """

    def __init__(self, policy: VPTPolicy, metric: Metric, frames: int) -> None:
        self.policy, self.metric, self.frames = policy, metric, frames
        self.visibility = causal_visibility(
            policy.initial_state(1).mask, torch.arange(frames, device=policy.device)[None] == 0
        )

    def output(self, x: Tensor, block: int = 0) -> PolicyOutput:
        """Output at the last frame, all fields [B, 1, ...].

        Args:
            x: What block `block` reads, float [B, T, H]; for block 0 the encoded frames, before `embed`.
            block: Block to start with.
        """
        net, batch = self.policy.net, len(x)
        if block == 0:
            x = net.embed(x)
            x = x if net.pre_lstm_ln is None else net.pre_lstm_ln(x)
        state = self.policy.initial_state(batch)
        for j in range(block, len(self.policy.blocks)):
            x = self.policy.blocks[j](x, state.keys[j], state.values[j], self.visibility)[0]
        return self.policy.heads(net.finish(x[:, -1:]), state)

    def run(self, x: Tensor, pair: Tensor | None = None, block: int = 0) -> Tensor:
        """The metric, float [B].

        Args:
            x: What block `block` reads, float [B, T, H].
            pair: Pair that each row is about, int64 [B]; None for one row per pair.
            block: Block to start with.
        """
        rows = torch.arange(len(x), device=x.device) if pair is None else pair
        return self.metric(self.output(x, block), rows)

    @torch.no_grad()
    def trace(self, x: Tensor, names: Sequence[str]) -> Trace:
        """Run encoded frames [P, T, H] and keep the activations of some hook points."""
        with record(self.policy, names) as seen:
            return Trace(self.run(x), dict(seen))

    @torch.no_grad()
    def patched(
        self,
        x: Tensor,
        pair: Tensor,
        sites: Sequence[Site],
        masks: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        block: int = 0,
    ) -> Tensor:
        """The metric with some units of the activations replaced, float [B].

        Args:
            x: What block `block` reads in each pair's window as it is, float [P, T, H].
            pair: Pair that each row is about, int64 [B].
            sites: Hook points to patch.
            masks: By hook point: units to replace, bool [B, T, groups].
            values: By hook point: what replaces them, float [P, T, width].
            block: Block to start with; nothing before it is patched.
        """
        with ExitStack() as stack:
            for site in sites:
                mask = masks[site.name].to(x.device)
                if site.block >= block - (block == 0) and mask.any():
                    replacement = partial(site.replaced, mask=mask, value=values[site.name][pair])
                    stack.enter_context(patch(self.policy, site.name, replacement))
            return self.run(x[pair], pair, block)


@contextmanager
def hooked(module: nn.Module, function: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Within the context, the output of a module that is not a hook point passes through a function.

    Args:
        module: The module.
        function: Takes the output; returns what replaces it, or None to leave it.
    """
    handle = module.register_forward_hook(lambda _module, _inputs, output: function(output))
    try:
        yield
    finally:
        handle.remove()
