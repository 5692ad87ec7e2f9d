"""Plots of the statistics of recordings (`basalt.data.stats`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from basalt.core.actions import BUTTONS, N_CAMERA_BINS
from basalt.core.tasks import STEPS_PER_SECOND, TASKS
from basalt.data.stats import (
    ACTIVITIES,
    AXES,
    PARTS,
    UNKNOWN_TASK,
    activity_table,
    camera_histogram,
    summarise,
)
from basalt.io.claims import make_folder
from basalt.io.errors import MissingDependencyError

_WIDTH = 9.0
"""Width of a figure in inches."""

_MOST_PLAYERS = 40
"""Largest number of players in a plot; the tables list all."""

_COLOURS = dict(
    zip(
        (*TASKS, UNKNOWN_TASK),
        ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:gray"),
        strict=True,
    )
)

_ACTIVITY_COLOURS = (
    "tab:purple", "tab:orange", "tab:red", "tab:blue", "tab:cyan", "tab:olive", "0.85",
)  # fmt: skip


def write_plots(table: pd.DataFrame, out: Path) -> list[Path]:
    """Draw lengths, actions, activities, camera and endings as PNG files.

    Args:
        table: Table from `basalt.data.stats.play_table`.
        out: Folder for the files.

    Returns:
        The paths.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as err:
        raise MissingDependencyError(
            "missing dependency 'matplotlib'; install it with: pip install 'basalt-benchmark[plots]', or use --no-plots"
        ) from err
    make_folder(out, "folder of tables")
    written = []
    draws: dict[str, Callable[[Any, pd.DataFrame], None]] = {
        "lengths.png": _draw_lengths,
        "actions.png": _draw_actions,
        "activities.png": _draw_activities,
        "camera.png": _draw_camera,
        "endings.png": _draw_endings,
    }
    for name, draw in draws.items():
        figure = Figure(figsize=(_WIDTH, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, table)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="x", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
        figure.savefig(out / name, dpi=110)
        written.append(out / name)
    return written


def _title(task: object) -> str:
    return TASKS[str(task)].title if str(task) in TASKS else "unknown task"


def _legend(axes: Any) -> None:
    """Draw a legend beside the axes if there are several series."""
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)


def _of(table: pd.DataFrame) -> str:
    """The task for a title if there is only one."""
    tasks = table["task"].unique()
    return f", {_title(tasks[0])}" if len(tasks) == 1 else ""


def _draw_lengths(figure: Any, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    seconds = table["steps"] / STEPS_PER_SECOND
    unit, scale = ("minutes", 60) if seconds.max() > 120 else ("seconds", 1)
    lengths = seconds / scale
    edges = np.linspace(0, float(lengths.max()) * 1.001 or 1, min(31, 6 + len(table) // 4))
    tasks = list(table.groupby("task", sort=True))
    axes.hist(
        [lengths[plays.index] for _, plays in tasks],
        bins=edges,
        stacked=True,
        color=[_COLOURS.get(str(task), "tab:gray") for task, _ in tasks],
        label=[_title(task) for task, _ in tasks],
        edgecolor="white",
        linewidth=0.5,
    )
    axes.set(xlabel=f"length of a play ({unit})", ylabel="plays")
    axes.set_title(f"Lengths of {len(table)} plays{_of(table)}")
    axes.yaxis.get_major_locator().set_params(integer=True)
    _legend(axes)


def _draw_actions(figure: Any, table: pd.DataFrame) -> None:
    tasks = summarise(table).set_index("task")
    shares = 100 * tasks[[f"share.{button}" for button in BUTTONS]]
    shares.columns = pd.Index(BUTTONS)
    # Buttons that are held most come first; those that are never held are left out.
    order = shares.mean().sort_values(ascending=False, kind="stable")
    held = [button for button in order.index if order[button] > 0] or list(BUTTONS)
    height = 0.8 / len(tasks)
    figure.set_size_inches(_WIDTH, 1.4 + max(len(held), 3) * max(0.22, 0.09 * len(tasks)))
    axes = figure.subplots()
    rows = np.arange(len(held))
    for number, (task, row) in enumerate(shares[held].iterrows()):
        colour = _COLOURS.get(str(task), "tab:gray")
        bars = axes.barh(rows + number * height, row, height, label=_title(task), color=colour)
        axes.bar_label(bars, fmt="%.2g", padding=2, fontsize=6)
    axes.set_yticks(rows + 0.4 - height / 2, held, fontsize=9)
    axes.set_ylim(len(held) - 0.4, -0.8)
    never = len(BUTTONS) - len(held)
    axes.set(xlabel="steps in which the button is held (%)")
    axes.set_title(f"Actions{_of(table)}" + (f"; {never} others are never used" if never else ""))
    _legend(axes)


def _draw_activities(figure: Any, table: pd.DataFrame) -> None:
    shares = activity_table(table)
    tasks = list(shares.groupby("task", sort=True))
    columns = min(len(tasks), 2)
    lines = -(-len(tasks) // columns)
    figure.set_size_inches(_WIDTH, 0.8 + 3.2 * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.remove()
    for axes, (task, rows) in zip(grid.flat, tasks, strict=False):
        by_tenth = 100 * rows.pivot(index="tenth", columns="activity", values="share")
        axes.stackplot(
            np.arange(PARTS) * 100 / PARTS + 50 / PARTS,
            [by_tenth[activity] for activity in ACTIVITIES],
            labels=ACTIVITIES,
            colors=_ACTIVITY_COLOURS,
        )
        axes.set(title=_title(task), xlim=(50 / PARTS, 100 - 50 / PARTS), ylim=(0, 100))
        axes.set(xlabel="course of a play (%)", ylabel="steps (%)")
    figure.suptitle("What players do")
    _legend(grid.flat[min(columns, len(tasks)) - 1])


def _draw_camera(figure: Any, table: pd.DataFrame) -> None:
    histogram = camera_histogram(table)
    for axes, axis in zip(figure.subplots(1, 2, sharey=True), AXES, strict=True):
        for task, rows in histogram[histogram["axis"] == axis].groupby("task", sort=True):
            share = 100 * rows["steps"] / max(int(rows["steps"].sum()), 1)
            # A logarithmic axis cannot show zero.
            axes.plot(
                rows["bin"],
                share.where(share > 0),
                marker="o",
                label=_title(task),
                color=_COLOURS.get(str(task), "tab:gray"),
            )
        ticks = [f"{degrees:.1f}".removesuffix(".0") for degrees in rows["degrees"]]
        axes.set_xticks(range(N_CAMERA_BINS), ticks, fontsize=8)
        axes.set_xlim(-0.5, N_CAMERA_BINS - 0.5)
        axes.set(xlabel=f"{axis} (degrees a step, centre of VPT's bin)", yscale="log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(axis="y", color="0.9", linewidth=0.8)
    figure.axes[0].set_ylabel("steps (%, logarithmic)")
    figure.suptitle(f"Camera{_of(table)}")
    _legend(figure.axes[1])


def _draw_endings(figure: Any, table: pd.DataFrame) -> None:
    players = summarise(table, ["player"]).sort_values("plays", ascending=False, kind="stable")
    shown = players.head(_MOST_PLAYERS)
    figure.set_size_inches(_WIDTH, 1.6 + 0.22 * max(len(shown), 2))
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(shown))
    left.barh(rows, 100 * shown["share_esc_end"], 0.7)
    right.barh(rows, 100 * shown["share_null"], 0.7, color="tab:gray")
    names = [f"{row.player} ({row.plays})" for row in shown.itertuples()]
    left.set_yticks(rows, names, fontsize=8)
    left.set_ylim(max(len(shown), 2) - 0.4, -0.6)
    left.set(xlabel="plays ended by ESC (%)", xlim=(0, 100))
    right.set(xlabel="steps without any action (%)", xlim=(0, None))
    right.tick_params(axis="y", length=0)
    most = f"the {len(shown)} with most plays of {len(players)}"
    whose = most if len(players) > len(shown) else "by player"
    figure.suptitle(f"Endings and null steps, {whose} (plays){_of(table)}")
