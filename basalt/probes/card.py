"""The suite's report: a table over all that is measured, a model card, the Pareto plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from basalt.files import write_json
from basalt.probes.effects import MEASURES
from basalt.probes.plots import draw_pareto

LABEL_SMALL = "smoke test: few frames; it shows that the suite runs, not what the policy knows"
ENOUGH_FRAMES = 100_000


def write_report(out: Path, seconds: float) -> dict[str, Any]:
    """Gather what is measured under OUT/saes into report.json, README.md and, with matplotlib, the plots.

    Returns:
        `config`, `label`, `measures` (columns of each effects.npy), `sites` (by name, see `scope`), `saes` (metrics of each), `seconds` of this call.
    """
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    sites = {
        file.parent.name: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((out / "saes").glob("*/site.json"))
    }
    saes = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((out / "saes").glob("*/*/metrics.json"))
    ]
    frames = config["training_frames"] + config["held_out_frames"]
    report = {
        "format": "basalt-scope",
        "version": 1,
        "measures": list(MEASURES),
        "config": config,
        "label": LABEL_SMALL if frames < ENOUGH_FRAMES else "",
        "sites": sites,
        "saes": saes,
        "seconds": seconds,
    }
    write_json(out / "report.json", report)
    _write_text(out / "README.md", model_card(report))
    draw_pareto(out, report)
    return report


def table_lines(report: dict[str, Any], *, site: str | None = None) -> list[str]:
    """The metrics as a Markdown table, one row an autoencoder."""
    lines = [
        "| site | autoencoder | L0 | unexplained | dead | gamma | BC loss + | KL buttons | KL camera "
        "| KL ESC | recovered (zero) | recovered (mean) |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in report["saes"]:
        if site in (None, row["site"]):
            lines.append(
                f"| {row['site']} | {row['name']} | {row['l0']:.1f} | {1 - row['variance_explained']:.3f} "
                f"| {row['dead_share']:.0%} | {_number(row['gamma'], '.3f')} | {row['loss_change']:+.4f}"
                f"{_interval(row['loss_change_interval'], '+.4f')} | {row['kl_buttons']:.4f} "
                f"| {row['kl_camera']:.4f} | {row['kl_esc']:.5f} | {_with_interval(row['recovered_zero'])} "
                f"| {_with_interval(row['recovered_mean'])} |"
            )
    return lines


def ablation_lines(report: dict[str, Any]) -> list[str]:
    """What each site is worth, as a Markdown table."""
    lines = [
        "| site | width | 8, 24 axes leave | clean loss | zero: loss + | KL buttons | KL camera | mean: loss + | KL buttons | KL camera |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in report["sites"].items():
        axes = ", ".join(f"{share:.3f}" for share in row["principal_unexplained"].values())
        cells = [f"{row['width']}", axes, f"{row['clean_loss']:.3f}"]
        for kind in ("zero", "mean"):
            figures = row[kind]
            cells += [
                f"{figures['loss_change']:+.4f}{_interval(figures['loss_change_interval'], '+.4f')}",
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


def _with_interval(row: dict[str, Any]) -> str:
    return _number(row["value"], ".3f") + _interval(row["interval"], ".3f")


def _auc(row: dict[str, Any]) -> str:
    return _number(row["auc"], ".3f") + _interval(row.get("interval"), ".2f")


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
