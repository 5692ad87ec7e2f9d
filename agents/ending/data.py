"""What the stopping head learns from: frames of recordings, with whether ESC would be a success at each."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.ending.config import EndingConfig
from basalt.core.scoring import can_score
from basalt.core.tasks import Task, get_task
from basalt.core.telemetry import Telemetry
from basalt.data.episodes import Episode, load_episodes, split_episodes
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.policies.ending import EndingInputs, EndingNet

AT_ONCE = 128
"""Number of an episode's frames that are in memory at once."""

LABEL_EVERY = 4
"""Number of steps for which one look at the outcome counts; looking costs as much as the episode is long."""


@dataclass(frozen=True)
class LabelledEpisode:
    """An episode with the head's labels.

    Attributes:
        episode: The episode; all n frames of its play are used.
        done: bool [n], ESC at this frame would be a success.
        screen: bool [n], a screen is open.
        latents: float16 [n, hidsize], the trunk's latents; None where the head reads frames.
    """

    episode: Episode
    done: NDArray[np.bool_]
    screen: NDArray[np.bool_]
    latents: NDArray[np.float16] | None = None

    def frames(self, which: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Frames by number, uint8 [n, height, width, 3]."""
        out = np.empty((len(which), *self.episode.source.shape), np.uint8)
        with closing(self.episode.source.open()) as reader:
            reader.read_into(out, which)
        return out

    def inputs(self, which: NDArray[np.integer]) -> NDArray[Any]:
        """What the head reads at frames by number, [n, ...]."""
        return self.frames(which) if self.latents is None else self.latents[which]


def with_latents(one: LabelledEpisode, net: EndingNet) -> LabelledEpisode:
    """The episode with its latents, where the head has a trunk."""
    if net.trunk is None:
        return one
    inputs, parts = EndingInputs(net), []
    for start in range(0, len(one.done), AT_ONCE):
        which = np.arange(start, min(start + AT_ONCE, len(one.done)))
        parts.append(inputs.of(one.frames(which)[None], (which == 0)[None])[0])
    return replace(one, latents=np.concatenate(parts).astype(np.float16))


def success_if_ended(task: Task, states: Sequence[Telemetry]) -> NDArray[np.bool_]:
    """Whether the episode would be a success by telemetry if ESC was pressed in each state: bool [n]."""
    assert task.success is not None
    looks = [
        task.success.outcome(states[: t + 1], "esc").success
        for t in range(0, len(states), LABEL_EVERY)
    ]
    return np.repeat(looks, LABEL_EVERY)[: len(states)].astype(bool)


def label(episode: Episode, task: Task) -> LabelledEpisode:
    """Label an episode by its telemetry.

    Raises:
        ConfigError: Its recording has no telemetry that shows success.
    """
    recordings = episode.recordings
    states = recordings[0].telemetry() if len(recordings) == 1 else ()
    if not can_score(task, states):
        raise ConfigError(
            f"data: expected recordings whose telemetry shows success at {task.name}, got {episode.name}; use those of "
            "basalt record or basalt rollout"
        )
    # Frames that an expert did not label count too, so these are the frames of the play and not the used ones.
    states = states[:-1]
    screen = np.array([state.gui_open for state in states], dtype=bool)
    return LabelledEpisode(episode, success_if_ended(task, states) & ~screen, screen)


def load_labelled(
    cfg: EndingConfig, net: EndingNet
) -> tuple[list[LabelledEpisode], list[LabelledEpisode]]:
    """Training and held-out episodes; no world is on both sides.

    Args:
        cfg: Settings of the training run.
        net: The head; frames are scaled to its size.

    Raises:
        BasaltError: The recordings cannot be used.
    """
    task = get_task(cfg.task)
    if task.success is None:
        raise ConfigError(
            f"task: {task.name} has no success by telemetry, from which to learn when to end"
        )
    folders = (cfg.data, *cfg.rollouts)
    episodes = load_episodes(folders, task=task, size=net.config.frame_size, cache_gb=cfg.cache_gb)
    training, held_out = (
        [label(episode, task) for episode in side]
        for side in split_episodes(episodes, cfg.held_out, cfg.seed)
    )
    for name, side in (("training", training), ("held-out", held_out)):
        done = sum(int(one.done.sum()) for one in side)
        if not done or done == sum(len(one.done) for one in side):
            raise ConfigError(
                f"data: expected {name} frames in which ESC would succeed and others in which it would not, got "
                f"{done} of {sum(len(one.done) for one in side)}; add demonstrations, or rollouts=[FOLDER]"
            )
    training, held_out = (
        [
            with_latents(one, net)
            for one in progress_bar(side, title="latents", unit="episode", shown=bool(cfg.trunk))
        ]
        for side in (training, held_out)
    )
    return training, held_out


class BalancedFrames:
    """Batches with as many frames of each kind: done, not done and, where there are any, a screen open.

    A batch depends on the seed and its number only, so that a resumed run reads the same ones.

    Args:
        episodes: Training episodes.
        batch_size: Number of frames of a batch.
        seed: Seed of the order.
    """

    def __init__(self, episodes: Sequence[LabelledEpisode], batch_size: int, seed: int) -> None:
        self._episodes, self._size, self._seed = list(episodes), batch_size, seed
        done, screen = (
            np.concatenate([getattr(one, name) for one in episodes]) for name in ("done", "screen")
        )
        self._starts = np.cumsum([0, *(len(one.done) for one in episodes)])
        self._done, self._screen = done, screen
        kinds = (np.flatnonzero(done), np.flatnonzero(~done & ~screen), np.flatnonzero(screen))
        self._kinds = [kind for kind in kinds if len(kind)]

    def batch(self, number: int) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        """Inputs of the head [n, ...], `done` and `screen` bool [n] of a batch."""
        rng = np.random.default_rng([self._seed, number])
        share = self._size // len(self._kinds)
        rows = np.sort(np.concatenate([rng.choice(kind, share) for kind in self._kinds]))
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        inputs = np.concatenate(
            [
                self._episodes[index].inputs(rows[owner == index] - self._starts[index])
                for index in np.unique(owner)
            ]
        )
        return inputs, self._done[rows], self._screen[rows]
