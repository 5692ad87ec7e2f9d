"""The nodes of a policy that patching replaces, each a part of one activation at one frame of a window.

A hook point's activation [T, width] falls into units, one for each frame and group: the heads for what attention
computes per head, the whole activation elsewhere. A node is one unit or several: that of one frame or those of all
frames, and for `memory` a frame's key together with its value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from basalt.core.registry import did_you_mean
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy
from basalt.probes.sae.model import SAE

HOOK_POINTS = {
    "q": "q", "k": "k", "v": "v", "r": "r", "z": "attn_z", "mlp": "mlp_out", "resid": "resid_post",
}  # fmt: skip
"""Suffix of the hook point of a kind that every block has."""

PER_HEAD = ("q", "k", "v", "r", "z", "memory")

KINDS = (*HOOK_POINTS, "memory", "embed", "latent")
"""q, k, v: a head's query, key, value; r: its weights of the distance bias; z: its output; mlp: an MLP's output; resid:
the stream after a block; memory: a head's key and value of a frame; embed: the encoded frame; latent: one of an
autoencoder."""


class Dictionary(NamedTuple):
    """An autoencoder whose latents are nodes.

    Attributes:
        name: Its hook point, `blocks.J.attn_z`, `mlp_out`, `resid_mid` or `resid_post`.
        sae: The autoencoder.
    """

    name: str
    sae: SAE

    @property
    def block(self) -> int:
        """Number of the block.

        Raises:
            ConfigError: The hook point is not in a block, or is an input of its attention.
        """
        first, _, rest = self.name.partition(".")
        number, _, part = rest.partition(".")
        if first != "blocks" or part not in ("attn_z", "mlp_out", "resid_mid", "resid_post"):
            raise ConfigError(
                f"sae: expected an autoencoder of attn_z, mlp_out, resid_mid or resid_post of a block, got one of {self.name}"
            )
        return int(number)


class Node(NamedTuple):
    """A part of the policy.

    Attributes:
        kind: One of `KINDS`.
        block: Number of the block; -1 for `embed`.
        head: Number of the head or of the latent; None where a node is of neither.
        age: Frames before the last one of the window; None for all frames.
    """

    kind: str
    block: int
    head: int | None
    age: int | None

    @property
    def component(self) -> "Node":
        """The same part at all frames."""
        return self._replace(age=None)

    def __str__(self) -> str:
        name = self.kind if self.block < 0 else f"blocks.{self.block}.{self.kind}"
        head = "" if self.head is None else f".{self.head}"
        return f"{name}{head}" + ("" if self.age is None else f"@-{self.age}")


class Site(NamedTuple):
    """A hook point whose activation is patched in groups.

    Attributes:
        name: Name of the hook point.
        kind: Kind of its nodes.
        block: Number of the block; -1 for `embed`.
        groups: Number of groups that its width falls into, or of latents.
        sae: Autoencoder whose latents are the groups; None where groups are parts of the width.
    """

    name: str
    kind: str
    block: int
    groups: int
    sae: SAE | None = None

    def product(self, moved: Tensor, gradient: Tensor) -> Tensor:
        """(other - clean) . gradient of each group, [..., groups].

        Args:
            moved: Change of the values of the groups: of `values`, [..., width or latents].
            gradient: Gradient by the activation [..., width].
        """
        if self.sae is not None:
            return moved * (gradient @ self.sae.W_dec.T)
        return (moved * gradient).unflatten(-1, (self.groups, -1)).sum(-1)

    def values(self, x: Tensor) -> Tensor:
        """What the groups of an activation [..., width] are made of: its latents, or itself."""
        return x if self.sae is None else self.sae.encode(x)

    def replaced(self, x: Tensor, mask: Tensor, value: Tensor) -> Tensor:
        """An activation [..., width] with some groups taken from another; the error of an autoencoder stays.

        Args:
            x: The activation.
            mask: Groups to take, bool [..., groups].
            value: The other activation [..., width].
        """
        if self.sae is not None:
            moved = self.sae.encode(value.to(x)) - self.sae.encode(x)
            return x + (moved * mask) @ self.sae.W_dec
        whole = mask.repeat_interleave(x.shape[-1] // self.groups, -1)
        return torch.where(whole, value.to(x), x)


class NodeSpace:
    """All nodes of some kinds in a window.

    Args:
        policy: Policy.
        frames: Number of frames T of a window.
        kinds: Kinds of nodes, of `KINDS`.
        by_frame: Whether each frame has nodes of its own; else a node is a part at all frames.
        dictionary: Autoencoder of the kind `latent`.

    Attributes:
        sites: Hook points that the nodes are at.
        nodes: The nodes, ordered by block.

    Raises:
        ConfigError: An unknown kind, or none; or latents without an autoencoder, or with the whole activation beside them.
    """

    def __init__(
        self,
        policy: VPTPolicy,
        frames: int,
        kinds: Sequence[str],
        *,
        by_frame: bool = True,
        dictionary: Dictionary | None = None,
    ) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(
                    f"nodes: unknown kind {kind!r}; {did_you_mean(kind, KINDS)}available: {', '.join(KINDS)}"
                )
        if not kinds:
            raise ConfigError(f"nodes: expected at least one kind of {', '.join(KINDS)}, got none")
        if ("latent" in kinds) != (dictionary is not None):
            raise ConfigError(
                "nodes: expected `latent` and sae=SUITE/saes/HOOK_POINT/NAME together, got one of the two"
            )
        self.frames, self.by_frame = frames, by_frame
        heads = policy.config.attention_heads
        needed = set(kinds) | ({"k", "v"} if "memory" in kinds else set())
        self.sites = [Site("embed", "embed", -1, 1)] if "embed" in needed else []
        for block in range(policy.config.n_recurrence_layers):
            self.sites += [
                Site(f"blocks.{block}.{suffix}", kind, block, heads if kind in PER_HEAD else 1)
                for kind, suffix in HOOK_POINTS.items()
                if kind in needed
            ]
            if dictionary is not None and dictionary.block == block:
                latents = len(dictionary.sae.W_dec)
                self.sites.append(Site(dictionary.name, "latent", block, latents, dictionary.sae))
        names = [site.name for site in self.sites]
        if double := {name for name in names if names.count(name) > 1}:
            raise ConfigError(
                f"nodes: expected the latents of {double.pop()} or the whole of it, got both"
            )
        starts, self.n_units = {}, 0
        for site in self.sites:
            starts[site.block, site.kind] = self.n_units
            self.n_units += frames * site.groups
        self.nodes: list[Node] = []
        node_of, unit_of = [], []
        groups_of = {(site.block, site.kind): site.groups for site in self.sites}
        groups_of |= {(block, "memory"): heads for block, kind in groups_of if kind == "v"}
        for block in range(-1, policy.config.n_recurrence_layers):
            for kind in (one for one in KINDS if one in kinds and (block, one) in groups_of):
                groups = groups_of[block, kind]
                for group in range(groups):
                    ages = range(frames) if by_frame else [None]
                    for age in ages:
                        at = range(frames) if age is None else [frames - 1 - age]
                        for part in ("k", "v") if kind == "memory" else (kind,):
                            start = starts[block, part] + group
                            node_of += [len(self.nodes)] * len(at)
                            unit_of += [start + t * groups for t in at]
                        head = group if kind in (*PER_HEAD, "latent") else None
                        self.nodes.append(Node(kind, block, head, age))
        self._node_of, self._unit_of = torch.tensor(node_of), torch.tensor(unit_of)

    def __len__(self) -> int:
        return len(self.nodes)

    def masks(self, chosen: Tensor) -> dict[str, Tensor]:
        """Which units the chosen nodes are made of.

        Args:
            chosen: bool [B, nodes].

        Returns:
            By hook point: bool [B, T, groups].
        """
        units = torch.zeros(len(chosen), self.n_units)
        units.index_add_(1, self._unit_of, chosen[:, self._node_of].float())
        sizes = [self.frames * site.groups for site in self.sites]
        return {
            site.name: (part > 0).unflatten(1, (self.frames, site.groups))
            for site, part in zip(self.sites, units.split(sizes, 1), strict=True)
        }

    def gather(self, values: dict[tuple[int, str], Tensor]) -> Tensor:
        """A number for each node from numbers for each frame and group; summed over frames where a node has all.

        Args:
            values: By (block, kind): [..., T, groups].

        Returns:
            [..., nodes].
        """
        found = []
        for block in sorted({node.block for node in self.nodes}):
            for kind in KINDS:
                if not any(node.block == block and node.kind == kind for node in self.nodes):
                    continue
                one = values[block, kind].transpose(-1, -2)
                found.append(one.flip(-1).flatten(-2) if self.by_frame else one.sum(-1))
        return torch.cat(found, -1)
