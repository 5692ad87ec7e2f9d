"""Activation patching: the loss and the choices of a policy with something else in an activation's place."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode
from basalt.io.console import progress_bar
from basalt.policies.attention import PolicyState
from basalt.policies.imitation import TensorBatch, frame_losses
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.points import Patch, patch
from basalt.probes.records import Estimate, PatchingMetrics, PatchingSums

MEASURES = ("loss", "kl_buttons", "kl_camera", "kl_esc", "agreement")


class Variant(NamedTuple):
    """A patch to measure.

    Attributes:
        hook_point: Name of the hook point.
        replacement: What is put in the activation's place.
    """

    hook_point: str
    replacement: Patch


class PatchedRuns(NamedTuple):
    """Sums over each episode's frames.

    Attributes:
        frames: Frames of each episode, int64 [episodes].
        clean: Loss of the policy as it is, nats, float64 [episodes].
        sums: By variant: float64 [episodes, 5], columns `MEASURES`: loss; KL(clean || variant) of buttons,
            camera and ESC, nats; frames on which the likeliest buttons are the same.
    """

    frames: NDArray[np.int64]
    clean: NDArray[np.float64]
    sums: dict[str, NDArray[np.float64]]

    @property
    def clean_loss(self) -> float:
        """Mean loss of the policy as it is, nats per frame."""
        return float(self.clean.sum() / self.frames.sum())

    def metrics(self, name: str) -> PatchingMetrics:
        """Means per frame of a variant, with intervals over episodes."""
        sums = self.sums[name]
        columns = dict(zip(MEASURES, sums.T, strict=True))
        columns |= {"kl": sums[:, 1:4].sum(1), "loss_change": sums[:, 0] - self.clean}
        return PatchingMetrics(
            **{key: Estimate.ratio(column, self.frames) for key, column in columns.items()}
        )

    def per_episode(self, *names: str) -> PatchingSums:
        """The sums of some variants, from which intervals can be computed again."""
        return PatchingSums(
            frames=tuple(self.frames.tolist()),
            clean=tuple(self.clean.tolist()),
            variants={name: tuple(map(tuple, self.sums[name].tolist())) for name in names},
        )

    def loss_recovered(self, name: str, ablation: str) -> Estimate:
        """(ablated - patched) / (ablated - clean) loss: 1 is as good as the activation itself.

        Returns:
            An estimate without value where the ablation costs nothing.
        """
        ablated = self.sums[ablation][:, 0]
        worth = ablated - self.clean
        if worth.sum() <= 0:
            return Estimate(value=None)
        return Estimate.ratio(ablated - self.sums[name][:, 0], worth)


@torch.no_grad()
def run_patched(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    variants: Mapping[str, Variant],
    *,
    batch_size: int = 8,
    seq_len: int = 64,
    progress: bool = False,
) -> PatchedRuns:
    """Run the policy as it is and with each patch; each run carries its own memory.

    Args:
        policy: Policy in evaluation mode.
        episodes: Held-out episodes; encoded ones (`basalt.policies.imitation.encode_episodes`) save time.
        variants: Patches by name.
        batch_size: Number of episodes per call.
        seq_len: Number of frames per call.
        progress: Whether to show a progress bar.
    """
    batch_size = min(batch_size, len(episodes))
    states = {name: policy.initial_state(batch_size) for name in ("", *variants)}
    frames = np.zeros(len(episodes), dtype=np.int64)
    clean_sums = np.zeros(len(episodes))
    sums = {name: np.zeros((len(episodes), len(MEASURES))) for name in variants}
    total = sum(map(len, episodes))
    bar = progress_bar(total=total, title="patched", unit="frame", shown=progress)
    for batch in single_pass(episodes, batch_size, seq_len):
        labels = TensorBatch.of(batch, policy.device)
        where = batch.episode[batch.valid]
        np.add.at(frames, where, 1)
        clean, states[""] = _forward(policy, labels, states[""])
        losses = sum(frame_losses(clean, labels))
        assert isinstance(losses, Tensor)
        np.add.at(clean_sums, where, losses.double().cpu().numpy()[batch.valid])
        reference = _Choices(clean)
        for name, variant in variants.items():
            with patch(policy, variant.hook_point, variant.replacement):
                output, states[name] = _forward(policy, labels, states[name])
            losses = sum(frame_losses(output, labels))
            assert isinstance(losses, Tensor)
            columns = torch.stack([losses, *reference.distances(output)], -1)
            np.add.at(sums[name], where, columns.double().cpu().numpy()[batch.valid])
        bar.update(len(where))
    bar.close()
    return PatchedRuns(frames, clean_sums, sums)


def _forward(
    policy: VPTPolicy, labels: TensorBatch, state: PolicyState
) -> tuple[PolicyOutput, PolicyState]:
    output = policy(labels.inputs, labels.first, state, labels.kind)
    return output, output.state


class _Choices:
    """The distributions of one output, with which others are compared."""

    def __init__(self, output: PolicyOutput) -> None:
        self._buttons = output.buttons_logits.log_softmax(-1)
        self._camera = output.camera_logits.log_softmax(-1)
        self._esc = output.esc_logit
        self._likeliest = output.buttons_logits.argmax(-1)

    def distances(self, output: PolicyOutput) -> list[Tensor]:
        """KL of buttons, camera and ESC, and whether the likeliest buttons agree: float [B, T] each."""
        return [
            _kl(self._buttons, output.buttons_logits),
            _kl(self._camera, output.camera_logits),
            bernoulli_kl(self._esc, output.esc_logit),
            (output.buttons_logits.argmax(-1) == self._likeliest).float(),
        ]


def _kl(log_p: Tensor, logits: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1)


def bernoulli_kl(logit_p: Tensor, logit_q: Tensor) -> Tensor:
    """KL(p || q) of two Bernoulli distributions given by logits, nats."""
    p = logit_p.sigmoid()
    yes = F.logsigmoid(logit_p) - F.logsigmoid(logit_q)
    no = F.logsigmoid(-logit_p) - F.logsigmoid(-logit_q)
    return p * yes + (1 - p) * no


def constant(value: Tensor) -> Patch:
    """A patch with one activation [width] at every frame."""
    return lambda x: value.to(x).expand_as(x)
