"""The VPT policy (Baker et al. 2022, "Video PreTraining") at any size.

Frames -> IMPALA encoder -> transformer over a memory of frames -> latent -> heads. Parameter names are
those of OpenAI's published weight files. Activations that probes read pass through modules that
`VPTPolicy.hook_points` names, so a plain forward hook reads or replaces them.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.core.actions import N_BUTTONS, N_CAMERA
from basalt.data.sources import InputKind
from basalt.policies.attention import PolicyState, Transformer, TransformerBlock
from basalt.policies.config import VPTConfig
from basalt.policies.heads import CategoricalHead, EscHead, ValueHead
from basalt.policies.impala import ImageEncoder
from basalt.policies.layers import NORM_EPS, normed_linear


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
        self.img_process = ImageEncoder(config)
        self.embed = nn.Identity()
        self.pre_lstm_ln = (
            nn.LayerNorm(config.hidsize, eps=NORM_EPS) if config.use_pre_lstm_ln else None
        )
        self.recurrent_layer = Transformer(config)
        self.lastlayer = normed_linear(config.hidsize, config.hidsize)
        self.lastlayer_out = nn.Identity()
        self.final_ln = nn.LayerNorm(config.hidsize, eps=NORM_EPS)
        self.latent = nn.Identity()

    def stack(self, img: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """Each frame together with the `frame_stack` - 1 before it, oldest first.

        Where an episode has no frame that old, its first frame stands for it.

        Args:
            img: Frames, uint8 [B, T, H, W, 3].
            first: bool [B, T], True where an episode starts.
            state: Memory before these frames.

        Returns:
            uint8 [B, T, H, W, 3 * frame_stack], and the memory with the last of these frames in it.
        """
        older = state.recent.shape[1]
        if older == 0:
            return img, state
        frames = torch.cat([state.recent, img], 1)
        now = torch.arange(img.shape[1], device=img.device).expand_as(first)
        start = torch.where(first, now, -older).cummax(1).values
        lags = torch.arange(older, -1, -1, device=img.device)
        # Position in `frames` of each frame of each stack, [B, T, frame_stack].
        positions = torch.maximum(now[..., None] - lags, start[..., None]) + older
        rows = torch.arange(len(img), device=img.device)[:, None, None]
        stacks = frames[rows, positions]
        recent = stacks[:, -1, 1:]
        return stacks.movedim(2, -2).flatten(-2), state._replace(recent=recent)

    def encode(self, img: Tensor) -> Tensor:
        """Stacks of frames uint8 [B, T, H, W, 3 * frame_stack] -> one vector per frame [B, T, hidsize].

        A vector depends on its own stack alone.
        """
        return self.embed(self.encode_frames(img))

    def encode_frames(self, img: Tensor) -> Tensor:
        """Like `encode`, but without the `embed` hook point."""
        return self.img_process(img.permute(0, 1, 4, 2, 3).float() / 255)

    def recur(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """Encoded frames [B, T, hidsize] -> latents [B, T, hidsize] and the next state."""
        x, state = self.transform(x, first, state)
        return self.finish(x), state

    def transform(self, x: Tensor, first: Tensor, state: PolicyState) -> tuple[Tensor, PolicyState]:
        """The transformer alone: like `recur`, but without the last layer."""
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

    @property
    def blocks(self) -> list[TransformerBlock]:
        """The transformer's blocks, first one first."""
        return [cast(TransformerBlock, block) for block in self.net.recurrent_layer.blocks]

    def hook_points(self) -> dict[str, nn.Module]:
        """Modules whose output is an activation that probes read or replace, by name of the hook point.

        Every output is [B, T, width] with one token a frame: `embed`, `blocks.J.q`, `.k`, `.v` and `.r` (queries,
        keys, values and weights of the distance bias, all heads side by side), `blocks.J.attn_z` (heads before the
        output projection), `blocks.J.resid_mid`, `blocks.J.mlp_out`, `blocks.J.resid_post`, `lastlayer` (after its
        ReLU) and `latent`.
        """
        points: dict[str, nn.Module] = {"embed": self.net.embed}
        for j, block in enumerate(self.blocks):
            attention = block.r.orc_block
            for name in "qkvr" if self.config.memory else "qkv":
                points[f"blocks.{j}.{name}"] = getattr(attention, f"{name}_layer")
            points[f"blocks.{j}.attn_z"] = attention.attn_z
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
        """Like `forward`, but without the heads: latents [B, T, hidsize] and the next state."""
        if kind == "latents":
            return inputs.float(), state
        if kind == "frames":
            stacks, state = self.net.stack(inputs, first, state)
            embedded = self.net.encode(stacks)
        else:
            embedded = self.net.embed(inputs)
        return self.net.recur(embedded, first, state)
