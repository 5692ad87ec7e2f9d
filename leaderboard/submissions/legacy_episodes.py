"""Convert the original benchmark's episodes to recordings.

An episode is `seed_N.mp4` with `seed_N.jsonl` (a line per step with the environment's `action`, and one frame
more than lines), or the video alone, as in the evaluation data set. Unless the task is given, a folder above
is named after it (`find_cave`, `FindCave`, `MineRLBasaltFindCave-v0`). These files have no telemetry, and
without lines no input either.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import basalt
from basalt.core.actions import BUTTONS, validate_action
from basalt.core.recorder_lines import Line, encode_input
from basalt.core.recording import Ended, RecordingMeta, line_texts, sha256_of
from basalt.core.tasks import TASKS, Task
from basalt.core.video import probe
from basalt.io.errors import BasaltError, RecordingError
from basalt.io.untrusted import parse_json

_NAME = re.compile(r"seed_([0-9]{1,18})\.mp4")


@dataclass(frozen=True)
class LegacyOrigin:
    """Facts that the original benchmark's files do not contain.

    Attributes:
        player: Name of the player.
        world: World of the episodes.
        world_version: Version of the world; the original benchmark used MineRL 1.0.
        task: Name of the task; None reads it from the folder's name.
    """

    player: str
    world: str = "minerl"
    world_version: str = "1.0"
    task: str | None = None


def is_legacy(folder: Path) -> bool:
    """Whether a folder holds only episodes of the original benchmark."""
    videos = list(folder.rglob("*.mp4")) if folder.is_dir() else []
    return bool(videos) and all(
        _NAME.fullmatch(video.name) and not video.with_suffix(".json").exists() for video in videos
    )


def convert_legacy(folder: Path, out: Path, origin: LegacyOrigin) -> list[str]:
    """Convert all episodes below a folder to recordings; returns the problems, one line each.

    Args:
        folder: Folder of the episodes; it is not changed.
        out: Folder for the recordings; each task gets a folder in it.
        origin: Facts that the files do not contain.
    """
    faults = []
    for video in sorted(folder.rglob("*.mp4")):
        try:
            _convert(video, folder, out, origin)
        except BasaltError as err:
            faults.append(f"{video.relative_to(folder)}: {err}".replace(f"{video.parent}/", ""))
    return faults


def task_of_name(name: str) -> Task | None:
    """The task with a name of the original benchmark; None if there is none."""
    key = re.sub(r"^MineRLBasalt|-v0$|[_ -]", "", name).casefold()
    found = [task for task in TASKS.values() if task.env_id.casefold() == key]
    return found[0] if found else None


def _convert(video: Path, folder: Path, out: Path, origin: LegacyOrigin) -> None:
    match = _NAME.fullmatch(video.name)
    if match is None:
        raise RecordingError("expected a file named seed_N.mp4")
    named = [origin.task] if origin.task else reversed(video.relative_to(folder.parent).parts[:-1])
    task = next((task for name in named if (task := task_of_name(name))), None)
    if task is None:
        raise RecordingError("unknown task; name the folder after it, or give --task")
    if video.is_symlink():
        raise RecordingError("is a link; submit the file itself")
    info = probe(video)
    source = video.with_suffix(".jsonl")
    lines = list(_lines(source)) if source.is_file() else _unknown(info.frames - 1)
    if not lines:
        raise RecordingError("has no steps")
    ended: Ended = "esc" if source.is_file() and lines[-1].ends_session else "unknown"
    if len(lines) == task.step_limit:
        ended = "limit"
    target = out / task.name / f"seed_{int(match[1])}"
    if target.with_suffix(".mp4").exists():
        raise RecordingError(f"is the second video of {task.name} with seed {int(match[1])}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, target.with_suffix(".mp4"))
    # Unknown input is written as null.
    text = "".join(f"{line.model_dump_json(by_alias=True, exclude_unset=True)}\n" for line in lines)
    target.with_suffix(".jsonl").write_text(text, encoding="utf-8")
    meta = RecordingMeta(
        task=task.name,
        world=origin.world,
        world_version=origin.world_version,
        seed=int(match[1]),
        player=origin.player,
        player_kind="agent",
        ended=ended,
        steps=len(lines),
        frames=info.frames,
        step_limit=task.step_limit,
        package_version=basalt.__version__,
        created=datetime.fromtimestamp(video.stat().st_mtime, UTC).replace(microsecond=0),
        video_sha256=sha256_of(target.with_suffix(".mp4")),
        lines_sha256=sha256_of(target.with_suffix(".jsonl")),
        final_telemetry=None,
    )
    target.with_suffix(".json").write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _unknown(steps: int) -> list[Line]:
    return [
        Line(mouse=None, keyboard=None, hotbar=0, tick=tick, is_gui_open=False)
        for tick in range(steps)
    ]


def _lines(path: Path) -> Iterator[Line]:
    line: Line | None = None
    for tick, text in enumerate(line_texts(path)):
        try:
            data = parse_json(text)
            # Zeros are omitted; arrays are lists, and the camera is nested in one more list.
            given = {name: _flat(name, value) for name, value in data["action"].items()}
            action = validate_action(given)
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise RecordingError(
                f"{path.name}, line {tick + 1}: has no valid action ({type(err).__name__}: {err})"
            ) from err
        except BasaltError as err:
            raise RecordingError(f"{path.name}, line {tick + 1}: {err}") from err
        line = _line(tick, action, line)
        yield line


def _flat(name: str, value: Any) -> Any:
    if name == "camera":
        return value[0] if isinstance(value, list) and isinstance(value[0], list) else value
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _line(tick: int, action: Mapping[str, Any], before: Line | None) -> Line:
    """A line without the world's state, which these files do not have."""
    held = [button for button in BUTTONS if action[button]]
    mouse, keyboard = encode_input(held, action["camera"], before=before)
    return Line(mouse=mouse, keyboard=keyboard, hotbar=0, tick=tick, is_gui_open=False)
