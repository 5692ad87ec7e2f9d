"""Sizes of a VPT policy, named as in OpenAI's published `.model` files."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from basalt.core.settings import Count, Positive, settings, unknown_option
from basalt.core.video import FrameSize
from basalt.io.errors import ConfigError

# Values of all released models; others would be another architecture.
_FIXED: dict[str, Any] = {
    "recurrence_type": "transformer",
    "recurrence_is_residual": True,
    "use_pointwise_layer": True,
    "scale_input_img": True,
    "img_statistics": None,
    "single_output": False,
}


Size = Annotated[Positive, Field(allow_inf_nan=False, le=1024)]
"""A number above 0."""

# Far above all published policies. A file of a few bytes may say anything, and even on the meta device each layer is an
# object that takes time to make.
Width = Annotated[Count, Field(le=2**16)]
"""Number of channels."""

Length = Annotated[Count, Field(le=2**20)]
"""Number of frames."""

Few = Annotated[Count, Field(le=256)]
"""Number of layers, heads, groups or frames in a stack."""

Pixels = Annotated[Count, Field(le=4096)]
"""Height or width of a frame."""


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
        frame_stack: Number of consecutive frames that the encoder sees at once, the present one last. Published
            policies see one; from two, a policy sees motion without having to remember details.
        pointwise_ratio: Width of the MLP divided by `hidsize`.
        pointwise_use_activation: Whether a ReLU follows the MLP.
        use_pre_lstm_ln: Whether a LayerNorm precedes the transformer.
        attention_mask_style: "clipped_causal" (policies) or "none" (inverse dynamics model).
        first_conv_norm: Whether a norm precedes the first convolution.
        post_pool_groups: Number of groups of the norm after each pool.
        group_norm_groups: Number of groups of the norm before each convolution.
        temperature: Divisor of the heads' logits.
    """

    hidsize: Width = 1024
    attention_heads: Few = 8
    attention_memory_size: Length = 256
    timesteps: Length = 128
    n_recurrence_layers: Few = 4
    impala_chans: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] = (16, 32, 32)
    impala_width: Size = 4
    img_shape: tuple[Pixels, Pixels, Few] = (128, 128, 3)
    frame_stack: Few = 1
    pointwise_ratio: Few = 4
    pointwise_use_activation: Annotated[bool, Strict()] = False
    use_pre_lstm_ln: Annotated[bool, Strict()] = False
    attention_mask_style: Literal["clipped_causal", "none"] = "clipped_causal"
    first_conv_norm: Annotated[bool, Strict()] = False
    post_pool_groups: Width = 1
    group_norm_groups: Width = 1
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

        It sees two frames at once, since a network of this size does not learn from single ones how it moves: exploratory
        trainings on demonstrations of find_cave learned the camera's turns from two frames and hardly from one. Its frames
        are small for the sake of speed.
        """
        return cls(
            hidsize=128,
            attention_heads=4,
            attention_memory_size=72,
            timesteps=64,
            n_recurrence_layers=2,
            impala_chans=(8, 16, 16),
            impala_width=1,
            img_shape=(36, 64, 3),
            frame_stack=2,
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
        """Return the fields, JSON-ready; `VPTConfig(**config.to_dict())` is an equal config."""
        return asdict(self)
