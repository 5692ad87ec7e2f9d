"""Baselines that a policy must beat: predictions that ignore the frame.

Both are fitted on training episodes and give every action a probability, so that their loss compares
with a policy's, in nats per frame.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import CAMERA_ON, INVENTORY_INDEX, N_BUTTONS, N_CAMERA, VPTActions
from basalt.data.episodes import Episode

_GRID = np.concatenate(
    [10.0 ** np.arange(-6, -1), np.linspace(0.02, 0.98, 49), [0.99, 0.999, 0.9999]]
)


class ActionLoss(NamedTuple):
    """Negative log-probability of the player's actions, nats.

    Attributes:
        total: Mean per frame: buttons + camera (where it counts) + ESC.
        buttons: Mean per frame.
        camera: Mean per frame on which the camera counts.
        esc: Mean per frame.
    """

    total: float
    buttons: float
    camera: float
    esc: float


def camera_counts(buttons: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Frames on which the player moved the camera, so that its label is informative: bool, same shape.

    The inventory class does not count: its recorded camera is always the centre.
    """
    counts: NDArray[np.bool_] = CAMERA_ON[buttons] & (buttons != INVENTORY_INDEX)
    return counts


class Marginals:
    """Predicts the frequency of each action in the training episodes, at every frame.

    Unseen classes share a uniform probability; its weight maximises the leave-one-out likelihood of the
    training actions.
    """

    def __init__(self, episodes: Sequence[Episode]) -> None:
        buttons = np.concatenate([e.actions.buttons for e in episodes])
        camera = np.concatenate([e.actions.camera for e in episodes])[camera_counts(buttons)]
        esc = np.concatenate([e.actions.esc for e in episodes])
        self.buttons = _smoothed(buttons, N_BUTTONS)
        self.camera = _smoothed(camera, N_CAMERA)
        self.esc = float((esc.sum() + 0.5) / (len(esc) + 1))

    def log_probs(self, actions: VPTActions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-probabilities of the player's buttons [n] and camera [n]."""
        return np.log(self.buttons[actions.buttons]), np.log(self.camera[actions.camera])


class RepeatLast:
    """Predicts a mixture of the previous frame's action and the marginals.

    The weight of repetition is fitted on the training episodes, for buttons and camera separately.
    """

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self.marginals = Marginals(episodes)
        self.esc = self.marginals.esc
        self.trust = (0.0, 0.0)
        pairs = [self._pairs(e.actions) for e in episodes]
        buttons, camera = (
            _best_mix(
                np.concatenate([p[k] for p in pairs]), np.concatenate([p[k + 1] for p in pairs])
            )
            for k in (0, 2)
        )
        self.trust = (buttons, camera)

    def _pairs(self, actions: VPTActions) -> tuple[NDArray[np.float64], ...]:
        """For frames with a predecessor: whether the action is repeated, and its marginal probability."""
        repeat_b, repeat_c, has_c = _repeats(actions)
        log_b, log_c = self.marginals.log_probs(actions)
        return repeat_b[1:], np.exp(log_b[1:]), repeat_c[has_c], np.exp(log_c[has_c])

    def log_probs(self, actions: VPTActions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-probabilities of the player's buttons [n] and camera [n]."""
        repeat_b, repeat_c, has_c = _repeats(actions)
        marginal_b, marginal_c = (np.exp(x) for x in self.marginals.log_probs(actions))
        known_b = np.arange(len(repeat_b)) > 0
        mixed = []
        for trust, repeat, marginal, known in (
            (self.trust[0], repeat_b, marginal_b, known_b),
            (self.trust[1], repeat_c, marginal_c, has_c),
        ):
            mixed.append(np.where(known, trust * repeat + (1 - trust) * marginal, marginal))
        return np.log(mixed[0]), np.log(mixed[1])


def baseline_loss(baseline: Marginals | RepeatLast, episodes: Sequence[Episode]) -> ActionLoss:
    """A baseline's loss on episodes, in the same units as a policy's."""
    buttons = camera = esc = 0.0
    frames = camera_frames = 0
    for episode in episodes:
        actions = episode.actions
        log_b, log_c = baseline.log_probs(actions)
        counts = camera_counts(actions.buttons)
        buttons -= float(log_b.sum())
        camera -= float(log_c[counts].sum())
        esc -= float(np.log(np.where(actions.esc, baseline.esc, 1 - baseline.esc)).sum())
        frames += len(actions.buttons)
        camera_frames += int(counts.sum())
    return ActionLoss(
        total=(buttons + camera + esc) / frames,
        buttons=buttons / frames,
        camera=camera / max(camera_frames, 1),
        esc=esc / frames,
    )


def _smoothed(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    n = len(labels)
    if n < 2:
        return np.full(classes, 1 / classes)
    others = (counts[labels] - 1) / (n - 1)
    share = 1 - _best_mix(others, np.full(n, 1 / classes))
    return (1 - share) * counts / n + share / classes


def _best_mix(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """The weight w, from a grid, that maximises the likelihood of the data under w p + (1 - w) q."""
    if not len(p):
        return 0.0
    likelihood: Callable[[float], float] = lambda w: float(np.log(w * p + (1 - w) * q).sum())  # noqa: E731
    return float(max(_GRID, key=likelihood))


def _repeats(
    actions: VPTActions,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Whether buttons [n] and camera [n] equal the previous frame's, and where both cameras count."""
    n = len(actions.buttons)
    repeat_b, repeat_c = np.zeros(n), np.zeros(n)
    repeat_b[1:] = actions.buttons[1:] == actions.buttons[:-1]
    repeat_c[1:] = actions.camera[1:] == actions.camera[:-1]
    counts = camera_counts(actions.buttons)
    has_c = np.zeros(n, dtype=bool)
    has_c[1:] = counts[1:] & counts[:-1]
    return repeat_b, repeat_c, has_c
