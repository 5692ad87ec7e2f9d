"""The smoke test of the probes: one small autoencoder on a trained policy, one on an untrained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from basalt.data.dataset import Episode
from basalt.io.atomic import write_json
from basalt.policies.imitation import encode_episodes
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import collect, stream
from basalt.probes.sae import SAE, SAEConfig, save_sae, train_sae, train_saes
from basalt.probes.subject import load_subject
from basalt.probes.suite.metrics import reconstruction, splice

LABEL = "smoke test: a small autoencoder on few frames; it shows that the probe runs, not what the policy knows"

SMOKE = SAEConfig(width=256, target_l0=12.0, steps=500, batch=256)


def probe_smoke(
    checkpoint: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    site: str = "lastlayer",
    config: SAEConfig = SMOKE,
    pool: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Train an SAE on the training episodes' activations and test it on episodes held out in training.

    A second SAE is trained in the same way on a policy of the same sizes as it was before training:
    random weights, heads at the training frequencies. What both reach says nothing about training;
    the difference may.

    Args:
        checkpoint: a run's folder or one of its checkpoints.
        data: the recordings it was trained on.
        out: folder for report.json and the two SAEs; None writes nothing.
        site: which activation, one of `policy.sites()`.
        config: of both SAEs.
        pool: train from a stream of activations with a shuffled pool of so many
            (`basalt.probes.hooks.activations.stream`); 0 holds all of them in memory.
        device: of the policies; the SAEs train on the CPU.

    Returns:
        JSON-ready: `label`, `site`, `checkpoint`, `config`, counts, `seconds`, and figures of `trained`
        and `random_network`: `variance_explained`, `l0`, `dead_share`, `gamma`, `bc_loss_change`, each but
        `dead_share` with its `NAME_interval` over episodes, and the losses behind it.

    Raises:
        BasaltError: no such checkpoint, data or site, or no held-out episode among the data.
    """
    began = time.monotonic()
    subject = load_subject(checkpoint, data, device)
    training, held_out = subject.training, subject.held_out
    # Both networks know the action frequencies, so that their losses are of one size.
    networks = {"trained": subject.policy, "random_network": subject.untrained(config.seed)}
    report: dict[str, Any] = {
        "label": LABEL,
        "site": site,
        "checkpoint": str(checkpoint),
        "config": asdict(config),
        "training_frames": sum(len(e) for e in training),
        "held_out_frames": sum(len(e) for e in held_out),
        "held_out_episodes": [e.name for e in held_out],
    }
    saes: dict[str, SAE] = {}
    for name, network in networks.items():
        saes[name], report[name] = _probe(network, training, held_out, site, config, pool)
    report["seconds"] = time.monotonic() - began
    if out is not None:
        _write(Path(out), report, saes)
    return report


def _probe(
    policy: VPTPolicy,
    training: Sequence[Episode],
    held_out: Sequence[Episode],
    site: str,
    config: SAEConfig,
    pool: int,
) -> tuple[SAE, dict[str, Any]]:
    """One network's SAE and its figures."""

    if pool:
        batches = stream(policy, training, site, config.batch, pool=pool, seed=config.seed)
        seen = torch.cat(list(islice(batches, max(pool // 2 // config.batch, 1))))
        scale = float(seen.square().sum(1).mean().sqrt())
        (sae,) = train_saes(batches, seen, scale, [config])
    else:
        seen = collect(policy, training, site, encode_episodes(policy, training)).values
        sae = train_sae(seen, config)
    encoded = encode_episodes(policy, held_out)
    there = collect(policy, held_out, site, encoded)
    figures = reconstruction(sae, there.values, there.episode).figures()
    sae_there = sae.to(policy.device)
    figures |= splice(policy, held_out, site, sae_there, seen.mean(0), encoded)
    return sae.cpu(), figures


def _write(out: Path, report: dict[str, Any], saes: dict[str, SAE]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, sae in saes.items():
        metadata = {"site": report["site"], "checkpoint": report["checkpoint"], "network": name}
        save_sae(out / f"sae-{name.replace('_', '-')}", sae, metadata)
    write_json(out / "report.json", report)


def summary_lines(report: dict[str, Any]) -> list[str]:
    """The report in a few lines for a terminal."""
    lines = [
        f"sparse autoencoder on {report['site']}, figures on held-out episodes",
        f"{'':<16}{'variance explained':>19}{'L0':>7}{'dead':>7}{'clean loss':>12}{'BC loss change':>16}"
        "  95 % over episodes",
    ]
    for name in ("trained", "random_network"):
        row, interval = report[name], report[name]["bc_loss_change_interval"]
        shown = f"{interval[0]:+.4f} to {interval[1]:+.4f}" if interval else "too few episodes"
        lines.append(
            f"{name.replace('_', ' '):<16}{row['variance_explained']:>19.3f}{row['l0']:>7.1f}"
            f"{row['dead_share']:>7.0%}{row['loss_clean']:>12.3f}{row['bc_loss_change']:>+16.4f}  {shown}"
        )
    lines.append(f"({report['label']})")
    return lines
