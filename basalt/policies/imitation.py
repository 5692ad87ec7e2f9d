"""The behavioural-cloning loss of a policy, in training and on held-out episodes."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from basalt.core.intervals import episode_interval
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.data.baselines import Marginals, camera_counts
from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode
from basalt.data.sources import EncodedSource, InputKind
from basalt.io.errors import ConfigError
from basalt.policies.heads import CategoricalHead
from basalt.policies.vpt import PolicyOutput, VPTPolicy

ENDING_FRAMES = STEPS_PER_SECOND
"""Length of an episode's ending, one second: ESC pressed in it counts as pressed in time."""


class TensorBatch(NamedTuple):
    """A batch on the policy's device; fields as in `basalt.data.batch.Batch`.

    `camera_counts` is bool [B, T]: frames on which the camera label is informative.
    """

    kind: InputKind
    inputs: Tensor
    first: Tensor
    valid: Tensor
    buttons: Tensor
    camera: Tensor
    esc: Tensor
    camera_counts: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "TensorBatch":
        """The batch as tensors."""
        shared = [getattr(batch, name) for name in cls._fields[1:-1]]
        arrays = (*shared, camera_counts(batch.buttons) & batch.valid)
        tensors = (torch.from_numpy(a).to(device, non_blocking=True) for a in arrays)
        return cls(batch.kind, *tensors)


class ImitationLoss(NamedTuple):
    """Scalars of one batch: the `total` to minimise and its parts, in nats (camera: per frame that counts)."""

    total: Tensor
    buttons: Tensor
    camera: Tensor
    esc: Tensor


def frame_losses(output: PolicyOutput, labels: TensorBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Negative log-probability of buttons, camera and ESC at every frame, float32 [B, T] each.

    The camera's is 0 where its label is not informative.
    """
    buttons = F.cross_entropy(
        output.buttons_logits.flatten(0, 1), labels.buttons.flatten(), reduction="none"
    )
    camera = F.cross_entropy(
        output.camera_logits.flatten(0, 1), labels.camera.flatten(), reduction="none"
    )
    esc = F.binary_cross_entropy_with_logits(output.esc_logit, labels.esc.float(), reduction="none")
    shape = labels.buttons.shape
    return buttons.view(shape), camera.view(shape) * labels.camera_counts, esc


def changes(labels: TensorBatch) -> Tensor:
    """Frames whose action differs from that of the frame before, bool [B, T].

    The camera is compared where it counts on either frame. The first frame of an episode, and that of the batch, whose
    predecessor is not known, are no changes.
    """
    counts = labels.camera_counts
    turned = (labels.camera[:, 1:] != labels.camera[:, :-1]) & (counts[:, 1:] | counts[:, :-1])
    found = torch.zeros_like(labels.first)
    found[:, 1:] = (labels.buttons[:, 1:] != labels.buttons[:, :-1]) | turned
    return found & ~labels.first & labels.valid


def imitation_loss(
    output: PolicyOutput,
    labels: TensorBatch,
    esc_weight: float,
    change_weight: float = 1.0,
    mean: Callable[[Tensor], Tensor] = lambda own: own,
) -> ImitationLoss:
    """Buttons + camera where it counts + weighted ESC, per valid frame.

    ESC is pressed once an episode, so its frames weigh `esc_weight` times more. The weighted loss is
    taken at logit + log(esc_weight), which moves the optimum back: the head's logit keeps the true
    frequency as its optimum, and playing needs no correction.

    A policy with memory can imitate well by repeating what was done before (the copycat problem, arXiv 2010.14876).
    Frames on which the action changes are those that this does not help with; they weigh more in the loss of buttons
    and camera (keyframes, Wen et al. 2021). The mean weight stays 1.

    Args:
        output: The policy's output on the batch.
        labels: The batch, with what the player did.
        esc_weight: Weight of a frame with ESC, at least 1.
        change_weight: Weight of a frame on which the action changes relative to one on which it does not, at least 1.
        mean: The mean of a number over the processes that share a batch. The mean of their losses is then the loss of
            the whole batch, however frames and weights are spread over them.
    """
    valid = labels.valid.float()
    weights = torch.where(changes(labels), change_weight, 1.0)
    n, weight_sum, camera_count = mean(
        torch.stack([valid.sum(), (weights * valid).sum(), labels.camera_counts.sum()])
    ).clamp(min=1)
    buttons, camera, _ = frame_losses(output, labels)
    weight = torch.tensor(esc_weight, device=valid.device)
    esc = F.binary_cross_entropy_with_logits(
        output.esc_logit + weight.log(), labels.esc.float(), pos_weight=weight, reduction="none"
    )
    if change_weight != 1:
        weights = weights * n / weight_sum
        buttons, camera = buttons * weights, camera * weights
    buttons_sum, camera_sum, esc_sum = ((x * valid).sum() for x in (buttons, camera, esc))
    return ImitationLoss(
        total=(buttons_sum + camera_sum + esc_sum) / n,
        buttons=buttons_sum / n,
        camera=camera_sum / camera_count,
        esc=esc_sum / n,
    )


@torch.no_grad()
def start_at_marginals(policy: VPTPolicy, marginals: Marginals) -> None:
    """Initialise a new policy's heads at the training frequencies instead of at uniform.

    Biases become log-frequencies; head weights shrink to a tenth rather than zero, so that gradients
    reach the encoder. A short training then does not spend its first steps on learning frequencies.
    """
    for name, probabilities in (("buttons", marginals.buttons), ("camera", marginals.camera)):
        head = cast(CategoricalHead, policy.pi_head[name])
        layer = head.linear_layer
        layer.weight.mul_(0.1)
        bias = torch.from_numpy(np.log(probabilities)).to(layer.bias)
        layer.bias.copy_(bias * head.temperature)
    start_esc_at_marginals(policy, marginals)


@torch.no_grad()
def start_esc_at_marginals(policy: VPTPolicy, marginals: Marginals) -> None:
    """Initialise the ESC head of a published policy, which has none, at the training frequency."""
    policy.esc_head.linear.bias.fill_(float(np.log(marginals.esc / (1 - marginals.esc))))


@torch.no_grad()
def encode_episodes(policy: VPTPolicy, episodes: Sequence[Episode]) -> list[Episode]:
    """The same episodes with the policy's image encoder applied to their used frames.

    Use it before running the policy over the same episodes several times: no frame is decoded or
    encoded again. The output is taken before the `embed` hook point, so hooks there still act.
    """
    encoded = []
    for episode in episodes:
        values = np.empty((len(episode), policy.config.hidsize), np.float32)
        state = policy.initial_state(1)
        with closing(episode.source.open()) as reader:
            for part in np.array_split(np.arange(len(episode)), max(len(episode) // 64, 1)):
                frames = np.empty((len(part), *episode.source.shape), episode.source.dtype)
                reader.read_into(frames, episode.kept[part])
                on_device = torch.from_numpy(frames).to(policy.device)[None]
                first = torch.from_numpy(part == 0).to(policy.device)[None]
                stacks, state = policy.net.stack(on_device, first, state)
                values[part] = policy.net.encode_frames(stacks)[0].float().cpu().numpy()
        encoded.append(replace(episode, source=EncodedSource(values, episode.kept)))
    return encoded


@torch.no_grad()
def evaluate(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    *,
    batch_size: int = 8,
    seq_len: int = 64,
) -> dict[str, Any]:
    """The policy's loss on whole episodes with carried memory, each frame once.

    Args:
        policy: Policy on any device, with or without hooks that patch activations.
        episodes: Held-out episodes, unless the loss is to be that of training.
        batch_size: Number of episodes per batch.
        seq_len: Number of frames per call; changes speed only.

    Returns:
        JSON-ready: `loss` (nats per frame: buttons + camera where it counts + ESC), its bootstrap
        interval over episodes `loss_interval` (None below three), its parts `buttons`, `camera` (per
        frame that counts), `esc`; `buttons_accuracy`, `camera_accuracy`; `esc_expected` (presses the
        policy expects per episode; 1 is right) and `esc_in_ending` (share of them in the last second);
        `frames`, `episodes`; `per_episode` (name, frames, loss), for paired comparisons.

    Raises:
        ConfigError: There are no episodes.
    """
    if not episodes:
        raise ConfigError("evaluation: there are no episodes; hold some out with held_out above 0")
    sums = np.zeros((len(episodes), 9))
    lengths = np.array([int(e.kept[-1]) + 1 for e in episodes])
    batch_size = min(batch_size, len(episodes))
    state = policy.initial_state(batch_size)
    was_training = policy.training
    policy.eval()
    for batch in single_pass(episodes, batch_size, seq_len):
        labels = TensorBatch.of(batch, policy.device)
        output = policy(labels.inputs, labels.first, state, labels.kind)
        state = output.state
        buttons, camera, esc = frame_losses(output, labels)
        probability = output.esc_logit.sigmoid()
        ending = batch.frame >= lengths[batch.episode] - ENDING_FRAMES
        columns = (
            buttons,
            camera,
            esc,
            output.buttons_logits.argmax(-1) == labels.buttons,
            (output.camera_logits.argmax(-1) == labels.camera) & labels.camera_counts,
            labels.camera_counts,
            probability,
            probability * torch.from_numpy(ending).to(probability),
            labels.valid,
        )
        values = torch.stack([c.double() for c in columns], -1).cpu().numpy()
        np.add.at(sums, batch.episode[batch.valid], values[batch.valid])
    policy.train(was_training)
    total = sums.sum(0)
    losses, frames, cameras = sums[:, :3].sum(1), sums[:, 8], max(total[5], 1)
    return {
        "loss": float(losses.sum() / total[8]),
        "loss_interval": episode_interval(losses.tolist(), frames.tolist()),
        "buttons": float(total[0] / total[8]),
        "camera": float(total[1] / cameras),
        "esc": float(total[2] / total[8]),
        "buttons_accuracy": float(total[3] / total[8]),
        "camera_accuracy": float(total[4] / cameras),
        "esc_expected": float(total[6] / len(episodes)),
        "esc_in_ending": float(total[7] / total[6]),
        "frames": int(total[8]),
        "episodes": len(episodes),
        "per_episode": [
            {"name": episode.name, "frames": int(n), "loss": float(loss / n)}
            for episode, n, loss in zip(episodes, frames, losses, strict=True)
        ],
    }
