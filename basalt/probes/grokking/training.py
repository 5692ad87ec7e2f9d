"""A network trained on some of all sums modulo p, and what became of it.

Pairs are unordered (a <= b): of ordered ones a symmetric network would know the mirror image of each for free.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.probes.records import Part

WARMUP = 10
"""Steps over which the step size rises from 0."""

POINTS = 60
"""Number of measurements of a run's curve, evenly spaced."""


@dataclass(frozen=True)
class Task:
    """All sums modulo p with their answers, in a random order of which the first n are trained on.

    Attributes:
        p: Modulus.
        pairs: int64 [p (p + 1) / 2, 2].
        answers: int64, one for each pair.
    """

    p: int
    pairs: Tensor
    answers: Tensor

    @classmethod
    def make(cls, p: int, seed: int, *, random_labels: bool = False) -> "Task":
        """The task in the order of a seed.

        Args:
            p: Modulus.
            seed: Seed of the order and of random labels.
            random_labels: Whether answers are drawn at random, so that they can only be memorised.
        """
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.triu_indices(p, p).T
        pairs = pairs[torch.randperm(len(pairs), generator=generator)]
        answers = pairs.sum(1) % p
        if random_labels:
            answers = torch.randint(p, answers.shape, generator=generator)
        return cls(p, pairs, answers)


class Point(Part):
    """A moment of a training.

    Attributes:
        step: Number of steps before it.
        train, test: Accuracy on the pairs that are trained on, and on the others.
    """

    step: int
    train: float
    test: float


class Trained(NamedTuple):
    """What became of a network.

    Attributes:
        curve: Accuracies in the course of the training, the last one at its end.
        margin: Mean over the training pairs of the right logit less the mean of the others.
        norm: L2 norm of all weights.
    """

    curve: tuple[Point, ...]
    margin: float
    norm: float


def train(
    network: nn.Module, task: Task, n: int, *, steps: int, lr: float, weight_decay: float
) -> Trained:
    """Train with AdamW on the first n pairs of a task, all in every step.

    Args:
        network: The network, changed in place.
        task: The task.
        n: Number of pairs to train on.
        steps: Number of steps.
        lr: Step size.
        weight_decay: Decoupled weight decay.
    """
    pairs, answers = task.pairs[:n], task.answers[:n]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / WARMUP))
    every = max(steps // POINTS, 1)
    curve = []
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            curve.append(_point(network, task, n, step))
        if step == steps:
            break
        optimizer.zero_grad()
        F.cross_entropy(network(pairs), answers).backward()
        optimizer.step()
        schedule.step()
    return Trained(tuple(curve), *_size(network, pairs, answers))


@torch.no_grad()
def _point(network: nn.Module, task: Task, n: int, step: int) -> Point:
    right = network(task.pairs).argmax(1) == task.answers
    test = float(right[n:].float().mean()) if n < len(right) else 0.0
    return Point(step=step, train=float(right[:n].float().mean()), test=test)


@torch.no_grad()
def _size(network: nn.Module, pairs: Tensor, answers: Tensor) -> tuple[float, float]:
    logits = network(pairs)
    right = logits.gather(1, answers[:, None])[:, 0]
    others = (logits.sum(1) - right) / (logits.shape[1] - 1)
    norm = torch.cat([weight.flatten() for weight in network.parameters()]).norm()
    return float((right - others).mean()), float(norm)
