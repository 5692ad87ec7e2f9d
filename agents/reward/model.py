"""The networks: an ensemble that scores each step of an episode by a policy's frozen latents.

The score of a clip is a weighted mean of the scores of its steps. `linear` and `mlp` weigh all steps equally, so that length says
nothing; the Preference Transformer (Kim et al. 2023, arXiv 2303.00957) learns the weights.
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from agents.reward.config import ModelKind
from agents.reward.support import Support

BOUND = 10.0
"""Largest score of a step by `mlp` or `transformer`. Unbounded scores are where optimisation against a model fails."""

HIDDEN = 3
"""Number of hidden layers of `mlp`."""

HEADS = 4
"""Number of attention heads of `transformer`."""


class RewardSizes(BaseModel):
    """Sizes of a reward model.

    Attributes:
        model: What scores a step.
        members: Number of models in the ensemble.
        latents: Width of the trunk's latents.
        components: Number of their principal components that are scored.
        references: Number of training frames that are kept for the support gate.
        width: Width of the hidden layers.
        dropout: Dropout in them.
        window: Number of steps that `transformer` has seen at once in training, after thinning.
        stride: Number of steps between two that are read in training.
        changes: Whether a step is also scored by the change of its components over the last `stride` steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: ModelKind
    members: Annotated[int, Field(ge=1, le=20)]
    latents: Annotated[int, Field(ge=1, le=65_536)]
    components: Annotated[int, Field(ge=1, le=4_096)]
    references: Annotated[int, Field(ge=0, le=65_536)]
    width: Annotated[int, Field(ge=4, le=4_096)] = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    window: Annotated[int, Field(ge=1, le=65_536)] = 32
    stride: Annotated[int, Field(ge=1, le=65_536)] = 1
    changes: bool = False

    @property
    def inputs(self) -> int:
        """Number of features of a step."""
        return self.components * (2 if self.changes else 1)

    @property
    def memory(self) -> int:
        """Number of latents before a step's own that its score is computed from while an episode is played."""
        return self.stride * (self.window if self.model == "transformer" else 1)


class Steps(NamedTuple):
    """What a member says of clips of T steps.

    Attributes:
        scores: Score of each step, float [B, T].
        weights: Weight of each step in its clip's score, float [B, T]; they add up to 1, and padding has 0.
    """

    scores: Tensor
    weights: Tensor

    @property
    def clip(self) -> Tensor:
        """Score of each clip, float [B]."""
        return (self.scores * self.weights).sum(-1)


def equal_weights(mask: Tensor) -> Tensor:
    """The same weight for each step of a clip, float [B, T]; `mask` is False for padding."""
    return mask.float() / mask.sum(-1, keepdim=True).clamp(min=1)


class LinearReward(nn.Module):
    """A step's score is linear in its features.

    Args:
        inputs: Number of features of a step.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Steps:
        """Score features float [B, T, inputs]; `mask` bool [B, T] is False for padding."""
        return Steps(self.head(x).squeeze(-1), equal_weights(mask))


class MLPReward(nn.Module):
    """A network scores each step, within +-`BOUND`.

    Args:
        inputs: Number of features of a step.
        width: Width of the hidden layers.
        dropout: Dropout in them.
    """

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in [inputs, *[width] * (HIDDEN - 1)]:
            layers += [nn.Linear(before, width), nn.LeakyReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Steps:
        """Score features float [B, T, inputs]; `mask` bool [B, T] is False for padding."""
        scores = BOUND * torch.tanh(self.head(self.body(x)).squeeze(-1) / BOUND)
        return Steps(scores, equal_weights(mask))


class PreferenceTransformer(nn.Module):
    """A causal transformer scores each step by the window so far; attention over the whole clip weighs the steps.

    It is not given the number of a step, which would let it score length and position.

    Args:
        inputs: Number of features of a step.
        width: Width of the transformer.
        dropout: Dropout in it.
    """

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.block = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)
        self.query, self.key = (nn.Linear(width, width) for _ in range(2))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Steps:
        """Score features float [B, T, inputs]; `mask` bool [B, T] is False for padding, which is at the end."""
        steps = x.shape[1]
        later = torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)
        h = self.norm(self.block(self.embed(x), src_mask=later))
        scores = BOUND * torch.tanh(self.head(h).squeeze(-1) / BOUND)
        logits = self.query(h) @ self.key(h).transpose(1, 2) / math.sqrt(h.shape[-1])
        attention = logits.masked_fill(~mask[:, None, :], float("-inf")).softmax(-1)
        return Steps(scores, (attention * equal_weights(mask)[..., None]).sum(1))


class Rewards(NamedTuple):
    """What a reward model says of n steps, float [n] each.

    Attributes:
        mean: Mean of the members' scores, each in units of its spread over training frames; 0 is a usual frame.
        spread: Standard deviation of the members.
        distance: Distance from the training frames; above 1 the model has not seen the like (see `Support`).
    """

    mean: Tensor
    spread: Tensor
    distance: Tensor


class RewardModel(nn.Module):
    """An ensemble of reward models over whitened principal components, with a support gate.

    Args:
        sizes: Its sizes.

    Attributes:
        sizes: Its sizes.
        members: The models.
        log_tie: Logarithm of Davidson's v of each member, float [members].
        cut: Acceptable score of a clip by each member, float [members].
        support: The support gate.
        floor: Lowest reward of a training frame: that of all frames outside the support.
    """

    floor: Tensor
    mean: Tensor
    basis: Tensor
    centre: Tensor
    scale: Tensor
    change: Tensor

    def __init__(self, sizes: RewardSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.members = nn.ModuleList(_member(sizes) for _ in range(sizes.members))
        self.log_tie = nn.Parameter(torch.full((sizes.members,), -1.0))
        self.cut = nn.Parameter(torch.zeros(sizes.members))
        self.support = Support(sizes.references, sizes.components)
        self.register_buffer("mean", torch.zeros(sizes.latents))
        self.register_buffer("basis", torch.zeros(sizes.latents, sizes.components))
        self.register_buffer("change", torch.ones(sizes.components))
        self.register_buffer("centre", torch.zeros(sizes.members))
        self.register_buffer("scale", torch.ones(sizes.members))
        self.register_buffer("floor", torch.zeros(()))

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.log_tie.device

    def components(self, latents: Tensor) -> Tensor:
        """Whitened principal components of latents [..., latents], float32 [..., components]."""
        return (latents.float() - self.mean) @ self.basis

    def features(self, latents: Tensor) -> Tensor:
        """What the members see of the n steps of one episode, float32 [n, inputs].

        Its components and, with `changes`, their changes: teachers and people prefer what gets better in a clip, which a mean
        of states does not show and a mean of changes does.

        Args:
            latents: The trunk's latents, float [n, latents].
        """
        z = self.components(latents)
        if not self.sizes.changes:
            return z
        before = torch.cat([z[:1].expand(self.sizes.stride, -1), z])[: len(z)]
        return torch.cat([z, (z - before) / self.change], dim=1)

    def clip_scores(self, x: Tensor, mask: Tensor) -> Tensor:
        """Score of each clip by each member, float [members, B].

        Args:
            x: Features, float [B, T, inputs].
            mask: bool [B, T], False for padding at the end.
        """
        return torch.stack([member(x, mask).clip for member in self.members])

    def step_scores(self, x: Tensor) -> Tensor:
        """Score of each step of one episode by each member, float [members, n]; `x` is float [n, inputs]."""
        if self.sizes.model != "transformer":
            mask = torch.ones(1, len(x), dtype=torch.bool, device=x.device)
            return torch.stack([member(x[None], mask).scores[0] for member in self.members])
        out = x.new_zeros(len(self.members), len(x))
        for phase in range(min(self.sizes.stride, len(x))):
            out[:, phase :: self.sizes.stride] = self._windowed(x[phase :: self.sizes.stride])
        return out

    def _windowed(self, x: Tensor) -> Tensor:
        """Scores by a transformer whose windows overlap by half, so that each step has seen half a window before it."""
        window = self.sizes.window
        half = max(1, window // 2)
        starts = [0, *range(half, max(len(x) - window, 0) + half, half)]
        padded = F.pad(x, (0, 0, 0, starts[-1] + window - len(x)))
        windows = torch.stack([padded[start : start + window] for start in starts])
        mask = torch.ones(windows.shape[:2], dtype=torch.bool, device=x.device)
        out = x.new_zeros(len(self.members), len(padded))
        for number, member in enumerate(self.members):
            scores = member(windows, mask).scores
            out[number, :window] = scores[0]
            for start, each in zip(starts[1:], scores[1:], strict=True):
                out[number, start + window - half : start + window] = each[window - half :]
        return out[:, : len(x)]

    @torch.no_grad()
    def rewards(self, latents: Tensor) -> Rewards:
        """Rewards of the steps of one episode, by the trunk's latents [n, latents]."""
        x = self.features(latents.to(self.device))
        scores = (self.step_scores(x) - self.centre[:, None]) / self.scale[:, None]
        spread = scores.std(0, correction=0)
        return Rewards(scores.mean(0), spread, self.support.distance(x[:, : self.sizes.components]))

    def gated(self, rewards: Rewards, pessimism: float = 0.0) -> Tensor:
        """Rewards to optimise, float [n]: the lowest one outside of what the model has seen.

        The spread alone does not keep an optimiser away from there: all members may be wrong in the same way.

        Args:
            rewards: What the model says.
            pessimism: Number of spreads that are taken off.
        """
        lower = rewards.mean - pessimism * rewards.spread
        return torch.where(rewards.distance > 1, self.floor.minimum(lower), lower)

    @torch.no_grad()
    def settle(self, references: Tensor, places: Tensor, scores: Tensor) -> None:
        """Set the units of the rewards and the support gate by frames that the model was trained on.

        Args:
            references: Features of the frames, float [references, inputs].
            places: Number of each frame's world, int64 [references].
            scores: Their scores by each member (`step_scores`), float [members, references].
        """
        self.centre.copy_(scores.mean(1))
        self.scale.copy_(scores.std(1, correction=0).clamp(min=1e-6))
        self.floor.copy_(((scores - self.centre[:, None]) / self.scale[:, None]).mean(0).min())
        self.support.settle(references[:, : self.sizes.components], places)


def _member(sizes: RewardSizes) -> nn.Module:
    if sizes.model == "linear":
        return LinearReward(sizes.inputs)
    made = {"mlp": MLPReward, "transformer": PreferenceTransformer}[sizes.model]
    return made(sizes.inputs, sizes.width, sizes.dropout)
