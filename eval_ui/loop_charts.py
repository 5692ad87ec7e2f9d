"""Plots and the table of a loop of feedback (`basalt loop`)."""

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from basalt.core.loop_record import LoopRecord, find_loops
from eval_ui.charts import GREEN, LABELS, ORANGE
from eval_ui.probes_page.suites import DEEPEST, results_folder

HEIGHT = 240


def loops_by_title() -> dict[str, tuple[Path, LoopRecord]]:
    """All loops below `$BASALT_PROBES` (default: `runs`), by their path below it."""
    root = results_folder()
    return {
        str(folder.relative_to(root)): (folder, record)
        for folder, record in find_loops(root, DEEPEST)
    }


def rounds_table(record: LoopRecord) -> pd.DataFrame:
    """A row for each round; what is not known is empty."""
    return pd.DataFrame(
        {
            "Round": one.number,
            "Answers": one.labels,
            "Accuracy": one.accuracy,
            "Ceiling": one.ceiling,
            "Best control": one.control,
            "Reward": one.proxy,
            "Telemetry": one.gold,
            "KL": one.divergence,
            "ESC": one.stop_rate,
            "Success": one.success,
            "Low": one.success_interval[0],
            "High": one.success_interval[1],
        }
        for one in record.rounds
    )


def success_plot(record: LoopRecord) -> alt.LayerChart:
    """Success of each round's policy with its 95% interval."""
    base = alt.Chart(rounds_table(record)).encode(x=_rounds())
    axis = alt.Y("Success:Q", title="success", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))  # fmt: skip
    tooltip = ["Round", alt.Tooltip("Success:Q", format=".1%"), "Answers"]
    bars = base.mark_rule(strokeWidth=3, opacity=0.45, color=GREEN).encode(y="Low:Q", y2="High:Q")
    line = base.mark_line(**_marks(GREEN)).encode(y=axis, tooltip=tooltip)
    return (bars + line).properties(height=HEIGHT).configure_axis(**LABELS)


def proxy_plot(record: LoopRecord) -> alt.Chart:
    """What each round's reward model makes of its policy, against the start."""
    return (
        alt.Chart(rounds_table(record).dropna(subset=["Reward"]))
        .mark_line(**_marks(GREEN))
        .encode(
            x=_rounds(),
            y=alt.Y("Reward:Q", title="reward, in SD"),
            tooltip=["Round", alt.Tooltip("Reward:Q", format="+.2f"), alt.Tooltip("Accuracy:Q", format=".1%")],
        )
        .properties(height=HEIGHT)
        .configure_axis(**LABELS)
    )  # fmt: skip


def optimisation_plot(record: LoopRecord) -> alt.Chart:
    """Telemetry's score over the square root of the divergence: where more optimisation is worse, the line turns down."""
    frame = rounds_table(record).dropna(subset=["Telemetry"])
    frame = frame.assign(distance=frame["KL"] ** 0.5)
    return (
        alt.Chart(frame)
        .mark_line(**_marks(ORANGE))
        .encode(
            x=alt.X("distance:Q", title="distance from the start, √KL"),
            y=alt.Y("Telemetry:Q", title="score"),
            order="Round:Q",
            tooltip=["Round", alt.Tooltip("KL:Q", format=".4f"), alt.Tooltip("Telemetry:Q", format="+.3f")],
        )
        .properties(height=HEIGHT)
        .configure_axis(**LABELS)
    )  # fmt: skip


def _marks(color: str) -> dict[str, Any]:
    return {"color": color, "point": {"color": color, "size": 60}}


def _rounds(field: str = "Round:Q") -> alt.X:
    return alt.X(field, title="round", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
