"""Plots of what sparsity costs: loss recovered and divergence from the policy, against L0."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from basalt.probes.records import SAEResult, SuiteReport

COLUMNS = 3
SHOWN = (0.85, 1.15)
"""Range of loss recovered that is shown; at hook points that are worth little, intervals are far wider."""


def draw_pareto(folder: Path, report: SuiteReport) -> None:
    """Write `pareto.png` (loss recovered) and `pareto-kl.png` (KL of all heads) with 95% intervals.

    One panel per hook point, one line per architecture and width. Without matplotlib (extra `plots`)
    nothing is written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    names = list(report.hook_points)
    if not names:
        return
    kinds = sorted({_kind(row) for row in report.saes})
    colours = {kind: f"C{i % 10}" for i, kind in enumerate(kinds)}
    columns, lines = min(COLUMNS, len(names)), -(-len(names) // COLUMNS)
    for file, label, draw in (
        ("pareto.png", "loss recovered (mean)", _loss_recovered),
        ("pareto-kl.png", "KL from the policy, nats", _divergence),
    ):
        figure = Figure(figsize=(4.2 * columns, 2.9 * lines + 0.5), layout="constrained")
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axis, name in zip(axes, names, strict=False):
            for kind in kinds:
                rows = [r for r in report.saes if r.hook_point == name and _kind(r) == kind]
                draw(axis, sorted(rows, key=lambda row: row.l0.value or 0), colours[kind])
            axis.set(title=name, xlabel="L0", ylabel=label)
            axis.grid(alpha=0.25)
        for axis in axes[len(names) :]:
            axis.axis("off")
        handles = [
            axes[0].plot([], [], marker="o", color=colours[kind], markersize=4)[0] for kind in kinds
        ]
        figure.legend(handles, kinds, loc="outside lower center", ncols=2 * columns, fontsize=9)
        figure.savefig(folder / file, dpi=110)


def _kind(row: SAEResult) -> str:
    return f"{row.training.architecture} {row.training.width}"


def _loss_recovered(axis: Any, rows: Sequence[SAEResult], colour: str) -> None:
    """Points with their intervals, on the range `SHOWN` or more if a point is outside."""
    rows = [row for row in rows if row.loss_recovered_mean.value is not None]
    _points(axis, rows, "loss_recovered_mean", colour)
    axis.axhline(1, color="grey", linewidth=0.6)
    points = [y for line in axis.lines if line.get_marker() == "o" for y in line.get_ydata()]
    axis.set_ylim(min(SHOWN[0], *points, 1), max(SHOWN[1], *points, 1))


def _divergence(axis: Any, rows: Sequence[SAEResult], colour: str) -> None:
    """Points with their intervals, on a logarithmic scale."""
    axis.set_yscale("log")
    _points(axis, rows, "kl", colour)


def _points(axis: Any, rows: Sequence[SAEResult], name: str, colour: str) -> None:
    estimates = [getattr(row, name) for row in rows]
    l0 = [row.l0.value for row in rows]
    for x, estimate in zip(l0, estimates, strict=True):
        if estimate.interval:
            axis.plot([x] * 2, estimate.interval, color=colour, alpha=0.35, linewidth=2.5)
    values = [estimate.value for estimate in estimates]
    axis.plot(l0, values, marker="o", color=colour, markersize=4)
