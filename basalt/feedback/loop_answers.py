"""The answers of a round of a loop: by a synthetic teacher, or by people as they come; and which of them nothing can be learned from."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from agents.reward.answers import ONE_SIDED, decided
from agents.teachers.labels import LABELS
from basalt.core.comparisons import Comparison, read_comparisons, write_comparisons
from basalt.core.records import Record
from basalt.core.reliability import Proportion, reliability
from basalt.feedback.label import LabelConfig, label
from basalt.feedback.loop_config import PEOPLE, LoopConfig
from basalt.feedback.selectors import Selector
from basalt.io.console import note
from basalt.io.errors import ConfigError

if TYPE_CHECKING:
    from leaderboard.judging.clip_answers import NewAnswers
    from leaderboard.store.database import Store
    from leaderboard.studies.rules import StudyInfo

COLLECTED, ASKING = "answers.json", "asking.json"
"""Names in a round's folder: the records `Collected` and `Asking`."""

CONTRADICTORY = 0.6
"""Share of equal answers to the same pair below which raters contradict themselves or each other."""

MIN_REPEATED = 10
"""Smallest number of pairs answered twice from which that is said."""

Watch = Callable[[str], None]
"""Takes what the loop is waiting for, in words."""


class Collected(Record):
    """People's answers of a round: `answers.json`. Where it is, the file of answers beside it is whole and stays as it is.

    Attributes:
        cursor: Where the next round continues; see `leaderboard.judging.clip_answers.answers_since`.
        late: Number of the answers that are about earlier rounds.
    """

    FORMAT: ClassVar[str] = "basalt-loop-answers"

    cursor: int
    late: int


class Asking(Record):
    """When people were asked: `asking.json`, so that a deadline holds across restarts.

    Attributes:
        since: Time at which the pairs were in the queue.
    """

    FORMAT: ClassVar[str] = "basalt-loop-asking"

    since: datetime


def answers_of_round(
    cfg: LoopConfig,
    number: int,
    folder: Path,
    recordings: Sequence[str],
    reward: str | None,
    cursor: int,
    watch: Watch,
) -> tuple[str, int]:
    """Ask about pairs of clips, and wait for the answers if people give them. Repeated, it gives the same answers.

    Args:
        cfg: Settings of the loop.
        number: Number of the round.
        folder: Folder of the round.
        recordings: Folders of the round's recordings.
        reward: Run of the last round's reward model; None in round 1.
        cursor: Cursor of the last round's answers, 0 in round 1.
        watch: Called with what is waited for.

    Returns:
        The file of answers, and the cursor for the next round.
    """
    selector: Selector = cfg.selector if reward is not None else "uniform"
    reward = reward if selector != "uniform" else None
    if cfg.teacher != PEOPLE:
        label(
            LabelConfig(
                task=cfg.task, recordings=tuple(recordings), n=cfg.answers, teacher=cfg.teacher, clip=cfg.clip,
                selector=selector, reward=reward, round=number, seed=cfg.seed + number, out=str(folder / "labels"),
                progress=cfg.progress,
            )
        )  # fmt: skip
        return str(folder / "labels" / LABELS), 0
    file, done = folder / "answers.parquet", folder / COLLECTED
    if done.is_file():
        return str(file), Collected.read(done).cursor
    found = _from_people(cfg, number, folder, recordings, selector, reward, cursor, watch)
    write_comparisons(file, found.comparisons)
    late = sum(one.round != number for one in found.comparisons)
    Collected(cursor=found.cursor, late=late).write(done)
    if late:
        note(
            f"round {number}: {late} answers are about earlier rounds; they came too late for those"
        )
    return str(file), found.cursor


def check_answers(files: Sequence[str], least: int) -> list[Comparison]:
    """The answers so far, if something can be learned from them.

    Args:
        files: Files of answers.
        least: Smallest number of decided answers.

    Raises:
        ConfigError: There are too few, or they name one side only, or contradict each other.
    """
    answers = [one for file in files for one in read_comparisons(file)]
    counted = [one for one in answers if not one.is_check]
    named = decided(counted)
    if len(named) < least:
        raise ConfigError(
            f"answers: expected at least {least} that name a winner, got {len(named)} of {len(counted)}; ask about more pairs "
            "(answers=), or wait for more answers (minimum=)"
        )
    ((side, count),) = Counter(one.winner for one in named).most_common(1)
    if count >= ONE_SIDED * len(named):
        raise ConfigError(
            f"answers: expected both sides to win, but {count} of {len(named)} name the {side} clip; the raters did not "
            "look at the clips"
        )
    found = reliability(answers)
    for who, share in (("themselves", found.itself), ("each other", found.others)):
        if _contradict(share):
            raise ConfigError(
                f"answers: expected raters to agree with {who} in {CONTRADICTORY:.0%} of the pairs that were answered twice, "
                f"got {share}; look at the raters on the Study page of `basalt ui`"
            )
    return counted


def collect_again(folder: Path) -> None:
    """Let the same command collect a round's answers again, later ones among them, since these teach nothing.

    Args:
        folder: Folder of the round.
    """
    for name in (COLLECTED, ASKING):
        (folder / name).unlink(missing_ok=True)


def _contradict(share: Proportion) -> bool:
    return share.trials >= MIN_REPEATED and share.hits < CONTRADICTORY * share.trials


def _from_people(
    cfg: LoopConfig,
    number: int,
    folder: Path,
    recordings: Sequence[str],
    selector: Selector,
    reward: str | None,
    cursor: int,
    watch: Watch,
) -> "NewAnswers":
    """Put pairs into the queue unless they were asked before, and wait for answers."""
    # Only here: a loop with a synthetic teacher needs no leaderboard.
    from basalt.feedback.ask import AskConfig, ask
    from leaderboard.judging.clip_queue import queue_state
    from leaderboard.store.database import default_store, open_store
    from leaderboard.studies.rules import find_study, list_studies

    name, place = cfg.study or f"{cfg.task} clips", cfg.store or default_store()
    with closing(open_store(place)) as store:
        known = name in {one.name for one in list_studies(store)}
        if not known or not queue_state(store, find_study(store, name), of_round=number).asked:
            ask(
                AskConfig(
                    task=cfg.task, recordings=tuple(recordings), n=cfg.answers, clip=cfg.clip, selector=selector,
                    reward=reward, round=number, study=name, store=cfg.store, seed=cfg.seed, progress=cfg.progress,
                )
            )  # fmt: skip
        if not (folder / ASKING).is_file():
            Asking(since=datetime.now(UTC)).write(folder / ASKING)
        note(
            f"round {number}: people answer on the page Compare clips, {cfg.address}/compare; serve it with `basalt ui"
            f"{f' --store {cfg.store}' if cfg.store else ''}`"
        )
        return _wait(cfg, number, folder, store, find_study(store, name), cursor, watch)


def _wait(
    cfg: LoopConfig,
    number: int,
    folder: Path,
    store: "Store",
    study: "StudyInfo",
    cursor: int,
    watch: Watch,
) -> "NewAnswers":
    """Wait for the stated number of answers, for all of them, or for the deadline."""
    from leaderboard.judging.clip_answers import answers_since
    from leaderboard.judging.clip_queue import queue_state

    since, said = Asking.read(folder / ASKING).since, ""
    while True:
        found, state = answers_since(store, study, cursor), queue_state(store, study, number)
        usable = [one for one in found.comparisons if one.winner != "skip" and not one.is_check]
        settled = {
            frozenset((one.left, one.right))
            for one in found.comparisons
            if one.round == number and not one.is_check and not one.justification.startswith("dropped")
        }  # fmt: skip
        enough = cfg.minimum is not None and len(usable) >= cfg.minimum
        if enough or len(settled) >= state.asked:
            return found
        if cfg.deadline is not None and datetime.now(UTC) > since + timedelta(minutes=cfg.deadline):
            note(f"round {number}: the deadline has passed; continuing with {len(usable)} answers")
            return found
        text = f"waiting for answers: {state.missing} of {state.asked} missing"
        if cfg.minimum is not None:
            text += f", {len(usable)} of minimum={cfg.minimum} came"
        if text != said:
            note(f"round {number}: {text}")
            watch(text)
            said = text
        time.sleep(cfg.poll)
