"""Studies of clips with a queue of questions, and no videos, made in no time."""

from collections.abc import Sequence

from basalt.core.comparisons import Side
from leaderboard.judging.clip_queue import CLIP_SETTINGS, Question, add_clips, add_questions
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, clip_study, create_study
from leaderboard.studies.settings import change_settings

SEED = 100_001
STEPS = 128


def clip(episode: int, start: int = 0) -> Side:
    """A clip of the player of an episode."""
    return Side(
        f"player {episode % 3}", SEED + episode % 2, f"{episode:064x}", start, start + STEPS
    )


def questions(count: int, first: int = 0, **facts: object) -> list[Question]:
    """Questions about clips of two episodes, other clips for each."""
    facts = {"selector": "uniform", "selection_probability": 0.25, **facts}
    return [
        Question("find_cave", clip(0, n), clip(1, n + 7), **facts)  # type: ignore[arg-type]
        for n in range(first, first + count)
    ]


def put(store: Store, study: StudyInfo, asked: Sequence[Question]) -> list[Question]:
    """Add questions and their clips."""
    sides = {side for one in asked for side in (one.first, one.second)}
    names = {side: f"{hash(side) % 2**64:064x}" for side in sides}
    add_clips(store, study, names)
    return add_questions(store, study, asked)


def clips_to_compare(store: Store, count: int = 6, **changes: object) -> StudyInfo:
    """A study with a queue; without checks and double answers unless the settings say so."""
    study = create_study(
        store, "clips", clip_study("find_cave", [SEED, SEED + 1], 4_000, "test", "1")
    )
    plain = CLIP_SETTINGS.model_dump() | {"check_share": 0.0, "overlap_share": 0.0} | changes
    change_settings(store, study, command_line_admin(), **plain)
    put(store, study, questions(count))
    return study
