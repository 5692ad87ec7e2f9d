"""A policy with weights set by hand, so that the nodes that its choices run through are known.

It reads encoded frames and plays one rule: turn to the side on which the lamp of the wanted colour was, unless the recent
frame is dark; walk on unless it is dark. Features are coordinate pairs (+x, -x), so that the stream's mean is 0, and one
pair is a large constant, so that its norm, which every LayerNorm divides by, hardly changes.

    wanted colour, at the last frame          --q-->  block 0, head 0  --side--+
    lamps: colour --k-->, side --v--, two frames ^                             |
    hurry, at the last frame                  --r-->  block 1, head 1          +--> block 1, MLP: side if bright --> camera
    light: --v--, 1 frame ago or 3 if no hurry   ^  --bright------------------+                   bright ---------> forward

Everything else is a distractor with random weights: it reads all features and writes to coordinates that nothing reads.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from basalt.core.actions import BUTTON_TABLE, COLUMN, N_CAMERA, N_CAMERA_BINS, NULL_CAMERA_BIN
from basalt.policies.config import VPTConfig
from basalt.policies.heads import CategoricalHead
from basalt.policies.vpt import VPTPolicy
from basalt.probes.patching.nodes import Node, NodeSpace

CONFIG = VPTConfig(
    hidsize=32, attention_heads=4, attention_memory_size=24, timesteps=8, n_recurrence_layers=2,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(16, 16, 3),
)  # fmt: skip

FRAMES = 12
"""Frames of a window."""

LAMPS = (5, 8)
"""Ages of the two frames with a lamp."""

RECENT = (1, 3)
"""Ages at which the light is looked at, in a hurry and not."""

UNIT = 0.3
"""Size of a feature."""

CONSTANT = 4.0

WANTED, COLOUR, SIDE, LIGHT, HURRY, CONST = range(6)
NOISE = range(6, 10)
SEEN_SIDE, SEEN_LIGHT, TURN, GO = range(10, 14)
UNREAD = range(14, 16)
HALF = 16
"""Number of coordinate pairs: the pair of feature i is (i, i + HALF)."""


@dataclass(frozen=True)
class Planted:
    """The policy with what is known of it.

    Attributes:
        policy: The policy, in evaluation mode.
    """

    policy: VPTPolicy

    def inputs(self, count: int, seed: int) -> Tensor:
        """Encoded frames of random windows, float [count, FRAMES, 32]."""
        rng = np.random.default_rng(seed)
        features = np.zeros((count, FRAMES, HALF))
        features[..., [WANTED, SIDE, LIGHT, HURRY]] = rng.choice([-1, 1], (count, FRAMES, 4))
        features[..., list(NOISE)] = rng.normal(0, 1, (count, FRAMES, len(NOISE)))
        colour = rng.choice([-1, 1], count)
        for age, sign in zip(LAMPS, (1, -1), strict=True):
            features[:, FRAMES - 1 - age, COLOUR] = sign * colour
        features *= UNIT
        features[..., CONST] = CONSTANT
        return torch.from_numpy(np.concatenate([features, -features], -1)).float()

    def true_nodes(self, space: NodeSpace, metric: str) -> Tensor:
        """Which nodes the metric runs through, bool [nodes].

        Args:
            space: Nodes of windows of `FRAMES` frames.
            metric: `camera.yaw` or `forward`.
        """
        light = {
            ("embed", -1, None, 0), ("r", 1, 1, 0), ("z", 1, 1, 0), ("mlp", 1, None, 0), ("resid", 1, None, 0),
            ("resid", 0, None, 0),
            *((kind, block, head, age) for age in RECENT
              for kind, block, head in (("v", 1, 1), ("memory", 1, 1), ("embed", -1, None), ("resid", 0, None))),
        }  # fmt: skip
        side = {
            ("q", 0, 0, 0), ("z", 0, 0, 0),
            *((kind, block, head, age) for age in LAMPS
              for kind, block, head in (("k", 0, 0), ("v", 0, 0), ("memory", 0, 0), ("embed", -1, None))),
        }  # fmt: skip
        true = {Node(*parts) for parts in (light | side if metric == "camera.yaw" else light)}
        if not space.by_frame:
            true = {node.component for node in true}
        return torch.tensor([node in true for node in space.nodes])


def planted_policy(seed: int = 0) -> Planted:
    """The policy.

    Args:
        seed: Seed of the distractors.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = VPTPolicy(CONFIG).eval().requires_grad_(False)
        _set_attention(policy)
        _set_mlps(policy)
        _set_heads(policy)
    return Planted(policy)


def _pair(vector: Tensor, feature: int, value: float) -> None:
    """Read or write a feature: `value` at its coordinate, -`value` at the other of the pair."""
    vector[feature], vector[feature + HALF] = value, -value


def _set_attention(policy: VPTPolicy) -> None:
    size = CONFIG.hidsize // CONFIG.attention_heads
    for j, block in enumerate(policy.blocks):
        attention = block.r.orc_block
        for layer in (attention.q_layer, attention.k_layer, attention.v_layer):
            layer.weight.normal_(0, 0.7)
        attention.r_layer.weight.normal_(0, 0.7)
        attention.b_nd.normal_(0, 0.3)
        attention.proj_layer.weight.zero_()
        for row in (*UNREAD, *(i + HALF for i in UNREAD)):  # what distractors write is not read
            attention.proj_layer.weight[row].normal_(0, 0.3)
        head, feature, out = ((0, SIDE, SEEN_SIDE), (1, LIGHT, SEEN_LIGHT))[j]
        own = slice(head * size, (head + 1) * size)
        for layer in (attention.q_layer, attention.k_layer, attention.v_layer):
            layer.weight[own] = 0
        bias = slice(head * 10, (head + 1) * 10)
        attention.r_layer.weight[bias] = 0
        attention.proj_layer.weight[:, own] = 0
        # The two halves of a pair add up, so that 0.5 reads the feature itself.
        _pair(attention.v_layer.weight[own.start], feature, 0.5)
        for feature_out, sign in ((out, 1.0), (out + HALF, -1.0)):
            attention.proj_layer.weight[feature_out, own.start] = sign
        if j == 0:
            # Logits of +-9 for the two lamps: 0.3 * 0.3 * gain^2 / size.
            gain = (9 * size) ** 0.5 / UNIT
            _pair(attention.q_layer.weight[own.start], WANTED, gain / 2)
            _pair(attention.k_layer.weight[own.start], COLOUR, gain / 2)
        else:
            _pair(attention.r_layer.weight[bias.start], HURRY, 0.5)
            attention.b_nd[0] = 0
            attention.b_nd[0, RECENT[0]], attention.b_nd[0, RECENT[1]] = 9 / UNIT, -9 / UNIT
            attention.r_layer.weight[: bias.start, :] *= 0.1
            # Others use the first basis too; without this they would all look at these frames.
            for other in range(CONFIG.attention_heads):
                if other != head:
                    attention.r_layer.weight[other * 10] = 0


def _set_mlps(policy: VPTPolicy) -> None:
    for j, block in enumerate(policy.blocks):
        into, out = block.mlp0.layer.weight, block.mlp1.layer.weight
        into.normal_(0, 0.3)
        keep = torch.zeros(out.shape[0], dtype=torch.bool)
        keep[[*UNREAD, *(i + HALF for i in UNREAD)]] = True
        out.normal_(0, 0.1)
        out[~keep] = 0
        if j == 0:
            continue
        into[:4], out[:, :4] = 0, 0
        # relu(side + 2 light) - relu(-side + 2 light) is 2 side in light and 0 in the dark.
        for row, sign in ((0, 0.5), (1, -0.5)):
            _pair(into[row], SEEN_SIDE, sign)
            _pair(into[row], SEEN_LIGHT, 1.0)
        _pair(into[2], SEEN_LIGHT, 0.5)
        for row, feature, value in ((0, TURN, 1.0), (1, TURN, -1.0), (2, GO, 1.0)):
            out[feature, row], out[feature + HALF, row] = value, -value


def _set_heads(policy: VPTPolicy) -> None:
    # Each feature as (constant + feature, constant - feature), so that the ReLUs are open and their difference is exact.
    last = policy.net.lastlayer.layer.weight
    last.zero_()
    for row, feature, sign in ((0, TURN, 1), (1, TURN, -1), (2, GO, 1), (3, GO, -1)):
        _pair(last[row], feature, float(sign))
        last[row, CONST] = 1.0
    buttons, camera = (
        cast(CategoricalHead, policy.pi_head[name]).linear_layer for name in ("buttons", "camera")
    )
    for layer in (buttons, camera):
        layer.weight.zero_()
        layer.bias.zero_()
    yaw = torch.arange(N_CAMERA) % N_CAMERA_BINS - NULL_CAMERA_BIN
    camera.weight[:, 0], camera.weight[:, 1] = 0.5 * yaw, -0.5 * yaw
    forward = torch.from_numpy(BUTTON_TABLE[:, COLUMN["forward"]]).float()
    buttons.weight[:, 2], buttons.weight[:, 3] = 5 * forward, -5 * forward
