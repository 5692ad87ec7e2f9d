"""The building block of every VPT module: norm, then linear or convolution, then ReLU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-5


def scale_rows_(weight: Tensor, norm: float) -> None:
    """Scale every output row of a weight [out, ...] to the L2 norm `norm`, in place (VPT's initialisation)."""
    with torch.no_grad():
        flat = weight.flatten(1)
        weight.mul_((norm / flat.norm(dim=1)).view(-1, *[1] * (weight.dim() - 1)))


class NormedLayer(nn.Module):
    """`norm` (optional) on the input channels -> `layer` -> ReLU (optional).

    The layer has a bias only if there is no norm, which would provide one.

    Args:
        layer: Linear or Conv module with a bias if `norm` is not given.
        norm: LayerNorm or GroupNorm over the layer's input, or None.
        relu: Whether a ReLU follows.
        init_norm: L2 norm of each output row at initialisation.
    """

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d | nn.Conv3d,
        norm: nn.Module | None,
        relu: bool = True,
        init_norm: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.layer = layer
        self.relu = relu
        scale_rows_(layer.weight, init_norm)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply norm, layer and ReLU to x, whose channels are those of the layer."""
        if self.norm is not None:
            x = self.norm(x)
        x = self.layer(x)
        # Not in place: a probe that records the layer's output must see it before the ReLU.
        return F.relu(x) if self.relu else x


def normed_linear(
    n_in: int, n_out: int, *, norm: bool = True, relu: bool = True, init_norm: float = 1.0
) -> NormedLayer:
    """LayerNorm -> Linear -> ReLU over the last axis: [..., n_in] -> [..., n_out]."""
    layer = nn.Linear(n_in, n_out, bias=not norm)
    norm_module = nn.LayerNorm(n_in, eps=NORM_EPS) if norm else None
    return NormedLayer(layer, norm_module, relu, init_norm)


def normed_conv(n_in: int, n_out: int, *, groups: int | None, init_norm: float) -> NormedLayer:
    """GroupNorm(groups) -> 3x3 convolution, padding 1 -> ReLU: [n, n_in, h, w] -> [n, n_out, h, w].

    With `groups=None` there is no norm and the convolution has a bias.
    """
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=groups is None)
    norm_module = None if groups is None else nn.GroupNorm(groups, n_in, eps=NORM_EPS)
    return NormedLayer(layer, norm_module, True, init_norm)
