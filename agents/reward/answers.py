"""Which answers a reward model learns from, and which it is tested on: split by world, never by pair."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agents.reward.config import RewardConfig
from agents.reward.preference import CODES
from basalt.core.comparisons import Comparison, Side, read_comparisons
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.data.episodes import held_out_groups
from basalt.io.errors import ConfigError

VALIDATION = 0.2
"""Share of the worlds that are not held out on which the best step is chosen."""

MIN_DECIDED = 20
"""Smallest number of decided answers to learn from."""

MIN_HELD_OUT = 10
"""Smallest number of decided answers to test on."""

MIN_PLACES = 5
"""Smallest number of seeds in all answers."""

ONE_SIDED = 0.98
"""Share of decided answers for one side from which the rater cannot have looked."""


def place_of(task: str, side: Side) -> str:
    """World of a clip: its task and seed, as in `basalt.data.episodes.split_group_of`."""
    return f"{task}:{side.seed}"


def decided(answers: Sequence[Comparison]) -> list[Comparison]:
    """The answers that name a winner."""
    return [one for one in answers if one.winner in ("left", "right")]


def read_answers(
    files: Sequence[str], task: str, question: str, sources: Sequence[str] = ()
) -> list[Comparison]:
    """The answers to a question in files, without checks of raters and skipped pairs.

    Args:
        files: Files of comparisons.
        task: Name of the task.
        question: The question; empty for "which did better?".
        sources: Sources that are meant; empty if the files hold one.

    Raises:
        ComparisonError: A file cannot be read.
        ConfigError: There are no such answers, or answers of several sources or worlds.
    """
    everything = [one for file in files for one in read_comparisons(file)]
    of_task = [one for one in everything if one.task == task and not one.is_check]
    asked = [one for one in of_task if one.question == question]
    kinds = sorted({one.source for one in asked})
    found = [one for one in asked if one.winner in CODES and (not sources or one.source in sources)]
    where = ", ".join(files)
    if not found:
        questions = sorted({one.question or "(which did better?)" for one in of_task})
        raise ConfigError(
            f"comparisons: {where} holds no answer about {task} to {question or 'which did better?'!r}"
            + (f" by {', '.join(sources)}" if sources else "")
            + f"; it has the tasks {', '.join(sorted({one.task for one in everything})) or 'none'}, and of this one the "
            f"questions {', '.join(questions) or 'none'}"
        )
    if not sources and len(kinds) > 1:
        raise ConfigError(
            f"comparisons: expected answers of one source, got {', '.join(kinds)}; give sources=[{kinds[0]}], or name all of "
            "them to mix them"
        )
    worlds = sorted({f"{one.world} {one.world_version}" for one in found})
    if len(worlds) > 1:
        raise ConfigError(
            f"comparisons: expected answers about one world and version, got {', '.join(worlds)}; worlds are never mixed"
        )
    return found


@dataclass(frozen=True)
class Split:
    """Answers by their use. Both clips of a pair are on one side, or it is left out.

    Attributes:
        training: Answers to learn from.
        validation: Answers on which the best step is chosen.
        held_out: Answers that the report is about.
        straddling: Number of answers that are left out, since their clips are of worlds on two sides.
    """

    training: tuple[Comparison, ...]
    validation: tuple[Comparison, ...]
    held_out: tuple[Comparison, ...]
    straddling: int

    def places(self, part: str) -> tuple[str, ...]:
        """Worlds of a part, in order."""
        answers: Sequence[Comparison] = getattr(self, part)
        both = {place_of(one.task, side) for one in answers for side in (one.left, one.right)}
        return tuple(sorted(both))


def split_answers(answers: Sequence[Comparison], held_out: float, seed: int) -> Split:
    """Split answers by world: task and seed.

    A model that has seen other clips of an episode knows how good it was. So a split by pair would measure memory.

    Args:
        answers: The answers.
        held_out: Share of the worlds to hold out.
        seed: Seed of the choice.

    Raises:
        ConfigError: There are too few worlds.
    """
    part: dict[str, str] = {}
    everywhere = {place_of(one.task, side) for one in answers for side in (one.left, one.right)}
    if len(everywhere) < MIN_PLACES:
        raise ConfigError(
            f"comparisons: expected answers about at least {MIN_PLACES} seeds, got {len(everywhere)}: a reward model is tested on seeds "
            "that it has not seen; compare episodes on more seeds"
        )
    tested = held_out_groups(everywhere, held_out, seed)
    chosen_on = held_out_groups(everywhere - tested, VALIDATION, seed)
    for place in everywhere:
        name = "held_out" if place in tested else "validation"
        part[place] = name if place in tested | chosen_on else "training"
    found: dict[str, list[Comparison]] = {"training": [], "validation": [], "held_out": []}
    straddling = 0
    for one in answers:
        sides = {part[place_of(one.task, side)] for side in (one.left, one.right)}
        if len(sides) == 1:
            found[sides.pop()].append(one)
        else:
            straddling += 1
    learn, choose, test = (tuple(found[name]) for name in ("training", "validation", "held_out"))
    return Split(learn, choose, test, straddling)


def check_answers(split: Split) -> None:
    """Refuse answers from which nothing can be learned.

    Raises:
        ConfigError: There are too few, or the rater always named the same side.
    """
    learn = decided(split.training)
    wrong = [
        f"{len(found)} {name} (expected {least})"
        for name, found, least in (
            ("to learn from", learn, MIN_DECIDED),
            ("for validation", decided(split.validation), 1),
            ("held out", decided(split.held_out), MIN_HELD_OUT),
        )
        if len(found) < least
    ]
    if wrong:
        raise ConfigError(
            f"comparisons: too few decided answers: {', '.join(wrong)}; {split.straddling} are left out, since their clips are "
            "of worlds on both sides of the split; ask about more pairs, on the same seed where possible"
        )
    if len(places := split.places("training")) < 2:
        raise ConfigError(
            f"comparisons: expected answers about at least 2 seeds to learn from, got {len(places)}; ask about pairs on more "
            "seeds, or use a smaller held_out="
        )
    ((side, count),) = Counter(one.winner for one in learn).most_common(1)
    if count >= ONE_SIDED * len(learn):
        raise ConfigError(
            f"comparisons: {count} of {len(learn)} decided answers name the {side} clip, so the rater did not look; use other "
            "answers (`basalt feedback merge` shows each file's share)"
        )


def load_split(cfg: RewardConfig) -> Split:
    """The answers of a training run.

    Raises:
        BasaltError: The files cannot be used, or hold answers about seeds that are kept for testing.
    """
    task = get_task(cfg.task)
    answers = read_answers(cfg.comparisons, task.name, cfg.question, cfg.sources)
    seeds = (side.seed for one in answers for side in (one.left, one.right))
    refuse_test_seeds(task, seeds, "training a reward model")
    split = split_answers(answers, cfg.held_out, cfg.seed)
    check_answers(split)
    return split
