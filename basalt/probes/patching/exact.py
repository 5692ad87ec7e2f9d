"""Activation patching: the metric with nodes of the clean run replaced by those of the other run.

The effect of a node on a pair is I = L(clean run, node from the other run) - L(clean run). Its contribution over several
pairs is the mean of |I| (Kramár et al. 2024, arXiv 2403.00745).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from basalt.io.console import progress_bar
from basalt.probes.patching.nodes import NodeSpace
from basalt.probes.patching.window import Trace, Windows

ROWS = 256
"""Number of windows per call."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of windows, as they are run.

    Attributes:
        windows: The policy and the metric.
        space: The nodes.
        inputs: Encoded frames of the clean windows, float [P, T, H].
        noise_inputs: Encoded frames of the other windows, same shape.
        clean, noise: The runs on both.
    """

    windows: Windows
    space: NodeSpace
    inputs: Tensor
    noise_inputs: Tensor
    clean: Trace
    noise: Trace

    @classmethod
    def of(
        cls, windows: Windows, space: NodeSpace, clean_inputs: Tensor, noise_inputs: Tensor
    ) -> "Pairs":
        """Run both windows of every pair.

        Args:
            windows: The policy and the metric.
            space: The nodes.
            clean_inputs: Encoded frames of the clean windows, float [P, T, H].
            noise_inputs: Encoded frames of the other windows, same shape.
        """
        names = [site.name for site in space.sites]
        names += [f"blocks.{j}.resid_post" for j in range(len(windows.policy.blocks) - 1)]
        names += [
            f"blocks.{j}.{kind}" for j in range(len(windows.policy.blocks)) for kind in "qkvr"
        ]
        names = list(dict.fromkeys(names))
        clean, noise = (windows.trace(x, names) for x in (clean_inputs, noise_inputs))
        return cls(windows, space, clean_inputs, noise_inputs, clean, noise)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def change(self) -> Tensor:
        """L(other window) - L(clean window) of each pair, float [P]."""
        return self.noise.metric - self.clean.metric


def effects_of_sets(
    pairs: Pairs,
    sets: Tensor,
    values: Mapping[str, Tensor] | None = None,
    *,
    title: str = "patched",
) -> Tensor:
    """L with all nodes of a set replaced, minus L of the clean run.

    Args:
        pairs: The pairs.
        sets: Nodes of each set, bool [n, nodes].
        values: By hook point: what replaces an activation, float [P, T, width]; None for the other run's.
        title: Title of the progress bar.

    Returns:
        float [P, n].
    """
    windows, space = pairs.windows, pairs.space
    values = pairs.noise.activations if values is None else values
    device = pairs.inputs.device
    block_of = torch.tensor([max(node.block, 0) for node in space.nodes])
    last = len(windows.policy.blocks)
    # A run may start at the first block that a set changes.
    starts = torch.where(sets, block_of, last).amin(1).clamp(max=last - 1)
    starts[(sets & torch.tensor([node.block < 0 for node in space.nodes])).any(1)] = 0
    found = torch.zeros(len(pairs), len(sets), device=device)
    with progress_bar(total=found.numel(), title=title, unit="run") as bar:
        for start in starts.unique().tolist():
            x = (
                pairs.inputs
                if start == 0
                else pairs.clean.activations[f"blocks.{start - 1}.resid_post"]
            )
            number = torch.nonzero(starts == start)[:, 0]
            for rows in torch.cartesian_prod(torch.arange(len(pairs)), number).split(ROWS):
                pair, which = rows[:, 0].to(device), rows[:, 1]
                masks = space.masks(sets[which])
                metric = windows.patched(x, pair, space.sites, masks, values, start)
                found[pair, which.to(device)] = metric - pairs.clean.metric[pair]
                bar.update(len(rows))
    return found


def effects_of_nodes(pairs: Pairs, nodes: Sequence[int]) -> Tensor:
    """The effect of each of some nodes, by patching it alone, float [P, len(nodes)]."""
    sets = torch.zeros(len(nodes), len(pairs.space), dtype=torch.bool)
    sets[torch.arange(len(nodes)), torch.tensor(list(nodes), dtype=torch.long)] = True
    return effects_of_sets(pairs, sets)
