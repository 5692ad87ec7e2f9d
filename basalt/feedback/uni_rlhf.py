"""Answers of other programs: the `label.csv` of Uni-RLHF (Yuan et al. 2024, arXiv 2402.02423), and files like it.

A row is a query: `query_id`, `label`, and the clips as `start_indices_1`, `end_indices_1`, `start_indices_2`,
`end_indices_2`. Where `video_1` and `video_2` name two recordings, the indices are their steps. Otherwise the indices
count the steps of all recordings one after another, in order of path, as in the flat data sets of that program.
`label` is an answer, or a dictionary of answers by user and question, from which all annotators are read (that
program's own reader takes only the first). Users' names are not kept.
"""

import ast
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

from basalt.core.comparisons import (
    MAX_COMPARISONS,
    Comparison,
    ComparisonError,
    Side,
    Winner,
    csv_rows,
)
from basalt.core.recording import RecordingMeta, find_recordings
from basalt.core.tasks import get_task, refuse_test_seeds

COLUMNS = (
    "query_id", "label", "start_indices_1", "end_indices_1", "start_indices_2", "end_indices_2",
)  # fmt: skip
"""Columns that a file needs; `video_1`, `video_2`, `annotator_name`, `completion_time` and `skip_num` are optional."""

ANSWERS: dict[str, Winner] = {
    "0": "left", "1": "right", "-1": "draw", "0.5": "draw", "left": "left", "right": "right", "draw": "draw",
    "equal": "draw", "tie": "draw", "both_bad": "both_bad", "skip": "skip",
}  # fmt: skip
"""Answers by their spelling: 0 prefers the first clip, 1 the second."""

MAX_LABEL = 10_000
"""Largest number of characters of a label."""


@dataclass(frozen=True)
class Recordings:
    """Recordings that the clips of a file are of.

    Attributes:
        metas: Metadata of each, in order of path in each folder.
        offsets: Number of steps of those before each, and of all.
        by_name: Metadata by path in its folder, without suffix; several folders may have the same path.
    """

    metas: tuple[RecordingMeta, ...]
    offsets: tuple[int, ...]
    by_name: dict[str, list[RecordingMeta]]

    @staticmethod
    def of(folders: Sequence[str]) -> "Recordings":
        """The recordings of folders, all of one task, world and version.

        Raises:
            RecordingError: A folder is missing or holds no recordings.
            ComparisonError: They are of several tasks or worlds.
            ConfigError: A seed is kept for testing.
        """
        found: dict[str, list[RecordingMeta]] = defaultdict(list)
        metas = []
        for folder in folders:
            for one in find_recordings(folder):
                if one.meta is not None:
                    metas.append(one.meta)
                    found[one.stem.relative_to(folder).as_posix()].append(one.meta)
        kinds = {(meta.task, meta.world, meta.world_version) for meta in metas}
        if len(kinds) != 1:
            raise ComparisonError(
                f"recordings: expected those of one task, world and version, got {len(kinds)} of them"
            )
        refuse_test_seeds(
            get_task(metas[0].task), (meta.seed for meta in metas), "learning from feedback"
        )
        offsets = accumulate((meta.steps for meta in metas), initial=0)
        return Recordings(tuple(metas), tuple(offsets), found)


def is_uni_rlhf(path: Path) -> bool:
    """Whether a file is a CSV file with the columns of that program.

    Raises:
        ComparisonError: The file is missing or not CSV.
    """
    return path.suffix == ".csv" and {"query_id", "label"} <= next(csv_rows(path)).keys()


def read_uni_rlhf(path: Path, recordings: Recordings) -> list[Comparison]:
    """The answers of a file; a query that nobody answered is left out.

    Raises:
        ComparisonError: The file is not valid; the message names the first fault.
    """
    rows = csv_rows(path)
    header = next(rows)
    if missing := [name for name in COLUMNS if name not in header]:
        raise ComparisonError(f"{path}: column {missing[0]!r} is missing")
    unknown_time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    seen: dict[str, int] = {}
    found: list[Comparison] = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        query = row["query_id"]
        if (first := seen.setdefault(query, number)) != number:
            raise ComparisonError(f"{where}: query_id: {query[:80]!r} was in row {first} already")
        for user, question, winner in _answers(where, row):
            left, right = (_side(where, row, place, recordings) for place in "12")
            meta = recordings.metas[0]
            key = sha256(f"{path.stem}/{query}/{user}/{question}".encode()).hexdigest()[:32]
            one = Comparison(
                comparison_id=key,
                study=path.stem,
                task=meta.task,
                world=meta.world,
                world_version=meta.world_version,
                seed=left.seed,
                left_agent=left.agent,
                right_agent=right.agent,
                left_episode=left.episode,
                right_episode=right.episode,
                winner=winner,
                source="human",
                created=_time(where, row, unknown_time),
                rater=sha256(f"{path.stem}/{user}".encode()).hexdigest()[:32] if user else None,
                question=question,
            )
            found.append(one.with_sides(left, right))
        if len(found) > MAX_COMPARISONS:
            raise ComparisonError(f"{path}: expected at most {MAX_COMPARISONS} answers")
    return found


def _answers(where: str, row: dict[str, str]) -> Iterator[tuple[str, str, Winner]]:
    """Each answer to a query: user, question and answer."""
    label = row["label"].strip()
    user = row.get("annotator_name") or row.get("annotator_id") or ""
    if not label:
        if row.get("skip_num", "0").strip() not in ("", "0"):
            yield "", "", "skip"  # somebody skipped it; the file does not say who
        return
    if not label.startswith("{"):
        yield user, "", _answer(where, label)
        return
    for name, answers in _dictionary(where, label).items():
        if not isinstance(answers, dict):
            answers = {"0": answers}
        for question, answer in answers.items():
            title = "" if str(question) == "0" and len(answers) == 1 else f"question {question}"
            yield str(name), title, _answer(where, str(answer))


def _dictionary(where: str, label: str) -> dict[Any, Any]:
    if len(label) > MAX_LABEL:
        raise ComparisonError(f"{where}: label: expected at most {MAX_LABEL} characters")
    try:
        found = ast.literal_eval(label)  # that program writes Python's notation
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise ComparisonError(
            f"{where}: label: expected an answer, or answers by user, got {label[:80]!r}"
        )
    return found


def _answer(where: str, text: str) -> Winner:
    name = text.strip().lower()
    name = {"0.0": "0", "1.0": "1", "-1.0": "-1"}.get(name, name)
    if name not in ANSWERS:
        raise ComparisonError(
            f"{where}: label: expected one of {', '.join(ANSWERS)}, got {text[:80]!r}"
        )
    return ANSWERS[name]


def _side(where: str, row: dict[str, str], place: str, recordings: Recordings) -> Side:
    names = (f"start_indices_{place}", f"end_indices_{place}")
    try:
        start, stop = (int(row[name]) for name in names)
    except ValueError:
        raise ComparisonError(
            f"{where}: {names[0]}, {names[1]}: expected whole numbers, got {row[names[0]][:40]!r}, {row[names[1]][:40]!r}"
        ) from None
    if video := row.get(f"video_{place}", ""):
        # Looked up among the recordings that were found: a path in a file opens nothing.
        named = recordings.by_name.get(video.removesuffix(".mp4"), [])
        if len(named) != 1:
            raise ComparisonError(
                f"{where}: video_{place}: expected the path of a recording in "
                f"{'one folder of ' if named else ''}recordings=, got {video[:80]!r}"
                + (f" of {len(named)} folders; rename its files" if named else "")
            )
        (meta,) = named
    else:
        offsets = recordings.offsets
        number = bisect_right(offsets, start) - 1 if 0 <= start < offsets[-1] else 0
        meta, first = recordings.metas[number], offsets[number]
        start, stop = start - first, stop - first
    if not 0 <= start < stop <= meta.steps:
        raise ComparisonError(
            f"{where}: {names[0]}, {names[1]}: expected steps inside one recording, got {row[names[0]]}, "
            f"{row[names[1]]}"
        )
    return Side(meta.player, meta.seed, meta.video_sha256, start, stop)


def _time(where: str, row: dict[str, str], unknown: datetime) -> datetime:
    text = row.get("completion_time", "").strip()
    if not text:
        return unknown
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ComparisonError(
            f"{where}: completion_time: expected a time such as 2026-11-28 12:00:00, got {text[:80]!r}"
        ) from None
