"""Which answers an agent learns from, and their clips: by world on one side of a split, and as tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.common.latents import EpisodeLatents, spread_steps
from agents.preferences.likelihood import Actions
from agents.reward.answers import decided, place_of, read_answers
from basalt.core.comparisons import Comparison, Side
from basalt.core.tasks import Task, refuse_test_seeds
from basalt.data.baselines import camera_counts
from basalt.data.embeddings import open_shard
from basalt.data.episodes import held_out_groups
from basalt.io.errors import ConfigError


def winners_and_draws(
    task: Task, files: Sequence[str], question: str, sources: Sequence[str], what: str
) -> list[Comparison]:
    """The answers to a question that rank two clips, one winner at least, on seeds that may be learned from.

    Args:
        task: The task.
        files: Files of comparisons.
        question: The question; empty for "which did better?".
        sources: Sources that are meant; empty if the files hold one.
        what: What learns from them, for messages.

    Raises:
        BasaltError: A file cannot be read, no answer names a winner, or a seed is kept for testing.
    """
    answers = [one for one in read_answers(files, task.name, question, sources) if one.decisive]
    if not decided(answers):
        raise ConfigError("comparisons: expected answers that name a winner, got none; ask about more pairs")  # fmt: skip
    refuse_test_seeds(task, (side.seed for one in answers for side in sides_of(one)), what)
    return answers


def sides_of(one: Comparison) -> tuple[Side, Side]:
    """Both sides of an answer, the winner first; of a draw, left and right."""
    return (one.right, one.left) if one.winner == "right" else (one.left, one.right)


@dataclass(frozen=True)
class AnswerSplit:
    """Answers by their use. Both clips of a pair are on one side, or it is left out.

    Attributes:
        training: Answers to learn from.
        held_out: Answers that the report is about.
        straddling: Number of answers that are left out, since their clips are of worlds on two sides.
        train_places: Worlds (task and seed) that are learned from.
        held_out_places: Worlds that are held out.
    """

    training: tuple[Comparison, ...]
    held_out: tuple[Comparison, ...]
    straddling: int
    train_places: tuple[str, ...]
    held_out_places: tuple[str, ...]

    @classmethod
    def of(cls, answers: Sequence[Comparison], held_out: float, seed: int) -> "AnswerSplit":
        """Split answers by world.

        Raises:
            ConfigError: No answer that names a winner is left to learn from.
        """
        places = {place_of(one.task, side) for one in answers for side in sides_of(one)}
        tested = held_out_groups(places, held_out, seed)
        parts: dict[int, list[Comparison]] = {0: [], 1: [], 2: []}
        for one in answers:
            parts[sum(place_of(one.task, side) in tested for side in sides_of(one))].append(one)
        if not decided(parts[0]):
            raise ConfigError(
                f"held_out: expected answers that name a winner about the {len(places) - len(tested)} worlds to learn from, got "
                f"none of {len(answers)}; ask about more pairs, on the same seed where possible, or use held_out=0"
            )
        return cls(
            tuple(parts[0]),
            tuple(parts[2]),
            len(parts[1]),
            tuple(sorted(places - tested)),
            tuple(sorted(tested)),
        )


class Pairs(NamedTuple):
    """Answered pairs of clips, n of each.

    Attributes:
        winner: Number of the winning clip, int64 [n]; of a draw, that of the left one.
        loser: Number of the losing clip, int64 [n].
        draw: Whether it is a draw, bool [n].
    """

    winner: Tensor
    loser: Tensor
    draw: Tensor

    def __len__(self) -> int:
        return len(self.winner)

    def at(self, which: Tensor) -> "Pairs":
        """Some of the pairs, by number."""
        return Pairs(*(one[which] for one in self))


class Clips:
    """The clips of answers, each once: where they are, and what was done in them.

    Args:
        answers: The answers.
        episodes: Latents of the episodes by the SHA-256 of their videos.
        limit: Largest number of steps of a clip that are read, spread evenly.

    Attributes:
        sides: The clips, in order.
        steps: Steps of each clip that are read.
        actions: What was done at them.
    """

    def __init__(
        self, answers: Sequence[Comparison], episodes: Mapping[str, EpisodeLatents], limit: int
    ) -> None:
        found = {side for one in answers for side in sides_of(one)}
        self.sides = sorted(found, key=lambda one: (one.episode, one.start or 0, one.stop or 0))
        self._number = {side: number for number, side in enumerate(self.sides)}
        self._episodes = episodes
        self.steps = [
            spread_steps(
                side.start or 0,
                episodes[side.episode].meta.steps if side.stop is None else side.stop,
                limit,
            )
            for side in self.sides
        ]
        longest = max(map(len, self.steps))
        self._rows = np.stack([np.pad(one, (0, longest - len(one)), "edge") for one in self.steps])
        lengths = np.array([len(one) for one in self.steps])
        labels = {
            name: [
                one.numpy() for one in open_shard(each.shard).read(("buttons", "camera")).values()
            ]
            for name, each in episodes.items()
        }
        buttons, camera = (
            np.stack(
                [
                    labels[side.episode][column][rows]
                    for side, rows in zip(self.sides, self._rows, strict=True)
                ]
            ).astype(np.int64)
            for column in range(2)
        )
        self.actions = Actions(
            torch.from_numpy(buttons),
            torch.from_numpy(camera),
            torch.from_numpy(camera_counts(buttons)),
            torch.from_numpy(np.arange(longest)[None] < lengths[:, None]),
        )

    def __len__(self) -> int:
        return len(self.sides)

    def pairs(self, answers: Sequence[Comparison]) -> Pairs:
        """The pairs that were answered."""
        numbers = torch.tensor([[self._number[side] for side in sides_of(one)] for one in answers])
        numbers = numbers.reshape(-1, 2)
        draw = torch.tensor([one.winner == "draw" for one in answers], dtype=torch.bool)
        return Pairs(numbers[:, 0], numbers[:, 1], draw)

    def latents(self) -> Tensor:
        """Latents at the steps that are read, float16 [clips, T, width]."""
        return torch.from_numpy(
            np.stack(
                [
                    self._episodes[side.episode].values[rows]
                    for side, rows in zip(self.sides, self._rows, strict=True)
                ]
            )
        )
