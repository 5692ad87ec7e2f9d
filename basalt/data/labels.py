"""From recorder lines to the labels an agent learns: corrected, or as the published loaders made them.

`corrected` follows BEDD's facts for a whole play, however many files it has. `legacy` reproduces
the loaders of VPT and of the BASALT baselines (2022), with their faults, file by file; it exists to
measure what those faults cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator

from basalt.core.actions import (
    COLUMN,
    HOTBAR,
    EnvActions,
    VPTActions,
    camera_to_bins,
    env_to_indices,
    is_null,
)
from basalt.core.recorder_lines import (
    Line,
    decode_lines,
    lines_to_env,
    stuck_attack_steps,
)
from basalt.core.recording import Recording, files_below
from basalt.data.bedd import Play
from basalt.io.errors import ConfigError, RecordingError

LabelMode = Literal["corrected", "legacy"]
"""Labelling rules: BEDD's facts, or the published loaders' rules with their faults."""

_OLD_NAMES: dict[str, LabelMode] = {"mended": "corrected", "original": "legacy"}


def label_mode(name: str) -> LabelMode:
    """The labelling rules of that name. Files written before a rename say `mended` or `original`.

    Raises:
        ConfigError: The name is unknown.
    """
    for mode in get_args(LabelMode):
        if mode == _OLD_NAMES.get(name, name):
            return cast(LabelMode, mode)
    raise ConfigError(
        f"labels: unknown rules {name!r}; available: {', '.join(get_args(LabelMode))}"
    )


LabelSetting = Annotated[LabelMode, BeforeValidator(lambda name: _OLD_NAMES.get(str(name), name))]
"""Labelling rules as a setting; their names of before a rename are read too."""


@dataclass(frozen=True)
class Labels:
    """Labels of T frames: what the player did.

    Attributes:
        actions: Environment actions.
        indices: Their VPT indices.
        null: bool [T], the player did nothing: frames that training may leave out.
    """

    actions: EnvActions
    indices: VPTActions
    null: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.null)

    def span(self, start: int, stop: int) -> "Labels":
        """The labels of frames start..stop."""
        steps = slice(start, stop)
        buttons, camera, esc = self.indices
        indices = VPTActions(buttons[steps], camera[steps], esc[steps])
        return Labels(self.actions[steps], indices, self.null[steps])


def label_play(play: Play, mode: LabelMode = "corrected") -> list[Labels]:
    """Labels of a play, one `Labels` per recording."""
    return label_parts([part.lines for part in play.parts], mode, bedd=play.is_bedd)


def label_parts(
    parts: Sequence[Sequence[Line]], mode: LabelMode = "corrected", *, bedd: bool = True
) -> list[Labels]:
    """Labels of the files of one play.

    Corrected: fractions of a degree are kept; a slot change is a press on the line before it shows,
    also across files; a stuck attack button (`basalt.core.recorder_lines.stuck_attack_steps`) is
    released, also across files; ESC counts only on the play's last line; null is decided on the VPT
    indices after these corrections.

    Legacy: degrees are truncated to integers; a slot change is a press on the line on which it shows,
    and each file begins at slot 0; a stuck button and ESC are handled file by file; null means no
    known key, no button and no mouse movement in the raw line.

    Args:
        parts: Lines of each file, in order.
        mode: Labelling rules.
        bedd: Whether BEDD's recorder made the lines; this project's recordings have no stuck buttons.

    Raises:
        ConfigError: The mode is unknown.
    """
    if label_mode(mode) == "legacy":
        return [_legacy(lines) for lines in parts]
    starts = np.cumsum([0, *(len(lines) for lines in parts)])
    whole = [line for lines in parts for line in lines]
    actions = lines_to_env(whole, stuck_attack=bedd, part_starts=starts[:-1].tolist())
    indices = env_to_indices(actions)
    labels = Labels(actions, indices, is_null(indices))
    return [labels.span(begin, end) for begin, end in pairwise(starts.tolist())]


def _legacy(lines: Sequence[Line]) -> Labels:
    """Labels of one file as the published loaders make them."""
    recorded = decode_lines(lines)
    buttons = recorded.buttons
    buttons[stuck_attack_steps(lines), COLUMN["attack"]] = 0
    null = (recorded.camera == 0).all(axis=1) & ~buttons.any(axis=1)
    # The loaders decide what is null before they look at the slot: this order loses presses.
    slots = [0, *(line.hotbar for line in lines)]
    for t, (before, slot) in enumerate(pairwise(slots)):
        if slot != before:
            buttons[t, COLUMN[HOTBAR[slot]]] = 1
    actions = EnvActions(buttons, np.trunc(recorded.camera))
    return Labels(actions, env_to_indices(actions), null)


def read_line_file(path: Path) -> Sequence[Line]:
    """Recorder lines of a file, with or without a video beside it.

    Raises:
        RecordingError: The file is missing or empty, or a line does not fit the schema.
    """
    if not path.is_file():
        raise RecordingError(f"{path}: no such file of recorder lines")
    lines = Recording(path.with_name(path.name.removesuffix(".jsonl")), None).lines
    if not lines:
        raise RecordingError(f"{path}: has no lines")
    return lines


def line_files(paths: Sequence[str | Path]) -> list[Path]:
    """The .jsonl files among the paths and below the folders among them, in order.

    Raises:
        RecordingError: A path does not exist, or no file was found.
    """
    files = files_below(paths, ".jsonl")
    return list(
        dict.fromkeys(one.with_suffix(".jsonl") if one.suffix == ".mp4" else one for one in files)
    )


def labels_report(files: Sequence[Path]) -> pd.DataFrame:
    """What the legacy labels lose, file by file; each file is treated as a separate play.

    Returns:
        One row per file: `file, lines, camera_nonzero` (components), `camera_lost` (of them, cut
        to 0), `frames_moved, frames_still` (of them, all movement cut), `camera_wrong_bin`
        (components whose bin differs), `hotbar_presses, hotbar_lost` (of them, on a line that the
        legacy rules skip as null), `hotbar_spurious` (a press that the legacy rules see on the first line
        of a file that begins at another slot than 0),
        `stuck_lines` (attack seemed held), `esc_inside` (ESC before the last line),
        `null_raw` (by the legacy rule), `null_corrected`.

    Raises:
        RecordingError: A file cannot be read.
    """
    return pd.DataFrame([_compare(path, read_line_file(path)) for path in files])


def _compare(path: Path, lines: Sequence[Line]) -> dict[str, Any]:
    (corrected,) = label_parts([lines])
    legacy = _legacy(lines)
    raw = lines_to_env(lines, stuck_attack=False)
    exact, cut = corrected.actions.camera, legacy.actions.camera
    moved = exact != 0
    slots = np.array([line.hotbar for line in lines])
    changes = np.flatnonzero(np.diff(slots)) + 1
    return {
        "file": path.name,
        "lines": len(lines),
        "camera_nonzero": int(moved.sum()),
        "camera_lost": int((moved & (cut == 0)).sum()),
        "frames_moved": int(moved.any(axis=1).sum()),
        "frames_still": int((moved.any(axis=1) & (cut == 0).all(axis=1)).sum()),
        "camera_wrong_bin": int((camera_to_bins(exact) != camera_to_bins(cut)).sum()),
        "hotbar_presses": len(changes),
        "hotbar_lost": int(legacy.null[changes].sum()),
        "hotbar_spurious": int(slots[0] != 0),
        "stuck_lines": int((raw.column("attack") & ~corrected.actions.column("attack") & 1).sum()),
        "esc_inside": sum(line.ends_session for line in lines[:-1]),
        "null_raw": int(legacy.null.sum()),
        "null_corrected": int(corrected.null.sum()),
    }


def report_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Sums of a report, and shares; shares of zero are null."""
    total = table.drop(columns="file").sum()

    def share(part: str, whole: str) -> float | None:
        return round(float(total[part] / total[whole]), 4) if total[whole] else None

    return {
        "files": len(table),
        **{str(column): int(count) for column, count in total.items()},
        "share_camera_components_lost": share("camera_lost", "camera_nonzero"),
        "share_moving_frames_made_still": share("frames_still", "frames_moved"),
        "share_hotbar_presses_lost": share("hotbar_lost", "hotbar_presses"),
        "share_null_raw": share("null_raw", "lines"),
        "share_null_corrected": share("null_corrected", "lines"),
    }
