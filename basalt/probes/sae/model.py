"""A trained sparse autoencoder, whichever way it was trained: raw activations in, raw out.

z = ReLU(x W_enc + b_enc)      f = z * [z > threshold], or the k largest z      x^ = f W_dec + b_dec
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SAE(nn.Module):
    """The autoencoder's function after training, with scale and centring folded into its weights.

    ReLU, Gated, JumpReLU, BatchTopK and Matryoshka all end as thresholds; only TopK counts.

    Args:
        d_in: width d of the activation.
        width: latents M.
        k: keep the k largest latents of each activation; None goes by `threshold`.
        architecture: how it was trained, `basalt.probes.sae.ARCHITECTURES`.
    """

    def __init__(
        self, d_in: int, width: int, *, k: int | None = None, architecture: str = "jumprelu"
    ) -> None:
        super().__init__()
        self.k = k
        self.architecture = architecture
        self.W_enc = nn.Parameter(torch.zeros(d_in, width), requires_grad=False)
        self.W_dec = nn.Parameter(torch.zeros(width, d_in), requires_grad=False)
        self.b_enc = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.b_dec = nn.Parameter(torch.zeros(d_in), requires_grad=False)
        self.threshold = nn.Parameter(torch.zeros(width), requires_grad=False)

    def encode(self, x: Tensor) -> Tensor:
        """Raw activations [..., d] -> latents [..., M], most of them exactly 0."""
        z = (x @ self.W_enc + self.b_enc).relu()
        if self.k is None:
            return z * (z > self.threshold)
        values, places = z.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(z).scatter_(-1, places, values)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [..., M] -> reconstructed raw activations [..., d]."""
        return latents @ self.W_dec + self.b_dec

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction of raw activations [..., d]."""
        return self.decode(self.encode(x))
