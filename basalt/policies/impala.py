"""VPT's image encoder: three IMPALA stacks, a dense layer, a linear layer."""

import torch
from torch import Tensor, nn

from basalt.policies.config import VPTConfig
from basalt.policies.layers import NORM_EPS, normed_conv, normed_linear

DENSE_WIDTH = 256
# Without gradients, frames are encoded in slices: they are independent, and the first stack of the 1x
# model alone takes 4 MB per frame.
INFERENCE_SLICE = 32
# On a CPU a slice should fit the caches: frames of the 1x model take 46 ms each in slices of four and
# 67 ms in slices of thirty-two (one core, AVX2).
CPU_SLICE_BYTES = 16 * 2**20


class ResidualBlock(nn.Module):
    """x + conv1(conv0(x)), each GroupNorm -> 3x3 convolution -> ReLU (none after the sum)."""

    def __init__(self, channels: int, groups: int, init_norm: float) -> None:
        super().__init__()
        self.conv0 = normed_conv(channels, channels, groups=groups, init_norm=init_norm)
        self.conv1 = normed_conv(channels, channels, groups=groups, init_norm=init_norm)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> the same shape."""
        return x + self.conv1(self.conv0(x))


class ImpalaStack(nn.Module):
    """Convolution, halving max pool, GroupNorm, two residual blocks: [n, c, h, w] -> [n, c', h/2, w/2]."""

    def __init__(self, config: VPTConfig, n_in: int, n_out: int, first_norm: bool) -> None:
        super().__init__()
        groups, n_stacks = config.group_norm_groups, len(config.impala_chans)
        self.firstconv = normed_conv(
            n_in, n_out, groups=groups if first_norm else None, init_norm=1.0
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.n = nn.GroupNorm(config.post_pool_groups, n_out, eps=NORM_EPS)
        # As in VPT's published code, so that the scale of the residual sum over all stacks stays near one.
        init_norm = (n_stacks**0.5 / 2**0.5) ** 0.5
        self.blocks = nn.ModuleList(ResidualBlock(n_out, groups, init_norm) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_in, h, w] -> [n, n_out, h/2, w/2]."""
        x = self.n(self.pool(self.firstconv(x)))
        for block in self.blocks:
            x = block(x)
        return x


class ImpalaCNN(nn.Module):
    """Stacks, then the feature map in channel, row, column order through a dense layer to 256."""

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        height, width, n_in = config.img_shape
        n_in *= config.frame_stack
        # The first stack before its pool takes the most memory: float32 at full size.
        first = 4 * height * width * config.channels[0]
        self.cpu_slice = max(1, CPU_SLICE_BYTES // first)
        self.stacks = nn.ModuleList()
        for n_out in config.channels:
            first_norm = config.first_conv_norm or len(self.stacks) > 0
            self.stacks.append(ImpalaStack(config, n_in, n_out, first_norm))
            n_in, height, width = n_out, (height + 1) // 2, (width + 1) // 2
        self.dense = normed_linear(n_in * height * width, DENSE_WIDTH, init_norm=1.4)

    def features(self, x: Tensor) -> Tensor:
        """Frames [n, c, h, w] -> features [n, 256]."""
        for stack in self.stacks:
            x = stack(x)
        return self.dense(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, T, C, H, W] float -> [B, T, 256]."""
        frames = x.flatten(0, 1)
        size = self.cpu_slice if x.device.type == "cpu" else INFERENCE_SLICE
        if torch.is_grad_enabled() or len(frames) <= size:
            out = self.features(frames)
        else:
            out = torch.cat([self.features(part) for part in frames.split(size)])
        return out.unflatten(0, x.shape[:2])


class ImageEncoder(nn.Module):
    """IMPALA CNN and a linear layer: [B, T, C, H, W] float in 0..1 -> [B, T, hidsize]."""

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        self.cnn = ImpalaCNN(config)
        self.linear = normed_linear(DENSE_WIDTH, config.hidsize)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T, hidsize]."""
        return self.linear(self.cnn(x))
