"""Labels by a synthetic teacher: pairs of clips of recordings, its answers, and what controls make of them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from agents.teachers.labels import FILE, LABELS, LabelSet
from agents.teachers.teacher import TEACHERS, difference_spread
from basalt.core.comparisons import Comparison, Side, Winner, write_comparisons
from basalt.core.controls import clip_brightness, controls
from basalt.core.settings import Natural, Paths, PathText, settings, unknown_option
from basalt.core.tasks import get_task
from basalt.feedback.clips import (
    UNIFORM_SHARE,
    ClipPair,
    ClippedEpisode,
    draw_pairs,
    load_clips,
)
from basalt.feedback.selectors import Selector, require_reward
from basalt.io.claims import make_folder
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError

SPREAD_PAIRS = 2_000
"""Random pairs from which the spread of differences is measured."""

LONGEST_CLIP = 20 * 60 * 10
"""Steps of the longest clip; a viewer of more would not remember how it began."""


@settings
class LabelConfig:
    """A synthetic teacher answers pairs of clips.

    Attributes:
        task: Task of the recordings.
        recordings: Folders of recordings to take clips from, on training or dev seeds, or `sample`.
        n: Number of pairs.
        teacher: Name of the synthetic teacher: oracle, mistake, noisy, equal, skip, myopic or mixed.
        clip: Length of each clip in steps of 50 ms.
        uniform_share: Share of pairs whose clips begin at any step; in the others one or both show an event. At least 0.2.
        selector: Rule that chooses the pairs: uniform, or by a reward model: disagreement, entropy or k_center. It chooses at
            most 80% of them, from ten times as many candidates.
        reward: Run of the reward model that chooses; null with `uniform`.
        round: Round of a loop that asks; null outside a loop.
        seed: Seed of the clips, the pairs and the teacher's errors.
        out: Folder of comparisons.parquet and labels.json.
        progress: Whether to show progress bars.
    """

    task: str
    recordings: Annotated[Paths, Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    teacher: str = "mixed"
    clip: Annotated[int, Field(ge=1, le=LONGEST_CLIP)] = 128
    uniform_share: Annotated[float, Field(ge=UNIFORM_SHARE, le=1)] = 0.5
    selector: Selector = "uniform"
    reward: PathText | None = None
    round: Natural | None = None
    seed: Natural = 0
    out: PathText = "runs/labels/${task.name}/${teacher}"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ConfigError(unknown_option("teacher", self.teacher, list(TEACHERS)))
        require_reward(self.selector, self.reward)


def label(config: LabelConfig) -> LabelSet:
    """Let a synthetic teacher answer pairs of clips; the same settings and recordings give the same answers.

    Raises:
        ConfigError: A seed is kept for testing, the telemetry does not show success, all clips score the same, or the
            folder was made with other settings.
        RecordingError: The recordings cannot be used.
    """
    folder = Path(config.out)
    if (done := _done(folder / FILE, config)) is not None:
        return done
    task, teacher = get_task(config.task), TEACHERS[config.teacher]
    of_clips, of_spread, of_pairs, of_errors, of_choice = (
        np.random.default_rng(one) for one in np.random.SeedSequence(config.seed).spawn(5)
    )
    # About as many clips as the pairs need if the number of episodes is small.
    per_episode = int(np.clip(2 * config.n // 10, 8, 64))
    episodes = load_clips(
        config.recordings, task, config.clip, per_episode, of_clips, progress=config.progress
    )
    random_pairs = draw_pairs(episodes, SPREAD_PAIRS, of_spread, uniform_share=config.uniform_share)
    spread = difference_spread(*_totals(random_pairs))
    pairs = _pairs(config, episodes, of_pairs, of_choice)
    make_folder(folder, "folder of labels")  # only now, so that a failure leaves none
    answers = teacher.answer(
        [one.left.changes for one in pairs],
        [one.right.changes for one in pairs],
        spread,
        of_errors,
    )
    meta = episodes[0].meta
    comparisons = _comparisons(config, episodes[0], pairs, answers)
    brightness = _brightness(episodes, pairs, config.progress)
    made = LabelSet(
        task=task.name,
        world=meta.world,
        world_version=meta.world_version,
        teacher_name=config.teacher,
        teacher=teacher,
        recordings=config.recordings,
        episodes=len(episodes),
        clip=config.clip,
        uniform_share=config.uniform_share,
        selector=config.selector,
        reward=config.reward,
        seed=config.seed,
        spread=spread,
        answers=Counter(answers),
        truth=_truth(pairs, answers),
        controls=tuple(controls(comparisons, brightness)),
    )
    write_comparisons(folder / LABELS, comparisons)
    made.write(folder / FILE)  # last: where it is, the answers are whole
    return made


def _done(file: Path, config: LabelConfig) -> LabelSet | None:
    """The record of an earlier run of the same settings, or None."""
    if not file.is_file():
        return None
    done = LabelSet.read(file)
    wanted = {
        "task": get_task(config.task).name,
        "teacher_name": config.teacher,
        "teacher": TEACHERS[config.teacher],
        "recordings": config.recordings,
        "clip": config.clip,
        "uniform_share": config.uniform_share,
        "selector": config.selector,
        "reward": config.reward,
        "seed": config.seed,
    }
    found = {name: getattr(done, name) for name in wanted}
    found["n"], wanted["n"] = sum(done.answers.values()), config.n
    for name, value in wanted.items():
        if found[name] != value:
            raise ConfigError(
                f"{file}: these labels were made with {name}={found[name]!r}, not {value!r}; use another out=FOLDER"
            )
    return done


def _pairs(
    config: LabelConfig,
    episodes: Sequence[ClippedEpisode],
    draws: np.random.Generator,
    choice: np.random.Generator,
) -> list[ClipPair]:
    """The pairs to answer, drawn, or chosen by a reward model."""
    if config.reward is None:
        return draw_pairs(episodes, config.n, draws, uniform_share=config.uniform_share)
    from basalt.feedback.choose import CANDIDATES, choose  # here, since it needs torch

    candidates = draw_pairs(
        episodes, CANDIDATES * config.n, draws, uniform_share=config.uniform_share
    )
    return choose(
        candidates, config.n, config.selector, config.reward, config.recordings, episodes[0].meta, choice,
        progress=config.progress,
    )  # fmt: skip


def _totals(pairs: Sequence[ClipPair]) -> tuple[list[float], list[float]]:
    return (
        [float(one.left.changes.sum()) for one in pairs],
        [float(one.right.changes.sum()) for one in pairs],
    )


def _truth(pairs: Sequence[ClipPair], answers: Sequence[Winner]) -> float | None:
    left, right = map(np.array, _totals(pairs))
    counts = (left != right) & np.isin(answers, ["left", "right"])
    right_answers = (np.array(answers) == "left") == (left > right)
    return float(right_answers[counts].mean()) if counts.any() else None


def _comparisons(
    config: LabelConfig, first: ClippedEpisode, pairs: Sequence[ClipPair], answers: Sequence[Winner]
) -> list[Comparison]:
    now, meta = datetime.now(UTC), first.meta
    who = f"synthetic {config.teacher}"
    found = []
    for number, (pair, winner) in enumerate(zip(pairs, answers, strict=True)):
        left, right = pair.left.side, pair.right.side
        key = f"{who}/{config.seed}/{number}/{left}/{right}"
        one = Comparison(
            comparison_id=sha256(key.encode()).hexdigest()[:32],
            study=who,
            task=meta.task,
            world=meta.world,
            world_version=meta.world_version,
            seed=left.seed,
            left_agent=left.agent,
            right_agent=right.agent,
            left_episode=left.episode,
            right_episode=right.episode,
            winner=winner,
            source="synthetic",
            created=now,
            rater=who,
            round=config.round,
            selector=pair.kind,
            selection_probability=pair.chance,
        )
        found.append(one.with_sides(left, right))
    return found


def _brightness(
    episodes: Sequence[ClippedEpisode], pairs: Sequence[ClipPair], progress: bool
) -> dict[Side, float]:
    clips: dict[str, set[Side]] = defaultdict(set)
    for pair in pairs:
        for clip in (pair.left, pair.right):
            clips[clip.side.episode].add(clip.side)
    found: dict[Side, float] = {}
    bar = progress_bar(episodes, title="brightness", unit="episode", shown=progress)
    for one in bar:
        if wanted := clips.get(one.meta.video_sha256):
            found |= clip_brightness(one.recording.video_path, list(wanted))
    return found
