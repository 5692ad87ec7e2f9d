"""Networks that add modulo p: a small one without attention, and the published one-layer transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Summed(nn.Module):
    """Summed embeddings, a ReLU layer without biases, logits. Its logits scale with the cube of its weights.

    Weights begin as N(0, 1 / inputs of the layer).

    Args:
        p: Modulus, the number of symbols.
        width: Width of the embeddings.
        hidden: Width of the ReLU layer.
    """

    DEGREE = 3

    def __init__(self, p: int, width: int = 64, hidden: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(p, width) / width**0.5)
        self.inner = nn.Parameter(torch.randn(width, hidden) / width**0.5)
        self.outer = nn.Parameter(torch.randn(hidden, p) / hidden**0.5)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits [n, p] of pairs, int64 [n, 2]."""
        # As embeddings only add up, each symbol goes through the first layer once.
        symbols = self.embedding @ self.inner
        return F.relu(F.embedding(pairs, symbols).sum(1)) @ self.outer


class Transformer(nn.Module):
    """One layer of attention and MLP on three tokens, the two symbols and the sign of equality, without norms.

    Power et al. 2022 and Nanda et al. 2023 trained it; its logits are no power of the scale of its weights.

    Args:
        p: Modulus, the number of symbols.
        width: Width of the stream.
        heads: Number of attention heads.
        hidden: Width of the MLP.
    """

    DEGREE = 3

    def __init__(self, p: int, width: int = 128, heads: int = 4, hidden: int = 512) -> None:
        super().__init__()
        self.p, self.heads = p, heads
        self.embedding = nn.Parameter(torch.randn(p + 1, width) / width**0.5)
        self.position = nn.Parameter(torch.randn(3, width) / width**0.5)
        self.qkv = nn.Parameter(torch.randn(3, width, width) / width**0.5)
        self.out = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.inner = nn.Parameter(torch.randn(width, hidden) / width**0.5)
        self.outer = nn.Parameter(torch.randn(hidden, width) / hidden**0.5)
        self.unembedding = nn.Parameter(torch.randn(width, p) / width**0.5)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits [n, p] of pairs, int64 [n, 2]."""
        tokens = torch.cat([pairs, torch.full_like(pairs[:, :1], self.p)], 1)
        x = F.embedding(tokens, self.embedding) + self.position
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (x[:, -1:] @ self.qkv[0], x @ self.qkv[1], x @ self.qkv[2])
        )
        read = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        last = x[:, -1] + (read @ self.out)[:, 0]
        last = last + F.relu(last @ self.inner) @ self.outer
        return last @ self.unembedding


NETWORKS: dict[str, type[Summed] | type[Transformer]] = {
    "small": Summed,
    "transformer": Transformer,
}
