"""VPT's transformer block: attention over a sliding memory of frames, and an MLP.

The memory of a block is the keys and values of the last M frames. A reset (`first`) hides everything
before it, anywhere in a chunk, so a sequence gives the same result however it is cut into chunks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from basalt.policies.config import VPTConfig
from basalt.policies.layers import NORM_EPS, normed_linear, scale_rows_

N_BASIS = 10
HIDDEN = -1e9


class PolicyState(NamedTuple):
    """A policy's memory between calls, oldest frame first.

    Attributes:
        mask: bool [B, M], True where the slot belongs to the row's current episode.
        keys: One float tensor [B, M, hidsize] per block. Masked slots hold arbitrary numbers.
        values: Same shapes as `keys`.
        recent: uint8 [B, frame_stack - 1, height, width, 3], the last frames, which the encoder sees again beside the
            next one.
    """

    mask: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    recent: Tensor

    def detach(self) -> "PolicyState":
        """A copy detached from the graph (truncated backpropagation through time)."""
        return PolicyState(
            self.mask,
            tuple(k.detach() for k in self.keys),
            tuple(v.detach() for v in self.values),
            self.recent,
        )


class Visibility(NamedTuple):
    """The attention mask of one call, shared by all blocks.

    Attributes:
        visible: bool [B, 1, T, M + T] over cached, then new frames; None if all frames attend to all.
        distance: int64 [T, M + T], frames from key to query, clamped to 0..M-1 for table look-up.
        mask: bool [B, M], the mask of the next state.
    """

    visible: Tensor | None
    distance: Tensor
    mask: Tensor


def causal_visibility(mask: Tensor, first: Tensor) -> Visibility:
    """Causal mask for T new frames after a memory of M frames.

    A query attends to keys of its own episode that are at most M - 1 frames older.

    Args:
        mask: bool [B, M], True for cached frames of the row's episode.
        first: bool [B, T], True where a new episode starts.
    """
    memory, n_new = mask.shape[1], first.shape[1]
    segment = first.long().cumsum(1)
    before_reset = segment == 0
    same_new = segment[:, :, None] == segment[:, None, :]
    same_old = before_reset[:, :, None] & mask[:, None, :]
    query = torch.arange(n_new, device=first.device)[:, None] + memory
    key = torch.arange(memory + n_new, device=first.device)[None, :]
    distance = query - key
    in_window = (distance >= 0) & (distance < memory)
    visible = torch.cat([same_old, same_new], dim=2) & in_window
    last = segment[:, -1:]
    next_mask = torch.cat([mask & (last == 0), segment == last], dim=1)[:, n_new:]
    return Visibility(visible[:, None], distance.clamp(0, memory - 1), next_mask)


class Attention(nn.Module):
    """Multi-head attention with a query-dependent bias on the distance in frames.

    The logits are q.k / e (not the square root of the head size e) plus r(query) . b_nd[distance].
    """

    def __init__(self, config: VPTConfig, init_norm: float) -> None:
        super().__init__()
        self.heads, hidsize = config.attention_heads, config.hidsize
        self.head_size = hidsize // self.heads
        self.q_layer = nn.Linear(hidsize, hidsize)
        self.k_layer = nn.Linear(hidsize, hidsize, bias=False)
        self.v_layer = nn.Linear(hidsize, hidsize, bias=False)
        self.proj_layer = nn.Linear(hidsize, hidsize)
        self.b_nd = nn.Parameter(torch.randn(N_BASIS, config.memory) * 0.2)
        self.r_layer = nn.Linear(hidsize, N_BASIS * self.heads)
        self.attn_probs = nn.Identity()
        self.attn_z = nn.Identity()
        for layer, norm in (
            (self.q_layer, 0.1),
            (self.k_layer, 0.2),
            (self.v_layer, init_norm),
            (self.proj_layer, init_norm),
            (self.r_layer, 0.1),
        ):
            scale_rows_(layer.weight, norm)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, T, heads * e] -> [B, heads, T, e]."""
        return x.unflatten(2, (self.heads, self.head_size)).transpose(1, 2)

    def relative_bias(self, r: Tensor, distance: Tensor) -> Tensor:
        """Float32 [B, heads, T, M + T]: sum over n of r_t[head, n] * b_nd[n, distance(t, s)]."""
        r = r.unflatten(2, (self.heads, N_BASIS)).float()
        return torch.einsum("bthn,nts->bhts", r, self.b_nd.float()[:, distance])

    def logits(self, q: Tensor, keys: Tensor, r: Tensor | None, visibility: Visibility) -> Tensor:
        """Attention logits, float32 [B, heads, T, M + T], `HIDDEN` for keys that a query does not see.

        Args:
            q: Output of `q_layer` [B, T, H].
            keys: Keys of the memory and of these frames [B, M + T, H].
            r: Output of `r_layer` [B, T, heads * 10]; None if all frames attend to all.
            visibility: Mask of the call.
        """
        logits = self.split_heads(q).float() @ self.split_heads(keys).float().transpose(2, 3)
        logits = logits / self.head_size
        if r is None or visibility.visible is None:
            return logits
        logits = logits + self.relative_bias(r, visibility.distance)
        return logits.masked_fill(~visibility.visible, HIDDEN)

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, visibility: Visibility
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from x [B, T, H] to the memory and x itself.

        Returns:
            Output [B, T, H], and the next keys and values [B, M, H].
        """
        memory = keys.shape[1]
        q, k, v = self.q_layer(x), self.k_layer(x), self.v_layer(x)
        keys = torch.cat([keys.to(k.dtype), k], dim=1)
        values = torch.cat([values.to(v.dtype), v], dim=1)
        # Logits in float32 also under autocast: they distinguish nearly equal frames.
        with torch.autocast(x.device.type, enabled=False):
            r = None if visibility.visible is None else self.r_layer(x.float())
            logits = self.logits(q, keys, r, visibility)
        probs = self.attn_probs(logits.softmax(-1))
        z = probs.to(values.dtype) @ self.split_heads(values)
        out = self.proj_layer(self.attn_z(z.transpose(1, 2).flatten(2)))
        keep = keys.shape[1] - memory
        return out, keys[:, keep:], values[:, keep:]


class ResidualAttention(nn.Module):
    """u + attention(u), where u is the block's normalised input."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.orc_block = attention

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, visibility: Visibility
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Like `Attention.forward`, with the input added to the output."""
        out, keys, values = self.orc_block(x, keys, values, visibility)
        return x + out, keys, values


class TransformerBlock(nn.Module):
    """y = u + attention(u) with u = LayerNorm(x); output y + mlp(y). x itself is dropped."""

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        hidsize, width = config.hidsize, config.hidsize * config.pointwise_ratio
        mlp_norm = config.n_recurrence_layers**-0.5 * 2**-0.5
        self.mlp0 = normed_linear(hidsize, width)
        self.mlp1 = normed_linear(
            width, hidsize, norm=False, relu=config.pointwise_use_activation, init_norm=mlp_norm
        )
        self.pre_r_ln = nn.LayerNorm(hidsize, eps=NORM_EPS)
        self.r = ResidualAttention(Attention(config, mlp_norm**0.5))
        self.resid_mid = nn.Identity()
        self.mlp_out = nn.Identity()
        self.resid_post = nn.Identity()

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, visibility: Visibility
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, H] -> ([B, T, H], next keys, next values)."""
        y, keys, values = self.r(self.pre_r_ln(x), keys, values, visibility)
        y = self.resid_mid(y)
        y = self.resid_post(y + self.mlp_out(self.mlp1(self.mlp0(y))))
        return y, keys, values


class Transformer(nn.Module):
    """The stack of blocks with its memory; without one (`config.memory` 0) all frames of a call attend to each other."""

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        self.hidsize, self.memory = config.hidsize, config.memory
        self._recent = (config.frame_stack - 1, *config.img_shape)
        self.blocks = nn.ModuleList(
            TransformerBlock(config) for _ in range(config.n_recurrence_layers)
        )

    def initial_state(self, batch: int, device: torch.device) -> PolicyState:
        """An empty memory for `batch` rows."""
        shape = (batch, self.memory, self.hidsize)
        zeros = tuple(torch.zeros(shape, device=device) for _ in self.blocks)
        mask = torch.zeros(batch, self.memory, dtype=torch.bool, device=device)
        recent = torch.zeros((batch, *self._recent), dtype=torch.uint8, device=device)
        return PolicyState(mask, zeros, zeros, recent)

    def forward(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """x [B, T, H], first bool [B, T] -> ([B, T, H], next state)."""
        if self.memory:
            visibility = causal_visibility(state.mask, first)
        else:
            n_new = first.shape[1]
            everyone = torch.zeros(n_new, n_new, dtype=torch.long, device=x.device)
            visibility = Visibility(None, everyone, state.mask)
        keys, values = [], []
        for j, block in enumerate(self.blocks):
            x, k, v = block(x, state.keys[j], state.values[j], visibility)
            keys.append(k)
            values.append(v)
        return x, PolicyState(visibility.mask, tuple(keys), tuple(values), state.recent)
