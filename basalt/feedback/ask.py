"""Pairs of clips for people: drawn from recordings, chosen by a rule, cut to videos and put into a study's queue."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from basalt.core.comparisons import Side, read_comparisons
from basalt.core.recording import sha256_of
from basalt.core.settings import Natural, Paths, PathText, settings
from basalt.core.tasks import Task, get_task
from basalt.core.video import FrameSize, VideoWriter, read_frames
from basalt.feedback.clips import UNIFORM_SHARE, ClipPair, ClippedEpisode, draw_pairs, load_clips
from basalt.feedback.selectors import Selector, require_reward
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError, StudyError
from leaderboard.judging.clip_queue import (
    CLIP_SETTINGS,
    Question,
    add_clips,
    add_questions,
    known_clips,
    queue_state,
)
from leaderboard.store.database import Store, default_store, open_store
from leaderboard.store.models import CLIPS
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, clip_study, create_study, find_study, list_studies
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import staging_folder

LONGEST_CLIP = 20 * 60
"""Steps of the longest clip that people are shown, a minute."""

CRF = 26
"""Quality of a clip's video: a little below that of recordings, so that two of them load at once."""

DRAWS = 10
"""Times that pairs are drawn until there are enough different ones."""


@settings
class AskConfig:
    """Put pairs of clips into the queue of a study; people answer them on the page Compare clips of `basalt ui`.

    Attributes:
        task: Task of the recordings.
        recordings: Folders of recordings to take clips from, on training or dev seeds, or `sample`.
        n: Number of pairs.
        clip: Length of each clip in steps of 50 ms.
        uniform_share: Share of pairs whose clips begin at any step, the part to test on. At least 0.2.
        selector: Rule that chooses the other pairs: uniform (any that show an event), or by a reward model: disagreement,
            entropy or k_center, from ten times as many.
        reward: Run of the reward model that chooses; null with `uniform`.
        gold: File of comparisons of clips of these recordings with known answers, to check raters by.
        round: Round of a loop that asks; null outside a loop.
        study: Name of the study, which is made if it does not exist; by default the task's name and `clips`.
        store: The leaderboard, a file or a database URL; null for the default one.
        seed: Seed of the clips and the pairs.
        progress: Whether to show progress bars.
    """

    task: str
    recordings: Annotated[Paths, Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=100_000)] = 200
    clip: Annotated[int, Field(ge=2, le=LONGEST_CLIP)] = 128
    uniform_share: Annotated[float, Field(ge=UNIFORM_SHARE, le=1)] = 0.5
    selector: Selector = "uniform"
    reward: PathText | None = None
    gold: PathText | None = None
    round: Natural | None = None
    study: str | None = None
    store: str | None = None
    seed: Natural = 0
    progress: bool = True

    def __post_init__(self) -> None:
        require_reward(self.selector, self.reward)


@dataclass(frozen=True)
class Asked:
    """What was put into a queue.

    Attributes:
        study: Name of the study.
        store: Where it is.
        wanted: Number of pairs that were wanted.
        pairs: Number of new pairs by the rule that chose them.
        gold: Number of new gold pairs.
        missing: Number of all pairs in the queue that nobody has answered yet.
    """

    study: str
    store: str
    wanted: int
    pairs: Mapping[str, int]
    gold: int
    missing: int

    def lines(self) -> list[str]:
        """The result in lines of text."""
        added = sum(self.pairs.values())
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.pairs.items()))
        lines = [
            f"{added} new pairs in study {self.study!r} of {self.store}: {kinds or 'none'}; {self.gold} gold pairs",
            f"{self.missing} pairs wait for an answer; people answer them on the page Compare clips of `basalt ui`",
        ]
        if added < self.wanted:
            lines.insert(
                1,
                f"{self.wanted - added} pairs fewer than n={self.wanted}: the others were asked before, or these "
                "recordings have no more; use another seed= or more recordings",
            )
        return lines


def ask(config: AskConfig) -> Asked:
    """Put pairs of clips into a study's queue. A command that was stopped resumes where it was.

    Raises:
        ConfigError: A seed is kept for testing, or the reward model cannot be used.
        RecordingError: The recordings cannot be used.
        ComparisonError: The file of gold pairs cannot be read.
        StudyError: The study compares episodes, or clips of another task or world.
    """
    task = get_task(config.task)
    of_clips, of_pairs, of_choice = (
        np.random.default_rng(one)
        for one in np.random.SeedSequence([config.seed, config.round or 0]).spawn(3)
    )
    per_episode = int(np.clip(2 * config.n // 10, 8, 64))
    episodes = load_clips(
        config.recordings,
        task,
        config.clip,
        per_episode,
        of_clips,
        scored=False,
        progress=config.progress,
    )
    gold = _gold(config.gold, task, episodes) if config.gold else []
    pairs = _pairs(config, episodes, of_pairs, of_choice)
    questions = [
        Question(task.name, one.left.side, one.right.side, one.kind, one.chance, config.round)
        for one in pairs
    ]
    name = config.study or f"{task.name} clips"
    with closing(open_store(config.store or default_store())) as store:
        study = _study(store, name, task, episodes) or _new_study(store, name, task, episodes)
        clips = {side for one in (*questions, *gold) for side in (one.first, one.second)}
        _cut_clips(store, study, episodes, clips, config.progress)
        new_gold = add_questions(store, study, gold)
        added = add_questions(store, study, questions)
        return Asked(
            study.name,
            store.url.removeprefix("sqlite:///"),
            config.n,
            Counter(str(one.selector) for one in added),
            len(new_gold),
            queue_state(store, study).missing,
        )


def _gold(file: str, task: Task, episodes: Sequence[ClippedEpisode]) -> list[Question]:
    """Gold questions from a file of comparisons: `gold` where a row has it, else its winner."""
    metas = {one.meta.video_sha256: one.meta for one in episodes}
    found = []
    for number, one in enumerate(read_comparisons(file), start=1):
        where = f"gold: {file}, row {number}"
        answer = one.gold or one.winner
        if answer not in ("left", "right", "draw"):
            raise ConfigError(f"{where}: expected left, right or draw, got {answer}")
        if one.task != task.name:
            raise ConfigError(f"{where}: expected the task {task.name}, got {one.task}")
        if one.left.episode == one.right.episode:
            raise ConfigError(f"{where}: expected clips of two episodes, got two of one")
        sides = []
        for side in (one.left, one.right):
            if side.start is None or side.stop is None:
                raise ConfigError(f"{where}: expected clips, got whole episodes")
            meta = metas.get(side.episode)
            if meta is None or side.stop > meta.steps:
                raise ConfigError(
                    f"{where}: expected clips of episodes in recordings=, got steps {side.start} to {side.stop} "
                    f"of episode {side.episode[:12]}"
                )
            # As these recordings name the player, so that a clip is known by one name.
            sides.append(Side(meta.player, meta.seed, side.episode, side.start, side.stop))
        found.append(Question(task.name, sides[0], sides[1], gold=answer))
    return found


def _study(
    store: Store, name: str, task: Task, episodes: Sequence[ClippedEpisode]
) -> StudyInfo | None:
    """The study of that name, if it asks about clips of this task and world; None if it does not exist.

    Raises:
        StudyError: It compares episodes, or clips of another task or world.
    """
    if name not in {one.name for one in list_studies(store)}:
        return None
    study, meta = find_study(store, name), episodes[0].meta
    if not study.rules.clips:
        raise StudyError(f"study {name!r} compares episodes; name another one with study=")
    found = (*study.rules.tasks, study.rules.world, study.rules.version_text)
    if found != (wanted := (task.name, meta.world, meta.world_version)):
        raise StudyError(
            f"study {name!r} asks about clips of {' '.join(found)}, these are of {' '.join(wanted)}; "
            "name another one with study="
        )
    return study


def _new_study(
    store: Store, name: str, task: Task, episodes: Sequence[ClippedEpisode]
) -> StudyInfo:
    metas = [one.meta for one in episodes]
    rules = clip_study(
        task.name,
        [meta.seed for meta in metas],
        max(meta.step_limit for meta in metas),
        metas[0].world,
        metas[0].world_version,
    )
    study = create_study(store, name, rules)
    change_settings(store, study, command_line_admin(), **CLIP_SETTINGS.model_dump())
    return study


# ---- which pairs ----


def _pairs(
    config: AskConfig,
    episodes: Sequence[ClippedEpisode],
    draws: np.random.Generator,
    choice: np.random.Generator,
) -> list[ClipPair]:
    """Pairs of uniform clips to test on, and pairs that the rule chose, in the order of asking."""
    seen: set[frozenset[Side]] = set()
    drawn = _different(episodes, config.n, config.uniform_share, seen, draws)
    uniform = [one for one in drawn if one.kind == "uniform"]
    wanted = len(drawn) - len(uniform)
    if config.reward is None or not wanted:
        return drawn
    from basalt.feedback.choose import CANDIDATES, choose  # here, since it needs torch

    chosen = choose(
        _different(episodes, CANDIDATES * wanted, 0.5, seen, draws), wanted, config.selector, config.reward,
        config.recordings, episodes[0].meta, choice, progress=config.progress,
    )  # fmt: skip
    every = [*uniform, *chosen]
    return [every[n] for n in choice.permutation(len(every))]


def _different(
    episodes: Sequence[ClippedEpisode],
    count: int,
    uniform_share: float,
    seen: set[frozenset[Side]],
    rng: np.random.Generator,
) -> list[ClipPair]:
    """Up to `count` pairs of clips in random order, none of them seen before; they are added to `seen`."""
    uniform = int(np.ceil(max(uniform_share, UNIFORM_SHARE) * count))
    left = {"uniform": uniform, "event": count - uniform}
    found = []
    for _ in range(DRAWS):
        for one in draw_pairs(episodes, count, rng, uniform_share=uniform_share):
            pair = frozenset((one.left.side, one.right.side))
            if left[one.kind] and pair not in seen:
                seen.add(pair)
                left[one.kind] -= 1
                found.append(one)
        if not sum(left.values()):
            break
    return [found[n] for n in rng.permutation(len(found))]


# ---- videos ----


def _by_episode(
    episodes: Sequence[ClippedEpisode], clips: Iterable[Side]
) -> list[tuple[ClippedEpisode, list[Side]]]:
    """Each episode that clips were taken from, with them in order of time."""
    of: dict[str, list[Side]] = defaultdict(list)
    for side in clips:
        of[side.episode].append(side)
    return [
        (one, sorted(of[one.meta.video_sha256], key=lambda side: side.start or 0))
        for one in episodes
        if one.meta.video_sha256 in of
    ]


def _cut_clips(
    store: Store,
    study: StudyInfo,
    episodes: Sequence[ClippedEpisode],
    clips: Iterable[Side],
    progress: bool,
) -> None:
    """Cut the clips that the study has no video of, and add them, an episode at a time."""
    present = {
        side
        for side, name in known_clips(store, study).items()
        if store.remote is not None or (store.media / name).is_file()
    }
    missing = _by_episode(episodes, set(clips) - present)
    for one, sides in progress_bar(missing, title="cut", unit="episode", shown=progress):
        videos = {side: _cut(store, one.recording.video_path, side) for side in sides}
        add_clips(store, study, videos)


def _cut(store: Store, source: Path, side: Side) -> str:
    """Cut a clip into the media folder, under the SHA-256 of its video, which is returned."""
    staging = staging_folder(store)
    staging.mkdir(parents=True)
    cut = staging / "clip.mp4"
    try:
        writer: VideoWriter | None = None
        for frame in read_frames(source, side.start or 0, side.stop):
            if writer is None:
                height, width = frame.shape[:2]
                writer = VideoWriter(cut, FrameSize(width=width, height=height), crf=CRF)
            writer.write(frame)
        if writer is not None:
            writer.close()
        sha256 = sha256_of(cut)
        name = f"{CLIPS}/{sha256}.mp4"
        if store.remote is not None:
            store.remote.put(cut, name)
        (store.media / CLIPS).mkdir(exist_ok=True)
        cut.replace(store.media / name)
        return sha256
    finally:
        cut.unlink(missing_ok=True)
        staging.rmdir()
