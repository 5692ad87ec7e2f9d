"""The suite's report: a table over all that is measured, a model card, the Pareto plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from basalt.io.atomic import replacing, write_json
from basalt.probes.suite.effects import MEASURES
from basalt.probes.suite.plots import draw_pareto
from basalt.probes.suite.records import METRICS, SITE, read_all

LABEL_SMALL = "smoke test: few frames; it shows that the suite runs, not what the policy knows"
ENOUGH_FRAMES = 100_000


def write_report(out: Path, seconds: float) -> dict[str, Any]:
    """Gather what is measured under OUT/saes into report.json, README.md and, with matplotlib, the plots.

    Returns:
        `config`, `label`, `measures` (columns of each effects.npy), `sites` (each site.json by name) and
        `saes` (each metrics.json), both without `per_episode`, `left_out` (what is wrong with those that
        cannot be read or are of an older version), `seconds` of this call.
    """
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    sites, wrong_sites = read_all(sorted((out / "saes").glob(f"*/{SITE}")))
    saes, wrong_saes = read_all(sorted((out / "saes").glob(f"*/*/{METRICS}")))
    # Long, and for whoever measures on; the page reads this file at each click.
    for row in (*sites, *saes):
        del row["per_episode"]
    frames = config["training_frames"] + config["held_out_frames"]
    report = {
        "format": "basalt-scope",
        "version": 1,
        "measures": list(MEASURES),
        "config": config,
        "label": LABEL_SMALL if frames < ENOUGH_FRAMES else "",
        "sites": {row["site"]: row for row in sites},
        "saes": saes,
        "left_out": [*wrong_sites, *wrong_saes],
        "seconds": seconds,
    }
    write_json(out / "report.json", report)
    with replacing(out / "README.md") as partial:
        partial.write_text(model_card(report), encoding="utf-8")
    draw_pareto(out, report)
    return report


def table_lines(report: dict[str, Any]) -> list[str]:
    """The metrics as a Markdown table, one row an autoencoder; divergences in thousandths of a nat."""
    lines = [
        "| site | autoencoder | L0 | unexplained | dead | gamma | BC loss + | KL, 10⁻³ | buttons | camera "
        "| ESC | recovered (zero) | recovered (mean) |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in report["saes"]:
        cells = [
            row["site"],
            row["name"],
            _figure(row, "l0", ".1f"),
            _unexplained(row),
            f"{row['dead_share']:.0%}",
            _figure(row, "gamma", ".3f"),
            _figure(row, "loss_change", "+.4f"),
            _figure(row, "kl", ".2f", 1000),
            *(f"{1000 * row[f'kl_{head}']:.3f}" for head in ("buttons", "camera", "esc")),
            _with_interval(row["recovered_zero"]),
            _with_interval(row["recovered_mean"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ablation_lines(report: dict[str, Any]) -> list[str]:
    """What each site is worth, as a Markdown table."""
    lines = [
        "| site | width | 8, 24 axes leave | clean loss | zero: loss + | KL buttons | KL camera | mean: loss + | KL buttons | KL camera |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in report["sites"].items():
        axes = ", ".join(_with_interval(share) for share in row["principal_unexplained"].values())
        cells = [f"{row['width']}", axes, f"{row['clean_loss']:.3f}"]
        for kind in ("zero", "mean"):
            figures = row[kind]
            cells += [
                _figure(figures, "loss_change", "+.4f"),
                f"{figures['kl_buttons']:.4f}",
                f"{figures['kl_camera']:.4f}",
            ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def concept_lines(report: dict[str, Any], site: str) -> list[str]:
    """For each concept at a site: the best latent of any autoencoder by training rows, beside controls."""
    raw = report["sites"][site]
    mine = [row for row in report["saes"] if row["site"] == site]
    lines = [
        "| concept | best latent | AUC | 5-latent probe | dense probe | best neuron | best principal axis | shuffled labels | random network's SAE |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    dense, neuron, axis, random = (
        {row["concept"]: row for row in raw[kind]}
        for kind in ("dense_probe", "best_neuron", "best_component", "random_network_sae")
    )
    for concept in dense:
        rows = [
            (sae["name"], each)
            for sae in mine
            for each in sae["concepts"]
            if each["concept"] == concept
        ]
        for name, each in rows:
            cells = [
                f"{name} #{each['latent']}",
                _auc(each),
                _number(each["sparse_probe_auc"].get("5"), ".3f"),
                _auc(dense[concept]),
                _auc(neuron[concept]),
                _auc(axis[concept]),
                _number(each["shuffled_labels_auc"], ".3f"),
                _auc(random[concept]),
            ]
            lines.append(f"| {concept} | " + " | ".join(cells) + " |")
    return lines


def left_out_line(report: dict[str, Any]) -> str:
    """What is not in the tables, in one line, however much it is; report.json lists all of it."""
    left = report["left_out"]
    others = f" (and {len(left) - 1} more, listed in report.json)" if len(left) > 1 else ""
    return f"Left out: {left[0]}{others}" if left else ""


def model_card(report: dict[str, Any]) -> str:
    """README.md of a suite."""
    config = report["config"]
    parts = [
        "# Policy Scope",
        "",
        "Sparse autoencoders on the activations of a behaviour-cloned policy, one token a frame.",
        "",
        f"- policy: `{config['checkpoint']}`, weights SHA-256 `{config['fingerprint'][:16]}…`, "
        f"task {config['task']}",
        f"- trained on {config['training_frames']} frames of {config['training_episodes']} episodes; every "
        f"figure below is on some of {config['held_out_frames']} frames of {config['held_out_episodes']} "
        "episodes that neither policy nor autoencoders saw; intervals are 95 % over episodes",
        f"- each autoencoder: {config['steps']} steps of {config['batch']} activations, Adam {config['lr']:g}",
        "- files: `sae_weights.safetensors` and `cfg.json`, read by SAELens; `latents.json` and "
        "`effects.npy` are what the Probes page shows",
    ]
    if report["label"]:
        parts += ["", f"**{report['label']}**"]
    parts += ["", "## What each site is worth", "", *ablation_lines(report)]
    parts += ["", "## Autoencoders", "", *table_lines(report)]
    for site in report["sites"]:
        if report["sites"][site]["dense_probe"]:
            parts += ["", f"## Concepts at {site}", "", *concept_lines(report, site)]
    left: dict[str, str] = {}
    for row in report["sites"].values():
        left |= row["concepts_left_out"]
    if left:
        parts += ["", "Not measured here: "]
        parts[-1] += "; ".join(f"{name} ({why})" for name, why in left.items()) + "."
    if report["left_out"]:
        parts += ["", left_out_line(report)]
    parts += [
        "",
        "## Limits",
        "",
        "Zero ablation is far from what the network ever sees, so recovery against the mean is the stricter "
        "figure. Effects on logits are first-order. A latent that tells a concept need not cause "
        "what the policy does there.",
    ]
    return "\n".join(parts) + "\n"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _interval(interval: list[float] | None, form: str) -> str:
    return "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"


def _figure(row: dict[str, Any], name: str, form: str, scale: float = 1) -> str:
    """A figure with its interval, `NAME_interval`, both times `scale`."""
    value, interval = row[name], row[f"{name}_interval"]
    scaled = None if value is None else scale * value
    return _number(scaled, form) + _interval(interval and [scale * end for end in interval], form)


def _unexplained(row: dict[str, Any]) -> str:
    explained = row["variance_explained_interval"]
    interval = explained and [1 - explained[1], 1 - explained[0]]
    return f"{1 - row['variance_explained']:.3f}{_interval(interval, '.3f')}"


def _with_interval(row: dict[str, Any]) -> str:
    return _number(row["value"], ".3f") + _interval(row["interval"], ".3f")


def _auc(row: dict[str, Any]) -> str:
    return _number(row["auc"], ".3f") + _interval(row.get("interval"), ".2f")
