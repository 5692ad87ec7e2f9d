"""Check every recording of a folder as a whole; the broken ones are listed, never deleted.

Writes two files into the folder: ``validation.json``, what was found in each recording, so that only
new or changed ones are looked at next time; and ``quarantine.json``, which loaders obey.
"""

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import pandas as pd
from pydantic import ValidationError
from tqdm import tqdm

from basalt.core.recorder_lines import Line
from basalt.core.recording import MAX_LINE_FILE_BYTES, Recording, sha256_of
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video import FRAME_SIZE, probe
from basalt.data.bedd import QUARANTINE_FILE, player_of, stems_in, task_of
from basalt.io.atomic import write_json
from basalt.io.errors import ConfigError, RecordingError

VALIDATION_FILE = "validation.json"

FAULTS = {
    "no video": "NAME.mp4 is missing",
    "no lines": "NAME.jsonl is missing",
    "description": "NAME.json is not valid, or does not describe the files",
    "empty": "the recording holds no step",
    "json": "a line is cut short or is not JSON",
    "schema": "a line lacks a field, or has a value that cannot be",
    "ticks": "steps are missing, double or out of order",
    "video": "the file is no video, or damaged",
    "decoding": "a frame cannot be decoded, or only by guessing",
    "frames": "the frames are neither as many as the lines nor one more",
    "picture": "the frames are not 640x360",
    "rate": "the video does not run at 20 Hz",
    "changed": "a file is not the one that NAME.json was written for",
}
"""What a recording can suffer from."""

_VERSION = 1


@dataclass(frozen=True)
class Finding:
    """What was found in one recording.

    Attributes:
        name: path below the folder, without suffix.
        state: sizes and times of its files, to know it again.
        decoded: whether all frames were decoded, not only counted.
        task, player: as far as known.
        lines, frames: how many; None where they cannot be counted.
        faults: kind (:data:`FAULTS`) and details of each.
    """

    name: str
    state: str
    decoded: bool
    task: str | None
    player: str
    lines: int | None
    frames: int | None
    faults: tuple[tuple[str, str], ...]


def validate(
    folder: str | Path, *, decode: bool = True, jobs: int = 1, progress: bool = True
) -> list[Finding]:
    """Check all recordings in a folder and below it, and write the lists.

    Args:
        folder: recordings, in any depth.
        decode: decode every frame; otherwise frames are counted from the file's packets, which is
            far faster and finds cut and missing frames, but not damaged ones.
        jobs: processes side by side.
        progress: show a bar on stderr.

    Returns:
        Findings in order of name; those of unchanged recordings come from the last time.

    Raises:
        RecordingError: no such folder, or nothing in it.
        ConfigError: fewer than one job.
    """
    folder = Path(folder)
    if jobs < 1:
        raise ConfigError(f"jobs: {jobs} is less than 1")
    if not folder.is_dir():
        raise RecordingError(f"{folder}: no such folder of recordings")
    stems = stems_in(folder)
    if not stems:
        raise RecordingError(f"{folder}: holds no recordings (NAME.mp4 with NAME.jsonl)")
    known = _read_findings(folder / VALIDATION_FILE)
    findings: dict[str, Finding] = {}
    todo = []
    for stem in stems:
        name = stem.relative_to(folder).as_posix()
        before = known.get(name)
        if before and before.state == _state(stem) and (before.decoded or not decode):
            findings[name] = before
        else:
            todo.append(name)
    try:
        with tqdm(total=len(todo), desc="validate", unit="rec", disable=not progress) as bar:
            for finding in _check_all(folder, todo, decode, jobs):
                findings[finding.name] = finding
                bar.update()
    finally:
        # Also when interrupted: what was checked need not be checked again.
        ordered = [findings[name] for name in sorted(findings)]
        _write_findings(folder, ordered)
    return ordered


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """One row per recording; ``faults`` are the kinds, comma-separated, "" where it is sound."""
    rows = [
        asdict(finding)
        | {
            "faults": ", ".join(kind for kind, _ in finding.faults),
            "details": "; ".join(details for _, details in finding.faults),
        }
        for finding in findings
    ]
    return pd.DataFrame(rows).drop(columns="state")


def findings_summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Numbers of recordings, sound and broken, and of each kind of fault."""
    kinds = [kind for finding in findings for kind in dict(finding.faults)]
    broken = {
        finding.name: list(map(list, finding.faults)) for finding in findings if finding.faults
    }
    return {
        "recordings": len(findings),
        "sound": len(findings) - len(broken),
        "broken": len(broken),
        "decoded": sum(finding.decoded for finding in findings),
        "lines": sum(finding.lines or 0 for finding in findings),
        "faults": {kind: kinds.count(kind) for kind in FAULTS if kind in kinds},
        "quarantined": broken,
    }


def check_recording(folder: Path, name: str, decode: bool = True) -> Finding:
    """Look at one recording; every fault that can be found is found, not only the first."""
    stem = folder / name
    video, lines_file = (stem.with_name(stem.name + suffix) for suffix in (".mp4", ".jsonl"))
    state = _state(stem)
    faults: list[tuple[str, str]] = []
    lines = frames = None
    recording = Recording(stem, None)
    if not video.is_file() or not lines_file.is_file():
        lacking = video if not video.is_file() else lines_file
        faults.append(
            ("no video" if lacking is video else "no lines", f"{lacking.name} is missing")
        )
    else:
        try:
            recording = Recording.open(stem)
        except RecordingError as err:
            faults.append(("description", _short(err, stem)))
    if lines_file.is_file():
        lines = _check_lines(lines_file, faults)
    if video.is_file():
        frames = _check_video(video, faults, decode)
    # A cut line is a step, too: one damage shall not count as two.
    if lines is not None and frames is not None and frames not in (lines, lines + 1):
        faults.append(("frames", f"{frames} frames for {lines} lines"))
    if recording.meta is not None:
        _check_description(recording, lines, frames, faults)
    return Finding(
        name=name,
        state=state,
        decoded=decode,
        task=task_of(recording),
        player=player_of(recording),
        lines=lines,
        frames=frames,
        faults=tuple(faults),
    )


def _check_lines(path: Path, faults: list[tuple[str, str]]) -> int | None:
    """Number of lines; of each kind of fault the first is reported."""
    size = path.stat().st_size
    if size == 0 or size > MAX_LINE_FILE_BYTES:
        faults.append(("empty", f"{path.name} is empty") if not size else ("json", "far too large"))
        return 0 if not size else None
    found: dict[str, str] = {}
    count, tick = 0, None
    with path.open("rb") as file:
        for count, text in enumerate(file, start=1):
            try:
                line = Line.model_validate_json(text)
            except ValidationError as err:
                fault = err.errors()[0]
                kind = "json" if fault["type"] == "json_invalid" else "schema"
                field = ".".join(map(str, fault["loc"]))
                found.setdefault(kind, f"line {count}: {field} {fault['msg']}".replace("  ", " "))
                tick = None
                continue
            if tick is not None and line.tick != tick + 1:
                found.setdefault("ticks", f"line {count}: tick {line.tick} follows {tick}")
            elif count == 1 and line.tick != 0:
                found.setdefault("ticks", f"line 1: tick {line.tick}, not 0")
            tick = line.tick
    faults += found.items()
    return count


def _check_video(path: Path, faults: list[tuple[str, str]], decode: bool) -> int | None:
    try:
        info = probe(path)
    except RecordingError as err:
        faults.append(("video", _short(err, path)))
        return None
    if (info.width, info.height) != FRAME_SIZE:
        faults.append(("picture", f"{info.width}x{info.height}"))
    if abs(info.fps - STEPS_PER_SECOND) > 0.1:
        faults.append(("rate", f"{info.fps:g} Hz"))
    if not decode:
        return info.frames
    frames, fault = _decode(path)
    if fault is None and frames < info.frames:
        fault = f"{info.frames} frames are stored, {frames} can be decoded"
    if fault is not None:
        faults.append(("decoding", fault))
        return None
    return frames


def _decode(path: Path) -> tuple[int, str | None]:
    """Frames decoded, and what stopped that or was wrong with one.

    By default a decoder hides damage by guessing at the missing blocks; here it must not.
    """
    frames, damaged = 0, 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        try:
            for frame in container.decode(stream):
                frames += 1
                damaged += frame.is_corrupt
        except av.FFmpegError as err:
            return frames, f"after {frames} frames: {err.strerror}"
    return frames, f"{damaged} damaged frames" if damaged else None


def _check_description(
    recording: Recording, lines: int | None, frames: int | None, faults: list[tuple[str, str]]
) -> None:
    meta = recording.meta
    assert meta is not None
    for path, claimed in (
        (recording.video_path, meta.video_sha256),
        (recording.lines_path, meta.lines_sha256),
    ):
        if sha256_of(path) != claimed:
            faults.append(("changed", f"{path.name} is not the one described"))
    for what, claimed_count, count in (
        ("steps", meta.steps, lines),
        ("frames", meta.frames, frames),
    ):
        if count is not None and claimed_count != count:
            faults.append(("description", f"{what} {claimed_count}, the files have {count}"))


def _check_all(folder: Path, names: Sequence[str], decode: bool, jobs: int) -> Iterator[Finding]:
    check = partial(check_recording, folder, decode=decode)
    if jobs == 1 or len(names) < 2:
        yield from map(check, names)
        return
    # Spawned: decoders hold threads, which a fork would break.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(names)), mp_context=context)
    try:
        for future in as_completed([pool.submit(check, name) for name in names]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _state(stem: Path) -> str:
    parts = []
    for suffix in (".mp4", ".jsonl", ".json"):
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            stat = path.stat()
            parts.append(f"{suffix}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts)


def _read_findings(path: Path) -> dict[str, Finding]:
    """Findings of the last time; none where there was none, or it was another version's."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return {}
        return {
            row["name"]: Finding(**(row | {"faults": tuple(map(tuple, row["faults"]))}))
            for row in content["findings"]
        }
    except (ValueError, KeyError, TypeError):
        return {}


def _write_findings(folder: Path, findings: Sequence[Finding]) -> None:
    write_json(
        folder / VALIDATION_FILE,
        {"version": _VERSION, "findings": [asdict(finding) for finding in findings]},
    )
    quarantined = {
        finding.name: [f"{kind}: {details}" for kind, details in finding.faults]
        for finding in findings
        if finding.faults
    }
    write_json(folder / QUARANTINE_FILE, {"version": _VERSION, "recordings": quarantined})


def _short(error: Exception, path: Path) -> str:
    """The message without the folders of the path it names."""
    return str(error).replace(f"{path.parent}/", "")
