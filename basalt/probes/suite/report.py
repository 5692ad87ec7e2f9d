"""The suite's report: `report.json`, a model card with all tables (`README.md`), and the Pareto plots."""

from pathlib import Path

from basalt.io.atomic import write_text
from basalt.probes.records import (
    HookPointResult,
    SAEResult,
    SuiteReport,
    SuiteSettings,
    number,
    read_results,
    table_row,
)
from basalt.probes.suite.effects import MEASURES
from basalt.probes.suite.plots import draw_pareto

LABEL_SMALL = "smoke test: few frames; it shows that the suite runs, not what the policy knows"
ENOUGH_FRAMES = 100_000


def write_report(out: Path, seconds: float) -> SuiteReport:
    """Gather all results under OUT/saes into report.json, README.md and, with matplotlib, the plots.

    Args:
        out: Folder of the suite.
        seconds: Duration of the call that measured.
    """
    config = SuiteSettings.read(out / "config.json")
    hook_points, problems = read_results(HookPointResult, sorted(out.glob("saes/*/site.json")))
    saes, more_problems = read_results(SAEResult, sorted(out.glob("saes/*/[!.]*/metrics.json")))
    frames = config.training_frames + config.held_out_frames
    # The page reads the report at each click, so the sums stay in the files of the results.
    without_sums = {"per_episode": None}
    report = SuiteReport(
        config=config,
        label=LABEL_SMALL if frames < ENOUGH_FRAMES else "",
        measures=MEASURES,
        hook_points={row.hook_point: row.model_copy(update=without_sums) for row in hook_points},
        saes=tuple(row.model_copy(update=without_sums) for row in saes),
        left_out=(*problems, *more_problems),
        seconds=seconds,
    )
    report.write(out / "report.json")
    write_text(out / "README.md", model_card(report))
    draw_pareto(out, report)
    return report


def ablation_lines(report: SuiteReport) -> list[str]:
    """What each hook point is worth, as a Markdown table."""
    columns = "hook point|width|8, 24 axes leave|clean loss|zero: loss +|KL buttons|KL camera|mean: loss +|KL buttons|KL camera"
    lines = [table_row(*columns.split("|")), "|---" + 9 * "|--:" + "|"]
    for name, row in report.hook_points.items():
        axes = ", ".join(share.text(".3f") for share in row.principal_unexplained.values())
        cells = [name, f"{row.width}", axes, f"{row.clean_loss:.3f}"]
        for ablated in (row.zero, row.mean):
            cells += [
                ablated.loss_change.text("+.4f"),
                number(ablated.kl_buttons.value, ".4f"),
                number(ablated.kl_camera.value, ".4f"),
            ]
        lines.append(table_row(*cells))
    return lines


def concept_lines(report: SuiteReport, hook_point: str) -> list[str]:
    """Each concept at a hook point: the best latent of every autoencoder, beside the controls."""
    row = report.hook_points[hook_point]
    columns = "concept|best latent|AUC|5-latent probe|dense probe|best neuron|best principal axis|shuffled labels|random network's SAE"
    lines = [table_row(*columns.split("|")), "|---|---" + 7 * "|--:" + "|"]
    controls = [
        {score.concept: score.text() for score in scores}
        for scores in (row.dense_probe, row.best_neuron, row.best_component, row.random_network_sae)
    ]
    for concept, dense in controls[0].items():
        for sae in report.saes:
            for found in sae.concepts if sae.hook_point == hook_point else ():
                if found.concept == concept:
                    cells = [
                        concept,
                        f"{sae.name} #{found.latent}",
                        found.text(),
                        number(found.sparse_probe_auc.get("5"), ".3f"),
                        dense,
                        controls[1][concept],
                        controls[2][concept],
                        number(found.shuffled_labels_auc, ".3f"),
                        controls[3][concept],
                    ]
                    lines.append(table_row(*cells))
    return lines


def model_card(report: SuiteReport) -> str:
    """README.md of a suite."""
    config = report.config
    parts = [
        "# Policy Scope",
        "",
        "Sparse autoencoders on the activations of a behaviour-cloned policy, one token per frame.",
        "",
        f"- policy: `{config.checkpoint}`, weights SHA-256 `{config.fingerprint[:16]}…`, task {config.task}",
        f"- trained on {config.training_frames} frames of {config.training_episodes} episodes; all metrics "
        f"below are on some of {config.held_out_frames} frames of {config.held_out_episodes} episodes that "
        "neither the policy nor the autoencoders were trained on; intervals are 95% over episodes",
        f"- each autoencoder: {config.steps} steps of {config.batch} activations, Adam {config.lr:g}",
        "- files: `sae_weights.safetensors` and `cfg.json`, which SAELens reads; `latents.json` and "
        "`effects.npy`, which the Probes page shows",
    ]
    if report.label:
        parts += ["", f"**{report.label}**"]
    parts += ["", "## What each hook point is worth", "", *ablation_lines(report)]
    parts += ["", "## Autoencoders", "", *report.table()]
    for name, row in report.hook_points.items():
        if row.dense_probe:
            parts += ["", f"## Concepts at {name}", "", *concept_lines(report, name)]
    left: dict[str, str] = {}
    for row in report.hook_points.values():
        left |= row.concepts_left_out
    if left:
        listed = "; ".join(f"{name} ({why})" for name, why in left.items())
        parts += ["", f"Concepts that were not measured: {listed}."]
    if report.left_out:
        parts += ["", report.left_out_line()]
    parts += [
        "",
        "## Limits",
        "",
        "The network never sees an activation of zeros, so recovery against the mean is the stricter "
        "metric. Effects on logits are first-order. A latent that detects a concept need not cause the "
        "policy's behaviour there.",
    ]
    return "\n".join(parts) + "\n"
