"""A trained sparse autoencoder of any architecture: raw activations in, raw reconstructions out.

z = ReLU(x W_enc + b_enc)      f = z * [z > threshold], or the k largest z      x^ = f W_dec + b_dec
"""

import torch
from torch import Tensor, nn


class SAE(nn.Module):
    """The autoencoder's function after training, with scale and centring folded into its weights.

    ReLU, Gated, JumpReLU, BatchTopK and Matryoshka all end as thresholds; only TopK keeps k.

    Args:
        d_in: Width d of the activation.
        width: Number of latents M.
        k: Number of latents to keep for each activation; None uses `threshold`.
        architecture: Name of the architecture it was trained as.
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
