"""Recordings: one episode of play on disk, in BEDD's format, by an agent or a person.

`NAME.mp4` (frames), `NAME.jsonl` (one line per step, `basalt.core.recorder_lines`) and `NAME.json`
(`RecordingMeta`). Frame t pairs with line t; ours have one more frame, the result of the last step. BEDD's own
recordings have no `NAME.json` and are read by the same code.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import basalt
from basalt.core.actions import EnvActions
from basalt.core.recorder_lines import Label, Line, LineWriter, expert_actions, lines_to_env
from basalt.core.records import first_fault
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.telemetry import Telemetry
from basalt.core.video import DEFAULT_CRF, FRAME_SIZE, FrameSize, VideoWriter, read_frames
from basalt.core.video_bounds import MAX_FRAMES
from basalt.io.atomic import new_folder, scratch_folder
from basalt.io.errors import RecordingError
from basalt.io.untrusted import bounded_lines, read_bounded

Ended = Literal["esc", "death", "limit", "cut", "crash", "unknown"]
"""How an episode ended.

`esc`: by the player; `death`: by the player's death; `limit`: at the task's step limit; `cut`: by a shorter
limit, or the player left; `crash`: the world failed or the agent was lost; `unknown`: not known, as for a video without actions.
"""

PlayerKind = Literal["agent", "scripted", "random", "human"]
"""What played: an agent from frames, a script that sees telemetry, an agent at random, or a person."""

MAX_LINE_FILE_BYTES = 64 * 2**20
"""Larger files of lines are refused unread; the longest task writes about 30 MB. Lines take about 14 times their text in
memory."""

MAX_LINE_BYTES = 256 * 2**10
"""Longer lines are refused unread; ours have about 1 KB, and those of recorders with statistics 20 KB."""

MAX_META_BYTES = 2**20
"""Larger descriptions (NAME.json) are refused unread."""

CRASHED = "crashed"
"""Folder beside a rollout's recordings with the episodes in which the world failed or the agent was lost."""

_SUFFIXES = (".mp4", ".jsonl", ".json")


class EpisodeFacts(BaseModel):
    """What is known of an episode before it is played."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["basalt-recording"] = "basalt-recording"
    version: Literal[1] = 1
    task: str
    world: str
    world_version: str
    seed: int = Field(ge=0)
    player: str
    player_kind: PlayerKind
    step_limit: int = Field(gt=0, description="limit that the episode is played under, in steps")
    edit: dict[str, Any] | None = Field(
        default=None, description="change made in the seed's world, for a counterfactual"
    )
    labels: str | None = Field(
        default=None,
        description="name of the expert that labels every step; None if nobody does",
    )


class RecordingMeta(EpisodeFacts):
    """Metadata of a recording, `NAME.json`."""

    ended: Ended
    steps: int = Field(ge=0)
    frames: int = Field(ge=0)
    fps: int = STEPS_PER_SECOND
    width: int = FRAME_SIZE.width
    height: int = FRAME_SIZE.height
    package_version: str
    created: datetime
    video_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    lines_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    final_telemetry: Telemetry | None = Field(description="the state after the last step")


@dataclass(frozen=True)
class ExpertStream:
    """What an expert would have done at each step of a recording, whatever was done.

    Attributes:
        actions: Its T actions; null actions where it has no answer.
        labelled: bool [T], it has an answer.
        cue_visible: bool [T], what it acts on has been in view.
    """

    actions: EnvActions
    labelled: NDArray[np.bool_]
    cue_visible: NDArray[np.bool_]


@dataclass(frozen=True)
class Fault:
    """Something wrong with a recording's file.

    Attributes:
        kind: One of `basalt.core.recording_checks.FAULT_KINDS`.
        path: The file.
        detail: What is wrong.
        line: Number of the line from 1; None if it is not about one line.
    """

    kind: str
    path: Path
    detail: str
    line: int | None = None

    @property
    def brief(self) -> str:
        """The fault without the file's name."""
        return self.detail if self.line is None else f"line {self.line}: {self.detail}"

    def __str__(self) -> str:
        return f"{self.path}: {self.brief}" if self.line is None else f"{self.path}, {self.brief}"


class Recording:
    """One recording on disk, read lazily.

    Attributes:
        stem: Path without suffix.
        meta: Metadata; None for BEDD's recordings.
    """

    def __init__(self, stem: Path, meta: RecordingMeta | None) -> None:
        self.stem = stem
        self.meta = meta

    @staticmethod
    def open(path: str | Path) -> "Recording":
        """Open a recording.

        Args:
            path: Path with or without one of the suffixes.

        Raises:
            RecordingError: The video or the lines are missing, or NAME.json is not valid.
        """
        path = Path(path)
        stem = path.with_suffix("") if path.suffix in _SUFFIXES else path
        for suffix in (".mp4", ".jsonl"):
            file = _with_suffix(stem, suffix)
            if not file.is_file():
                raise RecordingError(f"{file}: missing; a recording needs NAME.mp4 and NAME.jsonl")
        meta_file = _with_suffix(stem, ".json")
        if not meta_file.is_file():
            return Recording(stem, None)
        try:
            meta = RecordingMeta.model_validate_json(read_bounded(meta_file, MAX_META_BYTES))
        except ValidationError as err:  # a ValueError, so it comes first
            raise RecordingError(f"{meta_file}: {_first_fault(err)}") from err
        except (OSError, ValueError) as err:
            raise RecordingError(f"{meta_file}: cannot be read ({err}); record it again") from err
        return Recording(stem, meta)

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.stem.name

    @property
    def video_path(self) -> Path:
        """Path of the video."""
        return _with_suffix(self.stem, ".mp4")

    @property
    def lines_path(self) -> Path:
        """Path of the recorder lines."""
        return _with_suffix(self.stem, ".jsonl")

    @property
    def meta_path(self) -> Path:
        """Path of the metadata; missing for BEDD's recordings."""
        return _with_suffix(self.stem, ".json")

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """All recorder lines.

        Raises:
            RecordingError: A line is incomplete or not valid, or steps are missing.
        """
        lines: list[Line] = []
        for line, fault in parse_lines(self.lines_path):
            if fault is not None or line is None:
                raise RecordingError(str(fault))
            lines.append(line)
        return tuple(lines)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.lines)

    def actions(self) -> EnvActions:
        """Environment actions of all steps as they were executed, with BEDD's stuck attack button corrected."""
        return lines_to_env(self.lines, stuck_attack=self.meta is None)

    def expert(self) -> ExpertStream | None:
        """What the expert would have done at each step; None if nobody labelled the recording.

        Raises:
            RecordingError: `labels` names an expert, but a line has no `cueVisible`.
        """
        if self.meta is None or self.meta.labels is None:
            return None
        cues = [line.cue_visible for line in self.lines]
        if None in cues:
            raise RecordingError(
                f"{self.lines_path}, line {cues.index(None) + 1}: expected cueVisible, since "
                f"{self.meta_path.name} names the expert {self.meta.labels!r}"
            )
        actions, labelled = expert_actions(self.lines)
        return ExpertStream(actions, labelled, np.array(cues, dtype=bool))

    def telemetry(self) -> tuple[Telemetry, ...]:
        """The n + 1 states of an episode of n steps; empty if it was recorded without telemetry.

        Raises:
            RecordingError: Some lines have telemetry and others do not.
        """
        states = [line.telemetry for line in self.lines]
        if self.meta is not None:
            states.append(self.meta.final_telemetry)
        known = tuple(state for state in states if state is not None)
        if known and len(known) != len(states):
            raise RecordingError(f"{self.lines_path}: telemetry is missing from some lines")
        return known

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Frames in order, uint8 [H, W, 3], RGB: n + 1 for n steps, n for some of BEDD's."""
        return read_frames(self.video_path)


class RecordingWriter:
    """Writes one episode as it is played; files get their final names once they are complete.

    Use it as a context manager: an exception, also Ctrl-C, leaves no file behind.

    Args:
        directory: Folder of the recording, made if missing.
        name: File name without suffix.
        size: Size of the frames; only recordings of the default size can be submitted to a leaderboard.
        crf: Quality of the video (x264's CRF); lower is better and larger.
        facts: Fields of `EpisodeFacts`.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        size: FrameSize = FRAME_SIZE,
        crf: int = DEFAULT_CRF,
        **facts: Any,
    ) -> None:
        self._size = size
        self._stem = directory / name
        self._facts = EpisodeFacts(**facts)
        self._scratch = contextlib.ExitStack()
        folder = self._scratch.enter_context(scratch_folder(self._stem))
        # Without a suffix: nothing that looks for recordings takes them for one.
        self._partial = {suffix: folder / suffix[1:] for suffix in _SUFFIXES}
        self._video = VideoWriter(self._partial[".mp4"], size, crf=crf)
        self._file = self._partial[".jsonl"].open("w", encoding="utf-8")
        self._lines = LineWriter()
        self._telemetry: Telemetry | None = None
        self._steps = 0

    def begin(self, frame: NDArray[np.uint8], telemetry: Telemetry) -> None:
        """Write the frame (uint8 [height, width, 3], RGB) and state after reset."""
        self._video.write(frame)
        self._telemetry = telemetry

    def step(
        self,
        action: Mapping[str, Any],
        camera: Sequence[float] | NDArray[np.floating],
        frame: NDArray[np.uint8],
        telemetry: Telemetry,
        label: Label | None = None,
    ) -> None:
        """Write one step.

        Args:
            action: Complete environment action, as the player asked for it.
            camera: [pitch, yaw] in degrees, as the world applied it.
            frame: Frame after the step, uint8 [height, width, 3], RGB.
            telemetry: State after the step.
            label: Label of the state before the step; given for every step if the facts name `labels`.
        """
        if self._telemetry is None:
            raise ValueError("expected begin() before step()")
        if (label is None) != (self._facts.labels is None):
            raise ValueError("expected a label at every step of a labelled recording, and no other")
        line = self._lines.line(action, list(camera), self._telemetry, label)
        self._file.write(line.to_json() + "\n")
        self._video.write(frame)
        self._telemetry = telemetry
        self._steps += 1

    def finish(
        self, ended: Ended, directory: Path | None = None, name: str | None = None
    ) -> Recording:
        """Close the files and give them their final names.

        Args:
            ended: How the episode ended.
            directory: Folder to use instead of the planned one, on the same filesystem; made if missing.
            name: Name to use instead of the planned one.

        Returns:
            The recording.
        """
        directory = directory or self._stem.parent
        new_folder(directory)
        stem = directory / (name or self._stem.name)
        self._file.close()
        self._video.close()
        meta = RecordingMeta(
            **dict(self._facts),
            ended=ended,
            steps=self._steps,
            frames=self._video.frames,
            width=self._size.width,
            height=self._size.height,
            package_version=basalt.__version__,
            created=datetime.now(UTC).replace(microsecond=0),
            video_sha256=sha256_of(self._partial[".mp4"]),
            lines_sha256=sha256_of(self._partial[".jsonl"]),
            final_telemetry=self._telemetry,
        )
        self._partial[".json"].write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
        # Flush all files first, which takes time, then rename them at once.
        for suffix in _SUFFIXES:
            _sync(self._partial[suffix])
        # NAME.json comes last: if it exists, the other two are complete.
        for suffix in _SUFFIXES:
            self._partial[suffix].replace(_with_suffix(stem, suffix))
        return Recording(stem, meta)

    def abandon(self) -> None:
        """Remove everything written so far; does nothing after `finish`."""
        if not self._file.closed:
            for part in (self._file, self._video):
                # On a full disk closing fails; the files are removed anyway.
                with contextlib.suppress(Exception):
                    part.close()
        self._scratch.close()

    def __enter__(self) -> "RecordingWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()


def find_videos(folder: Path) -> list[Path]:
    """Find the videos of recordings in a folder and its subfolders, in order of path.

    Partial recordings and crashed episodes are left out.
    """
    return [
        path
        for path in sorted(folder.rglob("*.mp4"))
        if not path.name.startswith(".") and CRASHED not in path.relative_to(folder).parts
    ]


def files_below(paths: Iterable[str | Path], suffix: str) -> list[Path]:
    """The files among the paths, and those with a suffix in the folders among them, in order.

    Args:
        paths: Files and folders; hidden files in folders are left out.
        suffix: Suffix of the files in folders, e.g. `.mp4`.

    Raises:
        RecordingError: A path does not exist, or no file was found.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(p for p in path.rglob(f"*{suffix}") if not p.name.startswith("."))
        elif path.is_file():
            files.append(path)
        else:
            raise RecordingError(f"{path}: no such file or folder")
    if not files:
        raise RecordingError(f"{', '.join(map(str, paths))}: expected {suffix} files, found none")
    return files


def recordings_folder(folder: str | Path) -> Path:
    """The path of a folder that exists.

    Raises:
        RecordingError: There is no such folder, or it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RecordingError(f"{folder}: expected a folder of recordings, got a file")
    if not folder.is_dir():
        raise RecordingError(f"{folder}: no such folder of recordings")
    return folder


def find_recordings(folder: str | Path) -> list[Recording]:
    """Open all recordings in a folder and its subfolders, in order of path; crashed episodes are left out.

    Raises:
        RecordingError: The folder is missing or has no recordings, or one cannot be opened.
    """
    folder = recordings_folder(folder)
    recordings = [Recording.open(path) for path in find_videos(folder)]
    if not recordings:
        raise RecordingError(f"{folder}: holds no recordings (NAME.mp4 with NAME.jsonl)")
    return recordings


def parse_lines(path: Path) -> Iterator[tuple[Line | None, Fault | None]]:
    """Each line of a file of recorder lines, and what is wrong with it.

    Raises:
        RecordingError: The file, a line or the number of lines is too large for a recording.
    """
    tick: int | None = None
    for number, text in enumerate(line_texts(path), start=1):
        try:
            line = _parse_line(text)
        except ValidationError as err:
            kind = "json" if err.errors()[0]["type"] == "json_invalid" else "schema"
            tick = None
            yield None, Fault(kind, path, _first_fault(err), line=number)
            continue
        jump = None
        if tick is not None and line.tick != tick + 1:
            detail = f"tick {line.tick} follows {tick}; steps are missing"
            jump = Fault("ticks", path, detail, line=number)
        tick = line.tick
        yield line, jump


def line_texts(path: Path) -> Iterator[bytes]:
    """The lines of a file, unparsed.

    Raises:
        RecordingError: The file, a line or the number of lines is too large for a recording.
    """
    try:
        with path.open("rb") as file:
            if (size := path.stat().st_size) > MAX_LINE_FILE_BYTES:
                raise ValueError(f"expected at most {MAX_LINE_FILE_BYTES:,} bytes, got {size:,}")
            for number, text in enumerate(bounded_lines(file, MAX_LINE_BYTES), start=1):
                if number > MAX_FRAMES:
                    raise ValueError(f"expected at most {MAX_FRAMES:,} lines, got more")
                yield text
    except ValueError as err:
        raise RecordingError(f"{path}: {err}; split the recording, or record it again") from err


_ESCAPE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""In JSON: an escaped backslash, a surrogate pair, and a surrogate without its other half."""


def _parse_line(text: bytes) -> Line:
    """One line. Half a character, as JavaScript's `slice` leaves of an emoji, becomes U+FFFD."""
    try:
        return Line.model_validate_json(text)
    except ValidationError:
        whole = _ESCAPE.sub(lambda found: found[0] if len(found[0]) != 6 else b"\\ufffd", text)
        if whole == text:
            raise
        return Line.model_validate_json(whole)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_suffix(stem: Path, suffix: str) -> Path:
    # Not Path.with_suffix: names may contain dots.
    return stem.parent / (stem.name + suffix)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _first_fault(err: ValidationError) -> str:
    found = json.dumps(err.errors()[0].get("input"), default=str)[:80]
    return f"{first_fault(err, 'the whole')} (found {found})"
