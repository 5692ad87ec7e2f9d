"""Statistics of recordings: lengths, actions, activities, camera and endings, per task and player."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from basalt.core.actions import (
    BUTTONS,
    COLUMN,
    HOTBAR,
    N_CAMERA_BINS,
    bins_to_camera,
    camera_to_bins,
)
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.data.bedd import Play
from basalt.data.labels import LabelMode, label_play
from basalt.io.claims import make_folder
from basalt.io.console import progress_bar
from basalt.io.errors import RecordingError
from basalt.io.spreadsheet import write_csv

UNKNOWN_TASK = "unknown"

AXES = ("pitch", "yaw")
"""Axes of the camera, in the order of its arrays."""

CAMERA_COLUMNS = tuple(f"{axis}.{bin_}" for axis in AXES for bin_ in range(N_CAMERA_BINS))
"""Columns of the numbers of steps in each of VPT's camera bins, per axis."""

_HELD = tuple(f"steps.{button}" for button in BUTTONS)
_PRESSES = tuple(f"presses.{button}" for button in BUTTONS)

ACTIVITIES = ("screen", "use", "attack", "move", "look", "other", "idle")
"""What a player does in a step, the first that applies: a screen is open, `use` is held (placing, opening), `attack` is held,
a key of movement is held, the camera moves, another key is held, nothing."""

PARTS = 10
"""Number of equal parts of a play in which activities are counted."""

_ACTIVITY_COLUMNS = tuple(
    f"{activity}.{part}" for activity in ACTIVITIES for part in range(1, PARTS + 1)
)

_KEYS = {
    "use": ("use",),
    "attack": ("attack",),
    "move": ("forward", "back", "left", "right", "jump"),
    "other": ("sneak", "sprint", "drop", "inventory", "swapHands", "pickItem", *HOTBAR),
}
"""Keys of the activities that keys decide."""


def play_table(
    plays: Sequence[Play], labels: LabelMode = "corrected", *, progress: bool = True
) -> pd.DataFrame:
    """One row per play: player, length, and counts of steps; all other statistics are sums of these.

    Args:
        plays: Plays from `basalt.data.bedd.find_plays`.
        labels: Labelling rules.
        progress: Show a progress bar.

    Returns:
        Columns `task, player, play, recordings, steps, esc_end` (0 or 1), `null_steps, gui_steps,
        camera_steps` (the camera moved), `steps.BUTTON` for each of 23 buttons, in which it is held, `presses.BUTTON`,
        the number of times that it goes down, `pitch.0 .. yaw.10`: steps in each camera bin, and `ACTIVITY.1 ..
        ACTIVITY.10`: steps of each activity in each tenth of the play.

    Raises:
        RecordingError: A recording is damaged.
    """
    rows = []
    for play in progress_bar(plays, title="stats", unit="play", shown=progress):
        try:
            rows.append(_count(play.without_cache(), labels))
        except RecordingError as err:
            raise RecordingError(
                f"{err}; run `basalt data validate` to quarantine damaged recordings"
            ) from err
    return pd.DataFrame(rows)


def _count(play: Play, mode: LabelMode) -> dict[str, Any]:
    parts = label_play(play, mode)
    buttons = np.concatenate([part.actions.buttons for part in parts])
    bins = camera_to_bins(np.concatenate([part.actions.camera for part in parts]))
    lines = [line for recording in play.parts for line in recording.lines]
    camera_moves = (bins != N_CAMERA_BINS // 2).any(axis=1)
    screen_open = np.array([line.is_gui_open for line in lines], dtype=bool)
    activity = activities(buttons, camera_moves, screen_open)
    histogram = np.concatenate(
        [np.bincount(bins[:, axis], minlength=N_CAMERA_BINS) for axis in range(len(AXES))]
    )
    return {
        "task": play.task or UNKNOWN_TASK,
        "player": play.player,
        "play": play.name,
        "recordings": len(play.parts),
        "steps": len(lines),
        "esc_end": int(bool(lines) and lines[-1].ends_session),
        "null_steps": int(sum(part.null.sum() for part in parts)),
        "gui_steps": int(screen_open.sum()),
        "camera_steps": int(camera_moves.sum()),
        **dict(zip(_HELD, buttons.sum(axis=0).tolist(), strict=True)),
        **dict(zip(_PRESSES, _presses(buttons).tolist(), strict=True)),
        **dict(zip(CAMERA_COLUMNS, histogram.tolist(), strict=True)),
        **dict(zip(_ACTIVITY_COLUMNS, _activity_counts(activity).tolist(), strict=True)),
    }


def _presses(buttons: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each button goes down, int64 [23], by uint8 [T, 23]."""
    before = np.zeros((1, buttons.shape[1]), buttons.dtype)
    down = np.diff(np.concatenate([before, buttons]).astype(np.int8), axis=0) == 1
    return down.sum(axis=0)


def activities(
    buttons: NDArray[np.uint8], camera_moves: NDArray[np.bool_], screen_open: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The activity of each step, as an index into `ACTIVITIES`.

    Args:
        buttons: uint8 [T, 23], 1 where held.
        camera_moves: bool [T].
        screen_open: bool [T].

    Returns:
        int64 [T].
    """
    held = {
        name: buttons[:, [COLUMN[key] for key in keys]].any(axis=1) for name, keys in _KEYS.items()
    }
    applies = {
        "screen": screen_open,
        "look": camera_moves,
        "idle": np.ones(len(buttons), bool),
    } | held
    return np.argmax([applies[name] for name in ACTIVITIES], axis=0)


def _activity_counts(activity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of each activity in each tenth of a play, int64 [activities * tenths], by int64 [T]."""
    part = np.arange(len(activity)) * PARTS // max(len(activity), 1)
    return np.bincount(activity * PARTS + part, minlength=len(_ACTIVITY_COLUMNS))


def summarise(table: pd.DataFrame, by: Sequence[str] = ("task",)) -> pd.DataFrame:
    """Sums and shares per group; an empty `by` gives one row for everything.

    Args:
        table: Table from `play_table`.
        by: Columns to group by: `task`, `player`, or both.

    Returns:
        One row per group: plays, recordings, steps, hours, seconds of the shortest, median and longest
        play and of the quartiles, shares of plays that end with ESC and of steps that are null, in a screen, or move
        the camera, `share.BUTTON`, the share of steps in which it is held, and `per_minute.BUTTON`, how often it goes down
        in a minute.
    """
    rows = []
    groups: Iterable[tuple[Any, pd.DataFrame]] = (
        table.groupby(list(by), sort=True) if by else [((), table)]
    )
    for key, plays in groups:
        steps = int(plays["steps"].sum())
        seconds = plays["steps"] / STEPS_PER_SECOND
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "plays": len(plays),
                "recordings": int(plays["recordings"].sum()),
                "steps": steps,
                "hours": round(steps / STEPS_PER_SECOND / 3600, 3),
                "shortest_s": float(seconds.min()),
                "lower_quartile_s": float(seconds.quantile(0.25)),
                "median_s": float(seconds.median()),
                "upper_quartile_s": float(seconds.quantile(0.75)),
                "longest_s": float(seconds.max()),
                "share_esc_end": _share(plays["esc_end"].sum(), len(plays)),
                "share_null": _share(plays["null_steps"].sum(), steps),
                "share_gui": _share(plays["gui_steps"].sum(), steps),
                "share_camera": _share(plays["camera_steps"].sum(), steps),
                **{
                    f"share.{button}": _share(plays[column].sum(), steps)
                    for button, column in zip(BUTTONS, _HELD, strict=True)
                },
                **{
                    f"per_minute.{button}": _share(
                        plays[column].sum(), steps / STEPS_PER_SECOND / 60
                    )
                    for button, column in zip(BUTTONS, _PRESSES, strict=True)
                },
            }
        )
    return pd.DataFrame(rows)


def _share(part: float, whole: float) -> float:
    return round(float(part) / float(whole), 5) if whole else 0.0


def camera_histogram(table: pd.DataFrame) -> pd.DataFrame:
    """Steps in each camera bin per task: columns `task, axis, bin, degrees` (its centre), `steps`."""
    centres = bins_to_camera(np.arange(N_CAMERA_BINS))
    return pd.DataFrame(
        {
            "task": task,
            "axis": axis,
            "bin": bin_,
            "degrees": round(float(centres[bin_]), 4),
            "steps": int(plays[f"{axis}.{bin_}"].sum()),
        }
        for task, plays in table.groupby("task", sort=True)
        for axis in AXES
        for bin_ in range(N_CAMERA_BINS)
    )


def activity_table(table: pd.DataFrame) -> pd.DataFrame:
    """What players do in the course of a play, per task: columns `task, activity, tenth` (1 to 10), `steps, share`.

    `share` is that of the steps in this tenth of all plays of the task; the shares of a tenth add up to 1.
    """
    rows = [
        {
            "task": task,
            "activity": activity,
            "tenth": part,
            "steps": int(plays[f"{activity}.{part}"].sum()),
            "share": _share(
                plays[f"{activity}.{part}"].sum(),
                sum(plays[f"{one}.{part}"].sum() for one in ACTIVITIES),
            ),
        }
        for task, plays in table.groupby("task", sort=True)
        for activity in ACTIVITIES
        for part in range(1, PARTS + 1)
    ]
    return pd.DataFrame(rows)


def write_tables(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write `plays.parquet` and, as CSV, the summaries, activities and the camera histogram; returns the paths."""
    make_folder(out, "folder of tables")
    plays = out / "plays.parquet"
    table.to_parquet(plays, index=False)
    written = [plays]
    for name, content in (
        ("tasks.csv", summarise(table, ["task"])),
        ("players.csv", summarise(table, ["task", "player"])),
        ("camera.csv", camera_histogram(table)),
        ("activities.csv", activity_table(table)),
    ):
        write_csv(content, out / name)
        written.append(out / name)
    return written
