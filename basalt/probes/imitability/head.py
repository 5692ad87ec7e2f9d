"""The same small head on any features: the player's action, from principal components and one hidden layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.core.actions import VPTActions
from basalt.data.baselines import camera_counts
from basalt.data.components import principal_components

RARE = 5
"""Actions that are taken on fewer training frames are one class."""

FLOOR = 1e-3
"""Share of each prediction that is uniform over all classes, so that no surprise costs without limit."""

PENALTIES = (1e-4, 1e-3, 1e-2)
"""L2 penalties on the weights that are tried: how much is needed depends on the features."""

CHECK_EVERY = 25
"""Steps between two looks at the validation frames."""


class Actions(NamedTuple):
    """What the player did at n frames, as classes.

    Attributes:
        buttons, camera: Classes, int64 [n] each.
        esc: bool [n].
        counts: bool [n], whether the camera's class counts.
    """

    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]
    counts: NDArray[np.bool_]

    def tensors(self) -> tuple[Tensor, ...]:
        """The arrays as tensors."""
        return tuple(map(torch.from_numpy, self))


class Classes:
    """Classes of the actions that training frames show; all rarer ones are the last class.

    Args:
        training: Actions on the training frames.
    """

    def __init__(self, training: VPTActions) -> None:
        counts = camera_counts(training.buttons)
        self._buttons, self._camera = (
            _frequent(training.buttons),
            _frequent(training.camera[counts]),
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of classes of the buttons and of the camera."""
        return len(self._buttons) + 1, len(self._camera) + 1

    def of(self, actions: VPTActions) -> Actions:
        """The classes of actions."""
        return Actions(
            _number(self._buttons, actions.buttons),
            _number(self._camera, actions.camera),
            actions.esc.copy(),
            camera_counts(actions.buttons),
        )


def _frequent(values: NDArray[np.int64]) -> NDArray[np.int64]:
    found, counts = np.unique(values, return_counts=True)
    return found[counts >= RARE]


def _number(known: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    at = np.searchsorted(known, values)
    is_known = np.append(known, -1)[at] == values
    return np.where(is_known, at, len(known)).astype(np.int64)


class ActionHead(nn.Module):
    """Principal components of features, a hidden layer, and logits of buttons, camera and ESC.

    Args:
        training: Features of the training frames, float [n, width].
        components: Largest number of components.
        hidden: Width of the hidden layer.
        sizes: Number of classes of the buttons and of the camera.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(
        self, training: NDArray[np.floating], components: int, hidden: int, sizes: tuple[int, int]
    ) -> None:
        super().__init__()
        spread = training.std(0, dtype=np.float64).astype(np.float32)
        # What hardly varies says nothing, and would be blown up.
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0).astype(np.float32)
        mean, axes = principal_components(training * scale, min(components, training.shape[1]))
        inputs = (training * scale - mean) @ axes
        axes = axes / (inputs.std(0) + 1e-3)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("axes", torch.from_numpy(axes.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy(scale))
        self._sizes = sizes
        self.layers = nn.Sequential(
            nn.Linear(axes.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, sum(sizes) + 1)
        )

    def reset(self) -> None:
        """Begin again with other random weights."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def inputs(self, features: NDArray[np.floating]) -> Tensor:
        """What the hidden layer reads, float32 [n, components], within +-5 standard deviations."""
        x = torch.from_numpy(np.array(features, np.float32)) * self.scale
        return ((x - self.mean) @ self.axes).clamp(-5, 5)

    def losses(self, inputs: Tensor, actions: Sequence[Tensor]) -> Tensor:
        """Negative log-probability of buttons, camera where it counts and ESC at each frame, nats, float32 [n]."""
        buttons, camera, esc, counts = actions
        logits = self.layers(inputs)
        parts = logits.split([*self._sizes, 1], dim=-1)
        of_buttons, of_camera = (
            -(
                (1 - FLOOR) * part.softmax(-1).gather(-1, label[:, None])[:, 0]
                + FLOOR / part.shape[-1]
            ).log()
            for part, label in zip(parts[:2], (buttons, camera), strict=True)
        )
        of_esc = F.binary_cross_entropy_with_logits(parts[2][:, 0], esc.float(), reduction="none")
        return of_buttons + of_camera * counts + of_esc


def fit_head(
    training: tuple[NDArray[np.floating], Actions],
    validation: tuple[NDArray[np.floating], Actions],
    *,
    sizes: tuple[int, int],
    components: int,
    hidden: int,
    steps: int,
    batch_size: int,
    lr: float,
    seed: int,
) -> ActionHead:
    """Fit a head with each of `PENALTIES`, and keep the weights with the least loss on validation frames.

    Args:
        training: Features [n, width] and actions to learn.
        validation: Features and actions of other worlds.
        sizes: Number of classes of the buttons and of the camera.
        components: Largest number of principal components.
        hidden: Width of the hidden layer.
        steps: Number of optimizer steps of each fit.
        batch_size: Number of frames per step.
        lr: Step size of Adam, down to 0 by a half cosine.
        seed: Seed of the weights and the order.
    """
    head = ActionHead(training[0], components, hidden, sizes)
    x, actions = head.inputs(training[0]), training[1].tensors()
    check_x, check_actions = head.inputs(validation[0]), validation[1].tensors()
    best, kept = float("inf"), head.state_dict()
    for penalty in PENALTIES:
        torch.manual_seed(seed)
        head.reset()
        optimizer = torch.optim.Adam(head.layers.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        draws = torch.Generator().manual_seed(seed)
        for step in range(1, steps + 1):
            rows = torch.randint(len(x), (min(batch_size, len(x)),), generator=draws)
            loss = head.losses(x[rows], [each[rows] for each in actions]).mean()
            weights = sum(p.square().sum() for p in head.layers.parameters() if p.ndim > 1)
            optimizer.zero_grad()
            (loss + penalty * weights).backward()
            optimizer.step()
            schedule.step()
            if step % CHECK_EVERY == 0 or step == steps:
                with torch.no_grad():
                    found = float(head.losses(check_x, check_actions).mean())
                if found < best:
                    best = found
                    kept = {key: value.clone() for key, value in head.state_dict().items()}
    head.load_state_dict(kept)
    return head.eval()
