"""What sparsity costs: loss recovered, and divergence from the policy as it is, against L0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = 3
SHOWN = (0.85, 1.15)
"""Of loss recovered; intervals at a site that is worth little go far beyond."""

Row = Mapping[str, Any]


def draw_pareto(folder: Path, report: Mapping[str, Any]) -> None:
    """Write pareto.png (loss recovered) and pareto-kl.png (KL of all heads), 95 % intervals over episodes.

    One panel a site, one line an architecture and width. Without matplotlib, of the extra `plots`, nothing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    sites = list(report["sites"])
    if not sites:
        return
    kinds = sorted({_kind(row) for row in report["saes"]})
    colours = {kind: f"C{i % 10}" for i, kind in enumerate(kinds)}
    columns, lines = min(COLUMNS, len(sites)), -(-len(sites) // COLUMNS)
    for name, label, draw in (
        ("pareto.png", "loss recovered (mean)", _recovered),
        ("pareto-kl.png", "KL from the policy, nats", _divergence),
    ):
        figure = Figure(figsize=(4.2 * columns, 2.9 * lines + 0.5), layout="constrained")
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axis, site in zip(axes, sites, strict=False):
            for kind in kinds:
                rows = [r for r in report["saes"] if r["site"] == site and _kind(r) == kind]
                draw(axis, sorted(rows, key=lambda row: row["l0"]), colours[kind])
            axis.set(title=site, xlabel="L0", ylabel=label)
            axis.grid(alpha=0.25)
        for axis in axes[len(sites) :]:
            axis.axis("off")
        handles = [
            axes[0].plot([], [], marker="o", color=colours[kind], markersize=4)[0] for kind in kinds
        ]
        figure.legend(handles, kinds, loc="outside lower center", ncols=2 * columns, fontsize=9)
        figure.savefig(folder / name, dpi=110)


def _kind(row: Row) -> str:
    return f"{row['training']['architecture']} {row['training']['width']}"


def _recovered(axis: Any, rows: Sequence[Row], colour: str) -> None:
    """Points with their intervals; `SHOWN`, or more where a point lies beyond."""
    rows = [row for row in rows if row["recovered_mean"]["value"] is not None]
    for row in rows:
        if interval := row["recovered_mean"]["interval"]:
            axis.plot([row["l0"]] * 2, interval, color=colour, alpha=0.35, linewidth=2.5)
    values = [row["recovered_mean"]["value"] for row in rows]
    axis.plot([row["l0"] for row in rows], values, marker="o", color=colour, markersize=4)
    axis.axhline(1, color="grey", linewidth=0.6)
    points = [y for line in axis.lines if line.get_marker() == "o" for y in line.get_ydata()]
    axis.set_ylim(min(SHOWN[0], *points, 1), max(SHOWN[1], *points, 1))


def _divergence(axis: Any, rows: Sequence[Row], colour: str) -> None:
    """Points with their intervals, on a logarithmic scale."""
    axis.set_yscale("log")
    for row in rows:
        if row["kl_interval"]:
            axis.plot([row["l0"]] * 2, row["kl_interval"], color=colour, alpha=0.35, linewidth=2.5)
    axis.plot(
        [row["l0"] for row in rows],
        [row["kl"] for row in rows],
        marker="o",
        color=colour,
        markersize=4,
    )
