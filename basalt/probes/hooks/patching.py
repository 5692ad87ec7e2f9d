"""Activation patching: the loss and the choices of a policy with something else in an activation's place."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode
from basalt.io.console import progress_bar
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
        sums: By variant: float64 [episodes, k], by default columns `MEASURES`: loss; KL(clean || variant)
            of buttons, camera and ESC, nats; frames on which the likeliest buttons are the same.
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


Comparison = Callable[[PolicyOutput], Tensor]
"""From the output of a patched policy, columns [B, T, k] to sum over frames."""


@torch.no_grad()
def run_patched(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    variants: Mapping[str, Variant],
    compare: Callable[[PolicyOutput, TensorBatch], Comparison] | None = None,
    *,
    batch_size: int = 8,
    seq_len: int = 64,
) -> PatchedRuns:
    """Run the policy as it is and with each patch; each run carries its own memory.

    Args:
        policy: Policy in evaluation mode.
        episodes: Held-out episodes; encoded ones (`basalt.policies.imitation.encode_episodes`) save time.
        variants: Patches by name.
        compare: Comparison with the output of the policy as it is and its labels; None sums `MEASURES`.
        batch_size: Number of episodes per call.
        seq_len: Number of frames per call.
    """
    batch_size = min(batch_size, len(episodes))
    states = {name: policy.initial_state(batch_size) for name in ("", *variants)}
    frames = np.zeros(len(episodes), dtype=np.int64)
    clean_loss = np.zeros(len(episodes))
    sums: dict[str, NDArray[np.float64]] = {}
    with progress_bar(total=sum(map(len, episodes)), title="patched", unit="frame") as bar:
        for batch in single_pass(episodes, batch_size, seq_len):
            labels = TensorBatch.of(batch, policy.device)
            np.add.at(frames, batch.episode[batch.valid], 1)
            clean = policy(labels.inputs, labels.first, states[""], labels.kind)
            states[""] = clean.state
            _add(clean_loss, batch, _loss(clean, labels))
            comparison = (compare or _measures)(clean, labels)
            for name, variant in variants.items():
                with patch(policy, variant.hook_point, variant.replacement):
                    output = policy(labels.inputs, labels.first, states[name], labels.kind)
                states[name] = output.state
                columns = comparison(output)
                total = sums.setdefault(name, np.zeros((len(episodes), columns.shape[-1])))
                _add(total, batch, columns)
            bar.update(int(batch.valid.sum()))
    return PatchedRuns(frames, clean_loss, sums)


def _add(total: NDArray[np.float64], batch: Batch, columns: Tensor) -> None:
    """Add the columns [B, T, ...] of each frame to the row of its episode."""
    np.add.at(total, batch.episode[batch.valid], columns.double().cpu().numpy()[batch.valid])


def _loss(output: PolicyOutput, labels: TensorBatch) -> Tensor:
    buttons, camera, esc = frame_losses(output, labels)
    return buttons + camera + esc


def _measures(clean: PolicyOutput, labels: TensorBatch) -> Comparison:
    """The columns `MEASURES`."""
    log_buttons, log_camera = (
        x.log_softmax(-1) for x in (clean.buttons_logits, clean.camera_logits)
    )
    likeliest = clean.buttons_logits.argmax(-1)

    def compare(output: PolicyOutput) -> Tensor:
        columns = (
            _loss(output, labels),
            categorical_kl(log_buttons, output.buttons_logits),
            categorical_kl(log_camera, output.camera_logits),
            bernoulli_kl(clean.esc_logit, output.esc_logit),
            output.buttons_logits.argmax(-1) == likeliest,
        )
        return torch.stack([column.float() for column in columns], -1)

    return compare


def categorical_kl(log_p: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q) of distributions [..., n], of which q is given by logits, nats: [...]."""
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
