"""What a policy does with something else in an activation's place: loss, and distance of its choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from basalt.core.intervals import episode_interval, with_intervals
from basalt.data.dataset import Episode, single_pass
from basalt.policies.imitation import Labels, frame_losses, gather
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.activations import replaced

Replacement = Callable[[Tensor], Tensor]
MEASURES = ("loss", "kl_buttons", "kl_camera", "kl_esc", "agreement")


class Variant(NamedTuple):
    """Something in an activation's place.

    Attributes:
        site: one of `policy.sites()`.
        replacement: [B, T, width] -> the same shape.
    """

    site: str
    replacement: Replacement


class Spliced(NamedTuple):
    """Sums over each episode's frames.

    Attributes:
        frames: int64 [episodes].
        clean: float64 [episodes], loss of the policy as it is, nats.
        sums: by variant: float64 [episodes, 5], columns `MEASURES`: loss; KL(clean || variant) of buttons,
            camera and ESC, nats; frames on which the likeliest buttons are the same.
    """

    frames: NDArray[np.int64]
    clean: NDArray[np.float64]
    sums: dict[str, NDArray[np.float64]]

    def figures(self, name: str) -> dict[str, Any]:
        """A variant's means per frame, JSON-ready, each with its interval over episodes, `NAME_interval`.

        Returns:
            `MEASURES`; `kl`, the sum over the three heads; `loss_change` = loss - clean loss. Intervals
            are None below three episodes.
        """
        sums = self.sums[name]
        columns = dict(zip(MEASURES, sums.T, strict=True))
        columns |= {"kl": sums[:, 1:4].sum(1), "loss_change": sums[:, 0] - self.clean}
        return with_intervals({key: (column, self.frames) for key, column in columns.items()})

    def per_episode(self, *names: str) -> dict[str, Any]:
        """The sums themselves, JSON-ready: what an interval over episodes can be had from again.

        Returns:
            `frames` and `clean` [episodes], and by variant [episodes][5], columns `MEASURES`.
        """
        return {"frames": self.frames.tolist(), "clean": self.clean.tolist()} | {
            name: self.sums[name].tolist() for name in names
        }

    def recovered(self, name: str, ablation: str) -> dict[str, Any]:
        """(ablated - spliced) / (ablated - clean) loss: 1 = as good as the activation itself.

        Returns:
            `value` and `interval` over episodes; None where the ablation does not cost anything.
        """
        ablated = self.sums[ablation][:, 0]
        gained, worth = ablated - self.sums[name][:, 0], ablated - self.clean
        if worth.sum() <= 0:
            return {"value": None, "interval": None}
        interval = episode_interval(gained.tolist(), worth.tolist())
        return {"value": float(gained.sum() / worth.sum()), "interval": interval}


@torch.no_grad()
def splice_all(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    variants: Mapping[str, Variant],
    encoded: Sequence[Tensor],
    *,
    rows: int = 8,
    length: int = 64,
    progress: bool = False,
) -> Spliced:
    """Run the policy as it is and with each variant, memory and all, side by side.

    Args:
        policy: in evaluation mode.
        episodes: held-out ones.
        variants: by name.
        encoded: the episodes' encoded frames, `basalt.policies.imitation.encode_episodes`.
        rows: episodes side by side.
        length: frames of a call; changes speed only.
        progress: show a bar where the terminal allows.
    """
    rows = min(rows, len(episodes))
    states = {name: policy.initial_state(rows) for name in ("", *variants)}
    frames = np.zeros(len(episodes), dtype=np.int64)
    clean_sums = np.zeros(len(episodes))
    sums = {name: np.zeros((len(episodes), len(MEASURES))) for name in variants}
    bar = tqdm(
        total=sum(map(len, episodes)), desc="spliced", unit="frame", leave=False,
        disable=None if progress else True,
    )  # fmt: skip
    for batch in single_pass(episodes, rows, length):
        labels = Labels.of(batch, policy.device)
        inputs = gather(encoded, batch)
        where = batch.episode[batch.valid]
        np.add.at(frames, where, 1)
        clean, states[""] = _forward(policy, inputs, labels, states[""])
        losses = sum(frame_losses(clean, labels))
        assert isinstance(losses, Tensor)
        np.add.at(clean_sums, where, losses.double().cpu().numpy()[batch.valid])
        reference = _Choices(clean)
        for name, variant in variants.items():
            with replaced(policy, variant.site, variant.replacement):
                output, states[name] = _forward(policy, inputs, labels, states[name])
            losses = sum(frame_losses(output, labels))
            assert isinstance(losses, Tensor)
            columns = torch.stack([losses, *reference.distances(output)], -1)
            np.add.at(sums[name], where, columns.double().cpu().numpy()[batch.valid])
        bar.update(len(where))
    bar.close()
    return Spliced(frames, clean_sums, sums)


def _forward(
    policy: VPTPolicy, inputs: Tensor, labels: Labels, state: Any
) -> tuple[PolicyOutput, Any]:
    output = policy.forward_encoded(inputs, labels.first, state)
    return output, output.state


class _Choices:
    """The distributions of one output, to which others are compared."""

    def __init__(self, output: PolicyOutput) -> None:
        self._buttons = output.buttons_logits.log_softmax(-1)
        self._camera = output.camera_logits.log_softmax(-1)
        self._esc = output.esc_logit
        self._likeliest = output.buttons_logits.argmax(-1)

    def distances(self, output: PolicyOutput) -> list[Tensor]:
        """KL of buttons, camera and ESC and whether the likeliest buttons agree, float [B, T] each."""
        return [
            _kl(self._buttons, output.buttons_logits),
            _kl(self._camera, output.camera_logits),
            bernoulli_kl(self._esc, output.esc_logit),
            (output.buttons_logits.argmax(-1) == self._likeliest).float(),
        ]


def _kl(log_p: Tensor, logits: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1)


def bernoulli_kl(logit_p: Tensor, logit_q: Tensor) -> Tensor:
    """KL(p || q) of two coins given by logits, nats."""
    p = logit_p.sigmoid()
    yes = F.logsigmoid(logit_p) - F.logsigmoid(logit_q)
    no = F.logsigmoid(-logit_p) - F.logsigmoid(-logit_q)
    return p * yes + (1 - p) * no


def unchanged(x: Tensor) -> Tensor:
    """The activation itself."""
    return x


def constant(value: Tensor) -> Replacement:
    """Always the same activation [width]."""
    return lambda x: value.to(x).expand_as(x)
