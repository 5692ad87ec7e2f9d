"""Recordings that are worth imitating: those whose telemetry shows success."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from basalt.core.recording import Recording, find_recordings
from basalt.core.scoring import can_score, outcome
from basalt.core.tasks import get_task
from basalt.io.atomic import replacing_folder
from basalt.io.errors import ConfigError


@dataclass(frozen=True)
class Selection:
    """What was gathered.

    Attributes:
        kept: Number of recordings that succeed.
        failed: Number of those that do not.
        unknown: Number of those that telemetry cannot score.
    """

    kept: int
    failed: int
    unknown: int


def select_successful(folders: Iterable[str | Path], out: Path) -> Selection:
    """Gather the recordings that succeed in one new folder, as hard links where the disk allows, else as copies.

    Args:
        folders: Folders of recordings.
        out: New folder.

    Raises:
        ConfigError: `out` exists, no recording succeeds, or two of them have the same name.
        BasaltError: A folder or a recording cannot be read.
        OSError: `out` cannot be written.
    """
    if out.exists():
        raise ConfigError(f"--out: expected a new folder, got {out}, which exists; choose another")
    recordings = [one for folder in folders for one in find_recordings(folder)]
    outcomes = [succeeds(one) for one in recordings]
    kept: dict[str, Recording] = {}
    for one, success in zip(recordings, outcomes, strict=True):
        if not success:
            continue
        if one.name in kept:
            raise ConfigError(
                f"{one.name}: expected names that differ, got it in {kept[one.name].video_path.parent} and in "
                f"{one.video_path.parent}; record them with different seeds"
            )
        kept[one.name] = one
    found = Selection(len(kept), outcomes.count(False), outcomes.count(None))
    if not kept:
        raise ConfigError(
            f"expected recordings that succeed by telemetry, got {found.failed} that fail and {found.unknown} that "
            "cannot be scored; record more demonstrations"
        )
    with replacing_folder(out) as folder:
        for one in kept.values():
            for file in (one.video_path, one.lines_path, one.meta_path):
                _link(file, folder / file.name)
    return found


def succeeds(recording: Recording) -> bool | None:
    """Whether a recording succeeds by telemetry; None if that cannot say, or it is BEDD's."""
    if recording.meta is None:
        return None
    task, telemetry = get_task(recording.meta.task), recording.telemetry()
    if not can_score(task, telemetry):
        return None
    return outcome(task, telemetry, recording.meta.ended).success


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(source, target)
