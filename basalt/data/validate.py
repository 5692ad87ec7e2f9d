"""Check all recordings of a folder; broken ones are listed, never deleted.

Writes two files into the folder, unless it is the package's own sample: `validation.json` holds the findings,
so that the next run checks only new and changed recordings; `quarantine.json` lists broken recordings, which
loaders skip.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import BaseModel, ConfigDict

from basalt.core.recording import Recording, recordings_folder
from basalt.core.recording_checks import FAULT_KINDS, WARNING_KINDS, inspect
from basalt.core.records import Record
from basalt.data.bedd import QUARANTINE_FILE, player_of, stems_in, task_of
from basalt.io.atomic import write_json
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.paths import is_shipped
from basalt.io.processes import spawned_pool

VALIDATION_FILE = "validation.json"


class Finding(BaseModel):
    """Findings about one recording.

    Attributes:
        name: Path below the folder, without suffix.
        state: Sizes and times of its files, to detect changes.
        decoded: Whether all frames were decoded, not only counted.
        task: Name of the task; None if unknown.
        player: Name of the player.
        lines: Number of lines; None if they cannot be counted.
        frames: Number of frames; None if they cannot be counted.
        faults: Kind (see `FAULT_KINDS`) and details of each fault.
        warnings: The same of each warning (see `WARNING_KINDS`); these are not quarantined.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: str
    decoded: bool
    task: str | None
    player: str
    lines: int | None
    frames: int | None
    faults: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...] = ()


class Validation(Record):
    """Findings of the last run: `validation.json`."""

    FORMAT: ClassVar[str] = "basalt-validation"
    VERSION: ClassVar[int] = 2
    MAX_BYTES: ClassVar[int] = 32 * 2**20

    findings: tuple[Finding, ...]

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        """Findings of fewer checks count for nothing; raise the version when checks are added."""
        return {"findings": ()}


def validate(
    folder: str | Path, *, decode: bool = True, jobs: int = 1, progress: bool = True
) -> list[Finding]:
    """Check all recordings in a folder and below it, and write the lists.

    Args:
        folder: Folder of recordings, at any depth.
        decode: Whether to decode every frame; see `basalt.core.recording_checks.inspect`.
        jobs: Number of parallel processes.
        progress: Whether to show a progress bar on stderr.

    Returns:
        Findings sorted by name; those of unchanged recordings are taken from the last run.

    Raises:
        RecordingError: The folder does not exist or has no recordings.
        ConfigError: `jobs` is below 1.
    """
    if jobs < 1:
        raise ConfigError(f"jobs: expected an integer of at least 1, got {jobs}")
    folder = recordings_folder(folder)
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
    shown = progress and bool(todo)
    try:
        with progress_bar(total=len(todo), title="validate", unit="rec", shown=shown) as bar:
            for finding in _check_all(folder, todo, decode, jobs):
                findings[finding.name] = finding
                bar.update()
    finally:
        # Also after an interruption: what was checked is not checked again.
        ordered = [findings[name] for name in sorted(findings)]
        if not is_shipped(folder):
            _write_findings(folder, ordered)
    return ordered


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """One row per recording; `faults` and `warnings` are the kinds, comma-separated, "" if there are none."""
    rows = [
        finding.model_dump()
        | {
            "faults": ", ".join(kind for kind, _ in finding.faults),
            "warnings": ", ".join(kind for kind, _ in finding.warnings),
            "details": "; ".join(details for _, details in (*finding.faults, *finding.warnings)),
        }
        for finding in findings
    ]
    return pd.DataFrame(rows).drop(columns="state")


def findings_summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Numbers of sound and broken recordings, and of each kind of fault and warning."""
    warned = [kind for finding in findings for kind in dict(finding.warnings)]
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
        "faults": {kind: kinds.count(kind) for kind in FAULT_KINDS if kind in kinds},
        "warnings": {kind: warned.count(kind) for kind in WARNING_KINDS if kind in warned},
        "quarantined": broken,
    }


def look_at(folder: Path, name: str, decode: bool = True) -> Finding:
    """Check one recording; all faults are reported, not only the first."""
    stem = folder / name
    state = _state(stem)
    recording = Recording(stem, None)
    faults: list[tuple[str, str]] = []
    if recording.video_path.is_file() and recording.lines_path.is_file():
        try:
            recording = Recording.open(stem)
        except RecordingError as err:
            faults.append(("description", str(err).replace(f"{stem.parent}/", "")))
    found = inspect(recording, decode=decode)
    faults += [
        (fault.kind, f"{fault.path.name} {fault.brief}" if fault.kind == "changed" else fault.brief)
        for fault in found.faults
    ]
    return Finding(
        name=name,
        state=state,
        decoded=decode,
        task=task_of(recording),
        player=player_of(recording),
        lines=found.lines,
        frames=found.frames,
        faults=tuple(faults),
        warnings=tuple((warning.kind, warning.brief) for warning in found.warnings),
    )


def _check_all(folder: Path, names: Sequence[str], decode: bool, jobs: int) -> Iterator[Finding]:
    check = partial(look_at, folder, decode=decode)
    if jobs == 1 or len(names) < 2:
        yield from map(check, names)
        return
    with spawned_pool(min(jobs, len(names))) as pool:
        for future in as_completed([pool.submit(check, name) for name in names]):
            yield future.result()


def _state(stem: Path) -> str:
    parts = []
    for suffix in (".mp4", ".jsonl", ".json"):
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            stat = path.stat()
            parts.append(f"{suffix}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts)


def _read_findings(path: Path) -> dict[str, Finding]:
    """Findings of the last run by name; empty if there are none that can be read."""
    try:
        return {finding.name: finding for finding in Validation.read(path).findings}
    except ConfigError:
        return {}


def _write_findings(folder: Path, findings: Sequence[Finding]) -> None:
    Validation(findings=tuple(findings)).write(folder / VALIDATION_FILE)
    quarantined = {
        finding.name: [f"{kind}: {details}" for kind, details in finding.faults]
        for finding in findings
        if finding.faults
    }
    write_json(folder / QUARANTINE_FILE, {"version": 1, "recordings": quarantined})
