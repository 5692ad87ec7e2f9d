"""Test a finished reward model on other answers: later rounds, whole episodes, other raters."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from agents.common.latents import load_latents
from agents.reward.answers import decided, place_of, read_answers
from agents.reward.frames import Frames
from agents.reward.report import Evaluator, HeldOutMetrics, known_ceiling, table
from agents.reward.saved import open_reward
from agents.reward.train import check_episodes
from basalt.core.settings import Count, Paths, PathText, settings
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device


@settings
class EvaluateConfig:
    """Test a reward model on answers that it was not trained on.

    Attributes:
        reward: Run of `basalt train agent=reward`.
        comparisons: Files of answers. Those about worlds that the model was trained on are left out.
        recordings: Folders of the recordings that were compared, or `sample`.
        question: Question whose answers are meant; null for the one that the model learned.
        sources: Sources of answers that are meant; needed where a file holds several.
        frames: Largest number of steps of a clip that are read, spread evenly.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show progress bars.
    """

    reward: PathText
    comparisons: Annotated[Paths, Field(min_length=1)]
    recordings: Annotated[Paths, Field(min_length=1)]
    question: str | None = None
    sources: tuple[str, ...] = ()
    frames: Count = 128
    device: str = "auto"
    progress: bool = True


@dataclass(frozen=True)
class Evaluated:
    """A test of a reward model.

    Attributes:
        left_out: Number of answers about worlds that it was trained on.
        everything: Test on all other answers.
        uniform: Test on those about uniform pairs; None if there are no others, or no such ones.
        ceiling: Largest accuracy that a model can reach; None if not known.
        ceiling_of: Where that is known from.
    """

    left_out: int
    everything: HeldOutMetrics
    uniform: HeldOutMetrics | None
    ceiling: float | None
    ceiling_of: str

    def lines(self) -> list[str]:
        """The test as a table."""
        ceiling = "not known" if self.ceiling is None else f"{self.ceiling:.1%}"
        return [
            f"{self.left_out} answers are left out, since the model was trained on their worlds",
            *table(self.everything, self.uniform, "reward model"),
            f"{'ceiling':<24}  {ceiling} ({self.ceiling_of})",
            f"loss {self.everything.loss:.3f} nats (even odds: 0.693), calibration error "
            f"{self.everything.calibration_error:.3f}, temperature {self.everything.temperature:.2f}",
        ]


def evaluate(config: EvaluateConfig) -> Evaluated:
    """Test a reward model.

    Raises:
        BasaltError: The run, the answers or the recordings cannot be used, or no decided answer is left.
    """
    model, info = open_reward(config.reward, choose_device(config.device))
    question = info.question if config.question is None else config.question
    found = read_answers(config.comparisons, info.task, question, config.sources)
    known = set(info.train_places)
    answers = [
        one
        for one in found
        if not known & {place_of(one.task, side) for side in (one.left, one.right)}
    ]
    if not decided(answers):
        raise ConfigError(
            f"comparisons: expected decided answers about worlds that the model was not trained on, got none of {len(found)}; "
            "use answers about other seeds"
        )
    wanted = {side.episode for one in answers for side in (one.left, one.right)}
    episodes, _ = load_latents(
        config.recordings,
        info.trunk,
        wanted=wanted,
        expected=info.trunk_fingerprint,
        device=config.device,
        progress=config.progress,
    )
    check_episodes(answers, episodes)
    frames = Frames(episodes, config.frames)
    frames.project(model)
    evaluator = Evaluator(
        model, frames, episodes, flip_rate=info.flip_rate, learned=None, progress=config.progress
    )
    everything, uniform = evaluator.both(answers)
    ceiling, source = known_ceiling(config.comparisons, found)
    return Evaluated(len(found) - len(answers), everything, uniform, ceiling, source)
