"""The VPT policy (Baker et al. 2022, "Video PreTraining") at any size.

Frames -> IMPALA encoder -> transformer over a memory of frames -> latent -> heads. Parameter names are
those of OpenAI's published weight files. Activations that probes read pass through modules that
`VPTPolicy.hook_points` names, so a plain forward hook reads or replaces them.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field, Strict
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.core.actions import N_BUTTONS, N_CAMERA, FrameSize
from basalt.core.settings import Count, Positive, settings, unknown_option
from basalt.data.sources import InputKind
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState, Transformer, TransformerBlock
from basalt.policies.heads import CategoricalHead, EscHead, ValueHead
from basalt.policies.impala import ImageEncoder, ImpalaCNN
from basalt.policies.layers import NORM_EPS, normed_linear

# Values of all released models; others would be another architecture.
_FIXED: dict[str, Any] = {
    "recurrence_type": "transformer",
    "recurrence_is_residual": True,
    "use_pointwise_layer": True,
    "scale_input_img": True,
    "img_statistics": None,
    "single_output": False,
}


Size = Annotated[Positive, Field(allow_inf_nan=False)]
"""A finite number above 0."""


@settings
class VPTConfig:
    """Sizes of a policy, named as in the published `.model` files.

    Attributes:
        hidsize: Width of the transformer and of the latent.
        attention_heads: Number of heads, with `hidsize / attention_heads` channels each.
        attention_memory_size: Size that minus `timesteps` gives the memory in frames.
        timesteps: Chunk length of the original training; any length can be run.
        n_recurrence_layers: Number of transformer blocks.
        impala_chans: Channels of the three stacks, each multiplied by `impala_width`.
        impala_width: Multiplier of `impala_chans`.
        img_shape: Shape (height, width, channels) of the input frame.
        pointwise_ratio: Width of the MLP divided by `hidsize`.
        pointwise_use_activation: Whether a ReLU follows the MLP.
        use_pre_lstm_ln: Whether a LayerNorm precedes the transformer.
        attention_mask_style: "clipped_causal" (policies) or "none" (inverse dynamics model).
        first_conv_norm: Whether a norm precedes the first convolution.
        post_pool_groups: Number of groups of the norm after each pool.
        group_norm_groups: Number of groups of the norm before each convolution.
        temperature: Divisor of the heads' logits.
    """

    hidsize: Count = 1024
    attention_heads: Count = 8
    attention_memory_size: Count = 256
    timesteps: Count = 128
    n_recurrence_layers: Count = 4
    impala_chans: Annotated[tuple[Count, ...], Field(min_length=1)] = (16, 32, 32)
    impala_width: Size = 4
    img_shape: tuple[Count, Count, Count] = (128, 128, 3)
    pointwise_ratio: Count = 4
    pointwise_use_activation: Annotated[bool, Strict()] = False
    use_pre_lstm_ln: Annotated[bool, Strict()] = False
    attention_mask_style: Literal["clipped_causal", "none"] = "clipped_causal"
    first_conv_norm: Annotated[bool, Strict()] = False
    post_pool_groups: Count = 1
    group_norm_groups: Count = 1
    temperature: Size = 1.0

    def __post_init__(self) -> None:
        if self.hidsize % self.attention_heads:
            raise ValueError(
                f"hidsize {self.hidsize} must be a multiple of attention_heads "
                f"{self.attention_heads}"
            )
        if self.attention_mask_style == "clipped_causal" and self.memory < 1:
            raise ValueError(
                f"attention_memory_size {self.attention_memory_size} must be above timesteps "
                f"{self.timesteps}: their difference is the memory in frames"
            )

    @property
    def memory(self) -> int:
        """M: number of frames that a frame attends to, including itself (0 = the whole call)."""
        return self.attention_memory_size - self.timesteps

    @property
    def frame_size(self) -> FrameSize:
        """Size of the input frame."""
        return FrameSize(width=self.img_shape[1], height=self.img_shape[0])

    @property
    def channels(self) -> list[int]:
        """Channels of each IMPALA stack."""
        return [int(self.impala_width * c) for c in self.impala_chans]

    @classmethod
    def small(cls) -> "VPTConfig":
        """The same architecture at a size that trains on a laptop's CPU in about a minute.

        Its frames are 64x64: in a minute on two cores it takes three times as many steps as at 128x128,
        with the same loss on held-out episodes.
        """
        return cls(
            hidsize=128,
            attention_heads=4,
            attention_memory_size=128,
            timesteps=64,
            n_recurrence_layers=2,
            impala_chans=(8, 16, 16),
            impala_width=1,
            img_shape=(64, 64, 3),
        )

    @classmethod
    def preset(cls, name: str) -> "VPTConfig":
        """Sizes by name: `small`, or the published `1x`, `2x`, `3x`."""
        presets = {
            "small": cls.small(),
            "1x": cls(),
            "2x": cls(hidsize=2048, attention_heads=16, impala_width=8, temperature=2.0),
            "3x": cls(hidsize=3072, attention_heads=24, impala_width=12),
        }
        if name not in presets:
            raise ConfigError(unknown_option("size", name, list(presets)))
        return presets[name]

    @classmethod
    def from_kwargs(
        cls, policy_kwargs: Mapping[str, Any], pi_head_kwargs: Mapping[str, Any] | None = None
    ) -> "VPTConfig":
        """Config from the keyword arguments in a published `.model` file.

        Arguments that have no effect in the published code are ignored.

        Raises:
            ConfigError: An argument asks for something that the released models do not have.
        """
        for key, expected in _FIXED.items():
            if policy_kwargs.get(key, expected) != expected:
                raise ConfigError(
                    f"policy argument {key}={policy_kwargs[key]!r} is not supported: "
                    f"released models have {expected!r}"
                )
        norm = policy_kwargs.get("init_norm_kwargs", {})
        if norm.get("batch_norm"):
            raise ConfigError("policy argument init_norm_kwargs.batch_norm=True is not supported")
        impala = policy_kwargs.get("impala_kwargs", {})
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in policy_kwargs.items() if k in known}
        values["use_pre_lstm_ln"] = policy_kwargs.get("use_pre_lstm_ln", True)
        values["group_norm_groups"] = norm.get("group_norm_groups", 1)
        values["post_pool_groups"] = impala.get("post_pool_groups", 1)
        values["temperature"] = float((pi_head_kwargs or {}).get("temperature", 1.0))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields; `VPTConfig(**config.to_dict())` gives the config back."""
        return asdict(self)


class PolicyOutput(NamedTuple):
    """Output of one call, for T frames of each of B rows.

    Attributes:
        latent: float [B, T, hidsize], the input of all heads.
        buttons_logits: float32 [B, T, 8641], divided by the temperature.
        camera_logits: float32 [B, T, 121], divided by the temperature.
        esc_logit: float32 [B, T].
        value_normalized: float32 [B, T, 1].
        value: float32 [B, T, 1], in the units of the return.
        state: Memory for the next call.
    """

    latent: Tensor
    buttons_logits: Tensor
    camera_logits: Tensor
    esc_logit: Tensor
    value_normalized: Tensor
    value: Tensor
    state: PolicyState


class VPTNet(nn.Module):
    """Frames to latents: encoder, transformer, last layer, final norm."""

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        cnn = ImpalaCNN(
            config.channels,
            config.img_shape,
            groups=config.group_norm_groups,
            post_pool_groups=config.post_pool_groups,
            first_conv_norm=config.first_conv_norm,
        )
        self.img_process = ImageEncoder(cnn, config.hidsize)
        self.embed = nn.Identity()
        self.pre_lstm_ln = (
            nn.LayerNorm(config.hidsize, eps=NORM_EPS) if config.use_pre_lstm_ln else None
        )
        self.recurrent_layer = Transformer(
            config.hidsize,
            config.attention_heads,
            config.memory,
            config.n_recurrence_layers,
            config.pointwise_ratio,
            config.pointwise_use_activation,
        )
        self.lastlayer = normed_linear(config.hidsize, config.hidsize)
        self.lastlayer_out = nn.Identity()
        self.final_ln = nn.LayerNorm(config.hidsize, eps=NORM_EPS)
        self.latent = nn.Identity()

    def encode(self, img: Tensor) -> Tensor:
        """Frames uint8 [B, T, H, W, 3] -> one vector per frame [B, T, hidsize]. Frames are independent."""
        return self.embed(self.encode_frames(img))

    def encode_frames(self, img: Tensor) -> Tensor:
        """As `encode`, before the `embed` site."""
        return self.img_process(img.permute(0, 1, 4, 2, 3).float() / 255)

    def recur(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """Encoded frames [B, T, hidsize] -> latents [B, T, hidsize] and the next state."""
        x, state = self.transform(x, first, state)
        return self.finish(x), state

    def transform(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """The transformer alone: as `recur`, before the last layer."""
        if self.pre_lstm_ln is not None:
            x = self.pre_lstm_ln(x)
        return self.recurrent_layer(x, first, state)

    def finish(self, x: Tensor) -> Tensor:
        """The last layer and norm: the transformer's output [B, T, hidsize] -> latents."""
        x = self.lastlayer_out(self.lastlayer(F.relu(x)))
        return self.latent(self.final_ln(x))


class VPTPolicy(nn.Module):
    """The policy: `policy(frames, first, state) -> PolicyOutput`.

    Args:
        config: Sizes.
    """

    def __init__(self, config: VPTConfig) -> None:
        super().__init__()
        self.config = config
        self.net = VPTNet(config)
        self.value_head = ValueHead(config.hidsize)
        self.pi_head = nn.ModuleDict(
            {
                "camera": CategoricalHead(config.hidsize, N_CAMERA, (), config.temperature),
                "buttons": CategoricalHead(config.hidsize, N_BUTTONS, (), config.temperature),
            }
        )
        self.esc_head = EscHead(config.hidsize)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.net.final_ln.weight.device

    def initial_state(self, batch: int) -> PolicyState:
        """An empty memory for `batch` rows, on the policy's device."""
        return self.net.recurrent_layer.initial_state(batch, self.device)

    def hook_points(self) -> dict[str, nn.Module]:
        """Modules whose output is an activation that probes read or replace, by name of the hook point.

        Every output is [B, T, width] with one token a frame: `embed`, `blocks.J.attn_z` (heads before
        the output projection), `blocks.J.resid_mid`, `blocks.J.mlp_out`, `blocks.J.resid_post`,
        `lastlayer` (after its ReLU) and `latent`.
        """
        points: dict[str, nn.Module] = {"embed": self.net.embed}
        for j, module in enumerate(self.net.recurrent_layer.blocks):
            block = cast(TransformerBlock, module)
            points[f"blocks.{j}.attn_z"] = block.r.orc_block.attn_z
            for name in ("resid_mid", "mlp_out", "resid_post"):
                points[f"blocks.{j}.{name}"] = getattr(block, name)
        points["lastlayer"] = self.net.lastlayer_out
        points["latent"] = self.net.latent
        return points

    def heads(self, latent: Tensor, state: PolicyState) -> PolicyOutput:
        """Latents [B, T, hidsize] through every head."""
        value = self.value_head(latent)
        return PolicyOutput(
            latent=latent,
            buttons_logits=self.pi_head["buttons"](latent),
            camera_logits=self.pi_head["camera"](latent),
            esc_logit=self.esc_head(latent),
            value_normalized=value,
            value=self.value_head.normalizer.denormalize(value),
            state=state,
        )

    def forward(
        self, inputs: Tensor, first: Tensor, state: PolicyState, kind: InputKind = "frames"
    ) -> PolicyOutput:
        """Run T frames for each of B rows.

        Args:
            inputs: Frames uint8 [B, T, height, width, 3] RGB; or what `net.encode_frames` made of them,
                float [B, T, hidsize]; or latents, float [B, T, hidsize].
            first: bool [B, T], True where an episode starts; anywhere in the chunk.
            state: State from `initial_state` or the previous call. Latents leave it as it is.
            kind: What the inputs are.
        """
        return self.heads(*self.latents(inputs, first, state, kind))

    def latents(
        self, inputs: Tensor, first: Tensor, state: PolicyState, kind: InputKind = "frames"
    ) -> tuple[Tensor, PolicyState]:
        """As `forward` without the heads: latents [B, T, hidsize] and the next state."""
        if kind == "latents":
            return inputs.float(), state
        embedded = self.net.encode(inputs) if kind == "frames" else self.net.embed(inputs)
        return self.net.recur(embedded, first, state)
