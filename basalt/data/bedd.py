"""BEDD, the BASALT Evaluation and Demonstrations Dataset: its index, and the files of each play.

The index files list the videos of OpenAI's contractors (2022). A play longer than five minutes is
split into files; this module joins them again, from names alone (`load_index`) or from files on disk
(`find_plays`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
from pydantic import ValidationError

from basalt.core.recorder_lines import Line
from basalt.core.recording import CRASHED, Recording, line_texts, recordings_folder
from basalt.core.tasks import TASKS, Task, get_task
from basalt.io.console import note
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.untrusted import MAX_JSON_BYTES, parse_json, read_bounded, unfit

TASK_OF_FOLDER = {
    task.bedd_folder: task.name for task in TASKS.values() if task.bedd_folder is not None
} | {spelling: task.name for task in TASKS.values() for spelling in (task.name, task.env_id)}

INDEX_FOLDER = "https://openaipublic.blob.core.windows.net/minecraft-rl/snapshots/"

QUARANTINE_FILE = "quarantine.json"
"""File in a folder of recordings that lists those that must not be used, with the reasons."""

JOIN_GAP = (290, 450)
"""Range of seconds between the times in the names of two consecutive files of one play. A full file holds 300 s; of
the 645 gaps within sessions with an id of their own, 97% are in this range (the others are longer pauses)."""

FULL_PART_LINES = 5_900
"""The recorder starts a new file after 6,000 steps; only such a file can have a continuation."""

SHARED_IDS = frozenset({"f153ac423f61"})
"""Session ids that the recorder gave to many sessions: 1,069 files of 27 players carry this one, up to
46 of one player and task, days apart. They belong together only where their times say so."""

_NAME = re.compile(r"([A-Za-z0-9_-]+)-([0-9a-f]{12,13})-(\d{8})-(\d{6})")


@dataclass(frozen=True)
class RecordingName:
    """A BEDD file name, `<alias>-<session id>-<YYYYMMDD>-<HHMMSS>`; the alias may hold hyphens.

    Attributes:
        alias: The contractor's alias.
        session_id: 12 hexadecimal digits, in two cases 13.
        date: Start of the file, without time zone.
    """

    alias: str
    session_id: str
    date: datetime

    @property
    def session(self) -> str:
        """Alias and session id."""
        return f"{self.alias}-{self.session_id}"

    @property
    def stem(self) -> str:
        """The file name without suffix."""
        return f"{self.session}-{self.date:%Y%m%d-%H%M%S}"

    @staticmethod
    def parse(stem: str) -> "RecordingName | None":
        """The parts of a file name without suffix; None if it is not a BEDD name."""
        match = _NAME.fullmatch(stem)
        if match is None:
            return None
        alias, session_id, day, time = match.groups()
        try:
            return RecordingName(alias, session_id, datetime.strptime(day + time, "%Y%m%d%H%M%S"))
        except ValueError:
            return None


def index_url(task: str, folder: str = INDEX_FOLDER) -> str:
    """Address of a task's index file.

    Raises:
        ConfigError: BEDD has no demonstrations of the task.
    """
    name = get_task(task).bedd_folder
    if name is None:
        known = ", ".join(one.name for one in TASKS.values() if one.bedd_folder)
        raise ConfigError(f"task: BEDD has no demonstrations of {task}; it has those of {known}")
    return f"{folder.rstrip('/')}/{name}-Jul-28.json"


def load_index(
    tasks: Sequence[Task] | None = None,
    *,
    local: str | Path | None = None,
    folder: str = INDEX_FOLDER,
) -> pd.DataFrame:
    """All recordings of the index files, one row each, in order of task, session and time.

    Args:
        tasks: Tasks to list; if None, all of which BEDD has demonstrations.
        local: Folder with copies of the index files; None fetches them.
        folder: Address of the index files, any that fsspec supports.

    Returns:
        Columns `task, name, alias, session_id, session, date, part` (order in the session, from 0),
        `play` (name of the first file of the same play), `url` (of the video; the lines are beside
        it as .jsonl).

    Raises:
        ConfigError: An index file is missing, damaged or empty, or has a name that is not a BEDD name.
    """
    rows: list[dict[str, Any]] = []
    for task in tasks or [task for task in TASKS.values() if task.bedd_folder]:
        address = index_url(task.name, str(local) if local is not None else folder)
        rows += _index_rows(task.name, address, _read(address))
    if not rows:
        raise ConfigError(f"{local or folder}: the index files list no recording")
    table = pd.DataFrame(rows)
    table = table.drop_duplicates(["task", "name"]).sort_values(["task", "session", "date"])
    table["part"] = table.groupby(["task", "session"]).cumcount()
    owners = table.groupby("session_id")["alias"].nunique()
    shared = SHARED_IDS | set(owners.index[owners > 1])
    table["play"] = _plays_by_name(table, shared)
    columns = ["task", "name", "alias", "session_id", "session", "date", "part", "play", "url"]
    return table[columns].reset_index(drop=True)


def index_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Numbers of recordings and sessions, in all and per task."""
    tasks = {
        str(task): {"recordings": len(rows), "sessions": int(rows["session"].nunique())}
        for task, rows in table.groupby("task")
    }
    ordered = {task: tasks[task] for task in TASKS if task in tasks}
    return {"recordings": len(table), "tasks": ordered}


def _read(address: str) -> bytes:
    try:
        fs, path = fsspec.core.url_to_fs(address)
        with fs.open(path, "rb") as file:
            text: bytes = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError as err:
        raise ConfigError(f"{address}: no such index file") from err
    except Exception as err:  # every protocol has errors of its own
        raise ConfigError(
            f"{address}: cannot be read ({type(err).__name__}: {err}); "
            "check the connection, or give --local FOLDER with copies of the index files"
        ) from err
    if len(text) > MAX_JSON_BYTES:
        raise ConfigError(
            f"{address}: expected at most {MAX_JSON_BYTES:,} bytes of an index, got more; fetch it again"
        )
    return text


def _index_rows(task: str, address: str, text: bytes) -> list[dict[str, Any]]:
    try:
        content = parse_json(text)
        if fault := unfit(content):  # no table holds half of a surrogate pair
            raise ValueError(fault)
        base, paths = content["basedir"], content["relpaths"]
        if not isinstance(base, str) or not all(isinstance(path, str) for path in paths):
            raise TypeError("basedir must be a text and relpaths a list of texts")
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{address}: not an index file ({err}); fetch it again") from err
    return [_index_row(task, address, base, path) for path in paths]


def _index_row(task: str, address: str, base: str, path: str) -> dict[str, Any]:
    # The name decides where a file is written, so nothing but a plain BEDD name gets through.
    *folders, last = path.removesuffix(".mp4").split("/")
    name = RecordingName.parse(last)
    if name is None or any(not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", part) for part in folders):
        raise ConfigError(f"{address}: {path!r} is not the path of a BEDD recording")
    return {
        "task": task,
        "name": last,
        "alias": name.alias,
        "session_id": name.session_id,
        "session": name.session,
        "date": name.date,
        "url": base + path.removesuffix(".mp4") + ".mp4",
    }


def _plays_by_name(table: pd.DataFrame, shared: Iterable[str]) -> pd.Series:
    """Name of the first file of each row's play, judging by names and times."""
    gap = table.groupby(["task", "session"])["date"].diff().dt.total_seconds()
    joined = (table["part"] > 0) & (~table["session_id"].isin(shared) | gap.between(*JOIN_GAP))
    return table["name"].where(~joined).ffill()


@dataclass(frozen=True)
class Play:
    """One demonstration: one episode of one player, from start to end.

    Attributes:
        parts: Its recordings in order, usually one.
        task: Name of the task; None where neither the recording nor its folder says.
    """

    parts: tuple[Recording, ...]
    task: str | None

    @property
    def name(self) -> str:
        """Name of the first recording."""
        return self.parts[0].name

    @property
    def player(self) -> str:
        """The contractor's alias, or the player named in the recording."""
        return player_of(self.parts[0])

    def without_cache(self) -> "Play":
        """A copy without parsed lines, so that lines parsed through it are freed with it."""
        parts = tuple(Recording(part.stem, part.meta) for part in self.parts)
        return Play(parts, self.task)

    @property
    def is_bedd(self) -> bool:
        """Whether BEDD's recorder made it, whose faults are then corrected."""
        return self.parts[0].meta is None


def player_of(recording: Recording) -> str:
    """The contractor's alias, or the player named in the recording."""
    if recording.meta is not None:
        return recording.meta.player
    name = RecordingName.parse(recording.name)
    return name.alias if name else "unknown"


def task_of(recording: Recording) -> str | None:
    """The task named in the recording, or else by its folder."""
    if recording.meta is not None:
        return recording.meta.task
    return TASK_OF_FOLDER.get(recording.stem.parent.name)


def read_quarantine(folder: str | Path) -> dict[Path, list[str]]:
    """Quarantined recordings by absolute path without suffix, each with its faults.

    Lists in the folder itself, below it and above it count, since any of these may have been validated.

    Raises:
        RecordingError: A list is damaged.
    """
    folder = Path(folder).resolve()
    above = [parent / QUARANTINE_FILE for parent in folder.parents]
    quarantined: dict[Path, list[str]] = {}
    for path in [*filter(Path.is_file, above), *sorted(folder.rglob(QUARANTINE_FILE))]:
        try:
            recordings = parse_json(read_bounded(path))["recordings"]
            for name, faults in recordings.items():
                quarantined.setdefault(path.parent / name, []).extend(map(str, faults))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise RecordingError(
                f"{path}: not a list of quarantined recordings ({err}); make it again by "
                f"basalt data validate {path.parent}"
            ) from err
    return quarantined


def stems_in(folder: Path) -> list[Path]:
    """Paths without suffix of all recordings in a folder and below, complete or not."""
    found = {
        path.with_name(path.name.removesuffix(path.suffix))
        for path in folder.rglob("*")
        if path.suffix in (".mp4", ".jsonl") and not path.name.startswith(".")
    }
    return sorted(found)


def find_plays(folder: str | Path) -> list[Play]:
    """All plays in a folder and below it, without quarantined, incomplete and crashed recordings.

    Two files are one play if they have the same session and the first did not end with ESC; for a
    session id that many sessions share, also the first must be full and their times must fit. Files
    before and after a quarantined or incomplete file are not joined; gaps left by files that were
    never downloaded cannot be detected. A line on stderr says how many quarantined recordings are left
    out, and where they are listed.

    Raises:
        RecordingError: The folder is missing or has no usable recording.
    """
    folder = recordings_folder(folder)
    bad = read_quarantine(folder)
    stems = stems_in(folder)
    if left_out := [stem for stem in stems if stem.resolve() in bad]:
        count = f"{len(left_out)} recording{'' if len(left_out) == 1 else 's'}"
        faults = ", ".join(bad[left_out[0].resolve()])
        note(
            f"{folder}: {count} left out, see {QUARANTINE_FILE}; the first: "
            f"{left_out[0].relative_to(folder)} ({faults})"
        )
    sessions: dict[tuple[Path, str], list[tuple[RecordingName, Recording | None]]] = defaultdict(
        list
    )
    plays = []
    for stem in stems:
        if CRASHED in stem.relative_to(folder).parts:
            continue
        usable = stem.resolve() not in bad and all(
            stem.with_name(stem.name + suffix).is_file() for suffix in (".mp4", ".jsonl")
        )
        recording = Recording.open(stem) if usable else None
        name = RecordingName.parse(stem.name)
        if name and (recording is None or recording.meta is None):
            sessions[stem.parent, name.session].append((name, recording))
        elif recording is not None:
            plays.append(Play((recording,), task_of(recording)))
    for files in sessions.values():
        files.sort(key=lambda file: file[0].date)
        plays += _join(files)
    if not plays:
        raise RecordingError(f"{folder}: holds no usable recording (NAME.mp4 with NAME.jsonl)")
    return sorted(plays, key=lambda play: play.parts[0].stem)


def _join(files: Sequence[tuple[RecordingName, Recording | None]]) -> list[Play]:
    """Plays of one session's files in order; None marks a file that must not be used."""
    groups: list[list[Recording]] = []
    before: tuple[RecordingName, Recording] | None = None
    for name, recording in files:
        if recording is None:
            before = None
            continue
        if before is not None and _continues(*before, name):
            groups[-1].append(recording)
        else:
            groups.append([recording])
        before = (name, recording)
    return [Play(tuple(group), task_of(group[0])) for group in groups]


def _continues(name: RecordingName, recording: Recording, after: RecordingName) -> bool:
    count, last = _count_and_last(recording.lines_path)
    if last is None or last.ends_session:
        return False
    if name.session_id not in SHARED_IDS:
        return True
    gap = (after.date - name.date).total_seconds()
    return count >= FULL_PART_LINES and JOIN_GAP[0] <= gap <= JOIN_GAP[1]


def _count_and_last(path: Path) -> tuple[int, Line | None]:
    """Number of lines, and the last one, None if damaged; nothing is kept in memory."""
    count, text = 0, b""
    try:
        for count, text in enumerate(line_texts(path), start=1):  # noqa: B007 (the last one is used)
            pass
        return count, Line.model_validate_json(text)
    except (ValidationError, RecordingError):
        return count, None
