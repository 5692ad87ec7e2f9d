"""Concepts: facts of telemetry about each frame, and how well latents and probes detect them.

Every choice (which latent, which few, which weights) is made on training episodes and measured on
held-out ones. Neighbouring frames are near-copies, so intervals resample episodes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from basalt.core.recording import Recording
from basalt.core.tasks import STEPS_PER_SECOND, TASKS
from basalt.core.telemetry import Creature, Telemetry
from basalt.probes.hooks.store import Rows
from basalt.probes.records import ConceptScore, FeatureScore, Interval, StoredEpisode, finite

MIN_FRAMES, MIN_EPISODES = 20, 3
"""Frames and episodes that must show a concept; as many frames must not show it."""

SPARSE = (1, 5, 20)
"""Numbers of latents of the sparse probes."""

NEAR = 24.0
"""Horizontal nodes within which an animal or a villager counts."""
HALF_VIEW = 45.0
"""Degrees to either side of the yaw that count as in view, somewhat inside the edges of the frame."""

Flags = NDArray[np.bool_]
States = Sequence[Telemetry]


def _each(
    test: Callable[[Telemetry], bool], part: str | None = None
) -> Callable[[States, str], Flags | None]:
    """A test of each frame's state; None where the world does not report `part` of it."""

    def flags(states: States, _: str) -> Flags | None:
        if part and any(getattr(s, part) is None for s in states):
            return None
        return np.array([test(s) for s in states[:-1]], dtype=bool)

    return flags


def _fact(name: str) -> Callable[[States, str], Flags | None]:
    holds = _each(lambda s: bool(s.facts.get(name)))
    return lambda states, ended: holds(states, ended) if name in states[0].facts else None


def _moving(states: States, _: str) -> Flags:
    walked = np.array([s.distance_walked for s in states])
    return np.diff(walked) > 0.05


def _turning(states: States, _: str) -> Flags:
    yaw = np.array([s.yaw for s in states])
    return np.abs((np.diff(yaw) + 180) % 360 - 180) > 2


def _about_to_end(states: States, ended: str) -> Flags:
    left = np.arange(len(states) - 1, 0, -1)
    return (left <= 2 * STEPS_PER_SECOND) & (ended == "esc")


def _away(state: Telemetry, creatures: Sequence[Creature] | None) -> NDArray[np.float64]:
    """Positions of creatures relative to the player, [n, 3] in nodes."""
    positions = np.array([one.position for one in creatures or ()], dtype=np.float64)
    return positions.reshape(-1, 3) - (state.xpos, state.ypos, state.zpos)


def _sees_animal(state: Telemetry) -> bool:
    away = _away(state, state.animals)
    bearing = np.degrees(np.arctan2(away[:, 0], away[:, 2])) - state.yaw
    ahead = np.abs((bearing + 180) % 360 - 180) < HALF_VIEW
    return bool((ahead & (np.hypot(away[:, 0], away[:, 2]) < NEAR)).any())


def _by_village(state: Telemetry) -> bool:
    away = _away(state, state.villagers)
    return bool((np.hypot(away[:, 0], away[:, 2]) < NEAR).any())


CONCEPTS: dict[str, Callable[[States, str], Flags | None]] = {
    **{name: _fact(name) for task in TASKS.values() for name in task.concepts},
    "under_roof": _each(lambda s: s.under_roof),
    "dark": _each(lambda s: s.light < 6),
    "under_water": _each(lambda s: s.in_liquid),
    "gui_open": _each(lambda s: s.gui_open),
    "item_held": _each(lambda s: bool(s.held)),
    "animal_in_view": _each(_sees_animal, "animals"),
    "near_village": _each(_by_village, "villagers"),
    "looking_down": _each(lambda s: s.pitch > 30),
    "looking_up": _each(lambda s: s.pitch < -15),
    "moving": _moving,
    "turning": _turning,
    "airborne": _each(lambda s: not s.on_ground and not s.in_liquid),
    "hurt": _each(lambda s: s.health < 20),
    "about_to_press_esc": _about_to_end,
}
"""By name: a function of an episode's states (one more than frames) and of how it ended.

It returns bool [frames], or None if the world does not report what it needs. `about_to_press_esc` is true
in the last two seconds before ESC; `animal_in_view` if an animal is within `NEAR` and `HALF_VIEW`, visible or
not; `near_village` if a villager is within `NEAR`."""


def concept_labels(episodes: Sequence[StoredEpisode], rows: Rows) -> dict[str, Flags]:
    """Labels of each concept, bool [n], without concepts that no world reports.

    Args:
        episodes: Episodes of the store.
        rows: Rows to label.

    Raises:
        RecordingError: a recording is missing or damaged.
    """
    found: dict[str, Flags] = {}
    for number in np.unique(rows.episode):
        of_episode = rows.episode == number
        flags = _episode_flags(episodes[number])
        for name, values in flags.items():
            column = found.setdefault(name, np.zeros(len(rows.episode), dtype=bool))
            frames = rows.frame[of_episode]
            column[of_episode] = np.where(
                frames < len(values), values[np.minimum(frames, len(values) - 1)], False
            )
    return found


def _episode_flags(episode: StoredEpisode) -> dict[str, Flags]:
    parts: dict[str, list[Flags]] = {}
    for stem in episode.recordings:
        recording = Recording.open(stem)
        if recording.meta is None:
            return {}  # BEDD recordings have no telemetry
        states = recording.telemetry()
        if len(states) < 2:
            return {}
        for name, concept in CONCEPTS.items():
            values = concept(states, recording.meta.ended)
            if values is not None:
                parts.setdefault(name, []).append(values)
    return {name: np.concatenate(each) for name, each in parts.items()}


def not_measurable(labels: Mapping[str, Flags], rows: Rows) -> dict[str, str]:
    """By name of a concept that cannot be measured on these rows: the reason."""
    reasons = {}
    for name in CONCEPTS:
        if name not in labels:
            reasons[name] = "the world does not report it"
            continue
        flags = labels[name]
        yes, no = flags.sum(), (~flags).sum()
        episodes = len(np.unique(rows.episode[flags]))
        if min(yes, no) < MIN_FRAMES or episodes < MIN_EPISODES:
            reasons[name] = f"on {yes} of {len(flags)} frames, {episodes} episodes"
    return reasons


def ranks(values: Tensor) -> Tensor:
    """Ranks within each column [n, M], from 1; ties get their mean rank. float32 [n, M]."""
    columns = values.T.contiguous()
    ordered = columns.sort(dim=1).values
    low = torch.searchsorted(ordered, columns)
    high = torch.searchsorted(ordered, columns, right=True)
    return ((low + high + 1) / 2).T


def auc(ranked: Tensor, flags: Tensor) -> Tensor:
    """Area under the ROC curve of each column for each concept.

    Args:
        ranked: `ranks` of the columns [n, M].
        flags: Labels, bool [n, C]; every concept has frames of both kinds.

    Returns:
        float64 [C, M]; 0.5 is chance, below 0.5 the column is lower where the concept holds.
    """
    on = flags.double()
    yes, n = on.sum(0)[:, None], len(flags)
    total = torch.cat([c.double().T @ on for c in ranked.split(64, dim=1)]).T
    return (total - yes * (yes + 1) / 2) / (yes * (n - yes))


def column_auc(values: NDArray[np.floating], flags: Flags) -> float:
    """`auc` of one column; NaN if all labels are equal."""
    if flags.all() or not flags.any():
        return float("nan")
    ranked = ranks(torch.from_numpy(np.ascontiguousarray(values))[:, None])
    return float(auc(ranked, torch.from_numpy(flags)[:, None])[0, 0])


def auc_interval(
    values: NDArray[np.floating], flags: Flags, episode: NDArray[np.int64], draws: int = 200
) -> Interval:
    """95% percentile bootstrap interval of a column's AUC, resampling episodes.

    Args:
        values: Values of the column [n].
        flags: Labels, bool [n].
        episode: Episode of each row, int64 [n].
        draws: Number of bootstrap samples.
    """
    numbers = np.unique(episode)
    if len(numbers) < MIN_EPISODES:
        return None
    rows_of = {number: np.flatnonzero(episode == number) for number in numbers}
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        rows = np.concatenate([rows_of[i] for i in rng.choice(numbers, len(numbers))])
        found.append(column_auc(values[rows], flags[rows]))
    found = [value for value in found if np.isfinite(value)]
    if len(found) < draws / 2:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


class LinearProbe(NamedTuple):
    """Logistic regressions on raw features.

    Attributes:
        weight: Weights, float [d, C].
        bias: Biases [C].
    """

    weight: Tensor
    bias: Tensor

    def scores(self, x: Tensor) -> Tensor:
        """Log-odds of each concept, float32 [n, C]."""
        return x @ self.weight + self.bias


def fit_linear(x: Tensor, flags: Tensor, *, weight_decay: float = 1e-3) -> LinearProbe:
    """Logistic regression of each concept on features, by L-BFGS.

    Args:
        x: Training features [n, d].
        flags: Labels, bool [n, C].
        weight_decay: L2 penalty on standardised features.
    """
    mean, deviation = x.mean(0), x.std(0).clamp(min=1e-6)
    x = (x - mean) / deviation
    target = flags.float()
    weight = torch.zeros(x.shape[1], flags.shape[1], requires_grad=True)
    bias = torch.zeros(flags.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, target, reduction="none")
        total = loss.mean(0).sum() + weight_decay * weight.square().sum()
        total.backward()
        return float(total.detach())

    optimizer.step(closure)
    raw = weight.detach() / deviation[:, None]
    return LinearProbe(raw, bias.detach() - mean @ raw)


class ConceptRows:
    """Sampled rows with labels, on which all autoencoders of a hook point are compared.

    Args:
        episodes: Episodes of the store.
        rows: Sampled rows of each split, `training` and `held_out`.
        seed: Seed of the shuffled labels.
    """

    def __init__(
        self, episodes: Sequence[StoredEpisode], rows: Mapping[str, Rows], seed: int = 0
    ) -> None:
        self.rows = rows
        labels = {split: concept_labels(episodes, each) for split, each in rows.items()}
        self.left_out = not_measurable(labels["held_out"], rows["held_out"])
        self.left_out |= not_measurable(labels["training"], rows["training"])
        self.names = [name for name in CONCEPTS if name not in self.left_out]
        self.flags = {
            split: torch.from_numpy(
                np.stack([found[name] for name in self.names], 1)
                if self.names
                else np.zeros((len(self.rows[split].episode), 0), dtype=bool)
            )
            for split, found in labels.items()
        }
        # Each series of labels is shifted in time: its runs keep their lengths, but no frame predicts them.
        rng = np.random.default_rng(seed)
        self.shuffled = {
            split: flags.roll(int(rng.integers(len(flags) // 4, 3 * len(flags) // 4 + 1)), 0)
            for split, flags in self.flags.items()
        }

    def best_columns(
        self, training: Tensor, held_out: Tensor, *, shuffled: bool = False, signed: bool = True
    ) -> tuple[FeatureScore, ...]:
        """For each concept the column that separates it best on training rows, and its held-out AUC.

        Args:
            training: Features of the training rows [n, M].
            held_out: Features of the held-out rows [m, M].
            shuffled: Whether to use the shuffled labels, as a control.
            signed: Whether only columns that rise with the concept count; a neuron may also fall.
        """
        flags = self.shuffled if shuffled else self.flags
        scores = auc(ranks(training), flags["training"])
        chosen = (scores if signed else (scores - 0.5).abs()).argmax(1)
        found = []
        for c, name in enumerate(self.names):
            column = int(chosen[c])
            sign = 1.0 if signed or scores[c, column] >= 0.5 else -1.0
            values = sign * held_out[:, column].numpy()
            score = self._score(
                name, values, flags["held_out"][:, c].numpy(), interval=not shuffled
            )
            found.append(FeatureScore(**dict(score), column=column))
        return tuple(found)

    def _score(
        self, name: str, values: NDArray[np.floating], flags: Flags, *, interval: bool = True
    ) -> ConceptScore:
        ends = auc_interval(values, flags, self.rows["held_out"].episode) if interval else None
        return ConceptScore(concept=name, auc=finite(column_auc(values, flags)), interval=ends)

    def best_concepts(self, codes: Mapping[str, Tensor]) -> dict[int, ConceptScore]:
        """By column that fires: the concept it separates best on training rows, and its held-out AUC.

        Args:
            codes: Features of both splits.
        """
        chosen = auc(ranks(codes["training"]), self.flags["training"]).argmax(0)
        held_out = auc(ranks(codes["held_out"]), self.flags["held_out"])
        fires = (codes["training"] > 0).any(0)
        return {
            column: ConceptScore(
                concept=self.names[int(chosen[column])],
                auc=finite(float(held_out[chosen[column], column])),
            )
            for column in fires.nonzero()[:, 0].tolist()
        }

    def sparse_probes(
        self, training: Tensor, held_out: Tensor
    ) -> dict[str, dict[str, float | None]]:
        """Held-out AUC, by concept and k, of logistic probes on the k best columns, k in `SPARSE`."""
        scores = (auc(ranks(training), self.flags["training"]) - 0.5).abs()
        found: dict[str, dict[str, float | None]] = {name: {} for name in self.names}
        for c, name in enumerate(self.names):
            order = scores[c].argsort(descending=True)
            for k in SPARSE:
                few = order[:k]
                probe = fit_linear(training[:, few], self.flags["training"][:, [c]])
                column = probe.scores(held_out[:, few])[:, 0]
                flags = self.flags["held_out"][:, c].numpy()
                found[name][str(k)] = finite(column_auc(column.numpy(), flags))
        return found

    def dense_probe(self, training: Tensor, held_out: Tensor) -> tuple[ConceptScore, ...]:
        """Held-out AUC, by concept, of a logistic probe on the whole activation."""
        if not self.names:
            return ()
        scores = fit_linear(training, self.flags["training"]).scores(held_out)
        return tuple(
            self._score(name, scores[:, c].numpy(), self.flags["held_out"][:, c].numpy())
            for c, name in enumerate(self.names)
        )
