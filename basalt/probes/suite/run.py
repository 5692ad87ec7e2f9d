"""Policy Scope: autoencoders on every site of a policy, measured.

    OUT/config.json                    what the suite is about: weights, recordings, training settings
    OUT/activations/                   the store; activations-random/: of the network before training
    OUT/saes/SITE/ARCH-wWIDTH-l0L0/    one autoencoder: weights, cfg.json, metrics.json, latents.json,
                                       effects.npy (float16 [M, 142], `basalt.probes.suite.effects.MEASURES`)
    OUT/saes/SITE/site.json            ablations of the site and what its raw activation tells
    OUT/report.json, README.md, pareto.png, pareto-kl.png

Every step leaves a file and is skipped where that file is: an interrupted suite goes on, a larger one adds
to a smaller one, and jobs for different sites may run side by side.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from basalt.io.atomic import write_json
from basalt.io.errors import BusyError, ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import site_module
from basalt.probes.hooks.store import ActivationStore, spread, write_store
from basalt.probes.sae import ARCHITECTURES, SAEConfig, save_sae, train_saes
from basalt.probes.subject import Subject, load_subject
from basalt.probes.suite.evaluation import CONTROL, Evaluation
from basalt.probes.suite.report import write_report


@dataclass(frozen=True)
class ScopeConfig:
    """What to train and how long to measure.

    Attributes:
        checkpoint: a run's folder or one of its checkpoints.
        data: the recordings it was trained on; others there count as held out.
        out: the suite's folder.
        sites: of `policy.sites()`; empty = all but `resid_mid`.
        architectures: of `basalt.probes.sae.ARCHITECTURES`; empty = all.
        widths: latents.
        l0: wanted active latents per frame.
        steps, batch, lr: of each training.
        seed: of weights and orders.
        device: of the policy.
        dtype: of the activation store.
        eval_frames: held-out frames for splicing, whole episodes.
        concept_frames: frames of each split that concepts are measured on.
        effect_frames: held-out frames for effects on the logits.
    """

    checkpoint: str
    data: str
    out: str
    sites: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    widths: tuple[int, ...] = (512,)
    l0: tuple[float, ...] = (8.0, 24.0)
    steps: int = 1000
    batch: int = 512
    lr: float = 3e-3
    seed: int = 0
    device: str = "auto"
    dtype: str = "float16"
    eval_frames: int = 8192
    concept_frames: int = 16_384
    effect_frames: int = 1024

    def __post_init__(self) -> None:
        for name in ("sites", "architectures", "widths", "l0"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.widths or not self.l0:
            raise ConfigError("scope: give at least one of widths and one of l0")
        for name in ("eval_frames", "concept_frames", "effect_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"scope: {name}={getattr(self, name)} must be at least 1")
        self.trainings()  # complains about settings that cannot be

    def trainings(self) -> list[SAEConfig]:
        """Each combination, in order of width, L0 and architecture."""
        return [
            SAEConfig(
                architecture=architecture,
                width=int(width),
                target_l0=float(l0),
                bandwidth=0.3 / math.sqrt(l0),
                steps=self.steps,
                batch=self.batch,
                lr=self.lr,
                seed=self.seed,
            )
            for width, l0, architecture in product(
                self.widths, self.l0, self.architectures or ARCHITECTURES
            )
        ]


def suite_sites(policy: VPTPolicy, asked: Sequence[str] = ()) -> list[str]:
    """The asked sites, or each block's attention, MLP and stream, the encoder, last layer and latent.

    Raises:
        ConfigError: no such site.
    """
    for site in asked:
        site_module(policy, site)
    return list(asked) or [site for site in policy.sites() if not site.endswith("resid_mid")]


def sae_name(config: SAEConfig) -> str:
    """Folder of an autoencoder, e.g. `gated-w512-l08`."""
    return f"{config.architecture}-w{config.width}-l0{config.target_l0:g}"


def run_scope(cfg: ScopeConfig, *, progress: bool = True) -> dict[str, Any]:
    """Train and measure what is missing of the suite; returns the report over all that is there.

    Raises:
        BasaltError: no such checkpoint, data or site; too few recordings; another policy's folder.
    """
    began = time.monotonic()
    subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
    sites = suite_sites(subject.policy, cfg.sites)
    out = Path(cfg.out)
    _claim(out, cfg, subject)
    stored = list(dict.fromkeys([*suite_sites(subject.policy), *sites]))
    store = _store(out / "activations", subject, subject.policy, stored, cfg, progress)
    if store.count("training") < cfg.batch:
        raise ConfigError(
            f"scope: {store.count('training')} training frames for batches of {cfg.batch}; "
            "record more, or set batch"
        )
    control = _store(
        out / "activations-random", subject, subject.untrained(cfg.seed), stored, cfg, progress
    )
    evaluation = Evaluation(
        subject, store, control, eval_frames=cfg.eval_frames,
        concept_frames=cfg.concept_frames, effect_frames=cfg.effect_frames,
        progress=progress,
    )  # fmt: skip
    wanted = {sae_name(config): config for config in cfg.trainings()}
    first = replace(cfg.trainings()[0], architecture="jumprelu")
    for site in tqdm(sites, desc="sites", disable=None if progress else True):
        folder = out / "saes" / site
        with sole_writer(folder, "suite"):
            _sweep(folder)
            _train_missing(folder, wanted, store, cfg, progress)
            _train_missing(folder, {CONTROL: first}, control, cfg, progress)
            evaluation.measure(folder)
    return write_report(out, time.monotonic() - began)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half written; it may look like an autoencoder."""
    for stale in list(folder.rglob(".*.partial")):
        if stale.is_dir():
            shutil.rmtree(stale)
        else:
            stale.unlink(missing_ok=True)


def _claim(out: Path, cfg: ScopeConfig, subject: Subject) -> None:
    """Write what the suite is about, or refuse a folder that is about something else."""
    asked = {
        "checkpoint": str(subject.checkpoint),
        "fingerprint": subject.fingerprint,
        "data": str(cfg.data),
        "task": subject.info["task"],
        **{key: getattr(cfg, key) for key in ("steps", "batch", "lr", "seed", "dtype")},
        "training_frames": sum(map(len, subject.training)),
        "held_out_frames": sum(map(len, subject.held_out)),
        "training_episodes": len(subject.training),
        "held_out_episodes": len(subject.held_out),
    }
    file = out / "config.json"
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        for key, value in asked.items():
            if key != "checkpoint" and found.get(key) != value:
                what = "policy" if key == "fingerprint" else key
                raise ConfigError(
                    f"{file}: a suite with another {what} ({found.get(key)!r}, not {value!r}); "
                    "give another folder with out="
                )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, asked)


def _store(
    folder: Path,
    subject: Subject,
    policy: VPTPolicy,
    sites: Sequence[str],
    cfg: ScopeConfig,
    progress: bool,
) -> ActivationStore:
    """The activations of a network; another job that writes them is waited for."""
    fingerprint = subject.fingerprint if policy is subject.policy else f"random:{cfg.seed}"
    said = False
    while True:
        try:
            with sole_writer(folder.with_name(f"{folder.name}.turn"), "suite"):
                return write_store(
                    folder, policy, subject.episodes, subject.splits, sites,
                    checkpoint=fingerprint, dtype=cfg.dtype, progress=progress,
                )  # fmt: skip
        except BusyError:
            if not said:
                tqdm.write(f"{folder}: another job writes the activations; waiting for it")
            said = True
            time.sleep(2)


def _train_missing(
    folder: Path,
    configs: Mapping[str, SAEConfig],
    store: ActivationStore,
    cfg: ScopeConfig,
    progress: bool,
) -> None:
    """Those of a site's autoencoders, by name, that are not in SAES/SITE yet, in one pass."""
    site = folder.name
    missing = {n: c for n, c in configs.items() if not (folder / n / "cfg.json").is_file()}
    if not missing:
        return
    first = store.read(site, "training", spread(store.count("training"), 4096))
    batches = store.batches(site, "training", cfg.batch, seed=cfg.seed)
    saes = train_saes(batches, first, store.scale(site), list(missing.values()), progress=progress)
    for (name, config), sae in zip(missing.items(), saes, strict=True):
        facts = {"site": site, "checkpoint": store.checkpoint, "training": asdict(config)}
        save_sae(folder / name, sae, facts)
