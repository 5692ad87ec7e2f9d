"""VPT's inverse dynamics model: which action leads from each frame to the next, seeing past and future.

Made for labelling plain video. It sees all frames of a window at once, has no memory between windows,
and predicts every button and both camera axes on their own instead of one joint choice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.core.actions import N_CAMERA_BINS, VPT_BUTTONS
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.config import VPTConfig
from basalt.policies.heads import CategoricalHead
from basalt.policies.impala import INFERENCE_SLICE
from basalt.policies.layers import NormedLayer
from basalt.policies.official import LoadReport, load_official
from basalt.policies.vpt import VPTNet

# Each frame is blended with two before and two after it.
KERNEL, HALO = (5, 1, 1), 2


class IDMOutput(NamedTuple):
    """The model's output for T frames.

    Attributes:
        latent: float [B, T, hidsize], the input of the heads.
        buttons_logits: float32 [B, T, 20, 2], index 1 = held; the order of `actions.VPT_BUTTONS`.
        camera_logits: float32 [B, T, 2, 11], pitch then yaw, over VPT's camera bins.
    """

    latent: Tensor
    buttons_logits: Tensor
    camera_logits: Tensor


class IDMNet(VPTNet):
    """VPT's network after a convolution over time; all frames of a call attend to each other."""

    def __init__(self, config: VPTConfig, use_lastlayer: bool) -> None:
        super().__init__(config)
        convolution = nn.Conv3d(3, config.img_shape[2], KERNEL, padding=(HALO, 0, 0))
        self.conv3d_layer = NormedLayer(convolution, None)
        self.use_lastlayer = use_lastlayer

    def encode_frames(self, img: Tensor) -> Tensor:
        """Frames uint8 [B, T, H, W, 3] -> float [B, T, hidsize]; each also depends on its neighbours."""
        x = img.permute(0, 4, 1, 2, 3)
        n_frames = x.shape[2]
        if torch.is_grad_enabled() or n_frames <= INFERENCE_SLICE:
            return self._encode(x, 0, n_frames)
        # Convolving a whole window at once would take 8 MB per frame at the published size.
        starts = range(0, n_frames, INFERENCE_SLICE)
        parts = [self._encode(x, a, min(a + INFERENCE_SLICE, n_frames)) for a in starts]
        return torch.cat(parts, 1)

    def _encode(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Frames start..stop of uint8 [B, 3, T, H, W], together with their neighbours."""
        low, high = max(start - HALO, 0), min(stop + HALO, x.shape[2])
        blended = self.conv3d_layer(x[:, :, low:high].float() / 255)
        return self.img_process(blended[:, :, start - low : stop - low].transpose(1, 2))

    def recur(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """Like `VPTNet.recur`, but without the last layer unless the settings ask for it.

        The published code computes it and drops the result, so the published weights were evaluated
        without it, though the original model may have used it.
        """
        x, state = self.recurrent_layer(x, first, state)
        x = F.relu(x)
        if self.use_lastlayer:
            x = self.lastlayer_out(self.lastlayer(x))
        return self.latent(self.final_ln(x)), state


class InverseDynamicsModel(nn.Module):
    """`idm(img) -> IDMOutput` for windows of frames, 128 in the published training.

    Args:
        config: Sizes; `attention_mask_style` is "none".
        use_lastlayer: Whether to apply the last layer; see `IDMNet.recur`.
    """

    def __init__(self, config: VPTConfig, use_lastlayer: bool = False) -> None:
        super().__init__()
        self.config = config
        self.net = IDMNet(config, use_lastlayer)
        self.pi_head = nn.ModuleDict(
            {
                "camera": CategoricalHead(config.hidsize, N_CAMERA_BINS, (2,), config.temperature),
                "buttons": CategoricalHead(
                    config.hidsize, 2, (len(VPT_BUTTONS),), config.temperature
                ),
            }
        )

    def forward(self, img: Tensor) -> IDMOutput:
        """Label a window of frames, uint8 [B, T, height, width, 3] RGB."""
        state = self.net.recurrent_layer.initial_state(img.shape[0], img.device)
        first = torch.zeros(img.shape[:2], dtype=torch.bool, device=img.device)
        latent, _ = self.net.recur(self.net.encode(img), first, state)
        return IDMOutput(latent, self.pi_head["buttons"](latent), self.pi_head["camera"](latent))


def idm_config(net_kwargs: Mapping[str, Any], pi_head_kwargs: Mapping[str, Any]) -> VPTConfig:
    """Sizes from the keyword arguments in the published `.model` file.

    Raises:
        ConfigError: The arguments are a policy's, or ask for an unsupported convolution.
    """
    conv = net_kwargs.get("conv3d_params")
    if conv is None:
        raise ConfigError(
            "conv3d_params are missing: expected an inverse dynamics model, got a policy"
        )
    if (conv["inchan"], *conv["kernel_size"], *conv["padding"]) != (3, *KERNEL, HALO, 0, 0):
        raise ConfigError(
            f"conv3d_params {conv} are not supported: the published model has {KERNEL}"
        )
    if conv["outchan"] != net_kwargs["img_shape"][2]:
        raise ConfigError(f"conv3d_params.outchan {conv['outchan']} must be img_shape's channels")
    # What the published class sets in addition to the file's arguments.
    fixed = {"first_conv_norm": True, "single_output": False}
    return VPTConfig.from_kwargs({**net_kwargs, **fixed}, pi_head_kwargs)


def load_official_idm(
    model: str | Path, weights: str | Path, use_lastlayer: bool = False
) -> tuple[InverseDynamicsModel, LoadReport]:
    """The published inverse dynamics model, on the CPU.

    Raises:
        ConfigError: A file is unusable, or the two belong to different models.
    """
    return load_official(
        model,
        weights,
        lambda found: InverseDynamicsModel(
            idm_config(found.policy_kwargs, found.pi_head_kwargs), use_lastlayer
        ),
    )
