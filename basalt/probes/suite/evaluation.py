"""What a suite measures of a site's autoencoders, all of it on held-out episodes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basalt.data.dataset import Episode
from basalt.io.atomic import write_array, write_json
from basalt.policies.imitation import encode_episodes
from basalt.probes.hooks.patching import Variant, constant, splice_all
from basalt.probes.hooks.store import ActivationStore, Rows, spread
from basalt.probes.sae import SAE, load_sae
from basalt.probes.subject import Subject
from basalt.probes.suite.concepts import ConceptRows
from basalt.probes.suite.effects import latent_effects
from basalt.probes.suite.latents import density, describe_latents
from basalt.probes.suite.metrics import (
    density_histogram,
    principal_components,
    principal_unexplained,
    reconstruction,
)
from basalt.probes.suite.records import METRICS, SITE, is_measured

CONTROL = "random-network"
"""Folder of the autoencoder on the network before training, beside a site's others."""

COMPONENTS = (8, 24)
"""Principal axes that are kept, beside as many active latents."""


class Evaluation:
    """Measures autoencoders on held-out episodes; what all sites share is made once.

    Args:
        subject: the policy and its recordings.
        store, control: its activations, and those of the network before training.
        eval_frames: held-out frames for splicing, whole episodes.
        concept_frames: frames of each split that concepts are measured on.
        effect_frames: held-out frames for effects on the logits.
        progress: show bars where the terminal allows.
    """

    def __init__(
        self,
        subject: Subject,
        store: ActivationStore,
        control: ActivationStore,
        *,
        eval_frames: int,
        concept_frames: int,
        effect_frames: int,
        progress: bool = True,
    ) -> None:
        self._subject = subject
        self._eval_frames, self._effect_frames = eval_frames, effect_frames
        self._progress = progress
        self._stores = {"trained": store, "random": control}
        self._picked = {
            split: spread(store.count(split), concept_frames) for split in ("training", "held_out")
        }
        self._shared: tuple[list[Episode], list[Tensor], ConceptRows] | None = None

    def _prepared(self) -> tuple[list[Episode], list[Tensor], ConceptRows]:
        """Episodes to splice on, their encoded frames, and concepts."""
        if self._shared is None:
            episodes: list[Episode] = []
            for episode in self._subject.held_out:
                if episodes and sum(map(len, episodes)) >= self._eval_frames:
                    break
                episodes.append(episode)
            store, rows = self._stores["trained"], {}
            for split, picked in self._picked.items():
                everything = store.rows(split)
                rows[split] = Rows(everything.episode[picked], everything.frame[picked])
            concepts = ConceptRows(store.episodes, rows["training"], rows["held_out"])
            self._shared = episodes, encode_episodes(self._subject.policy, episodes), concepts
        return self._shared

    def measure(self, folder: Path) -> None:
        """Measure those of a site's autoencoders (SAES/SITE) that are not measured yet, or were by an older
        version that knew fewer figures.
        """
        site = folder.name
        there = sorted(p.parent for p in folder.glob("*/cfg.json") if p.parent.name != CONTROL)
        missing = [p for p in there if not is_measured(p / METRICS)]
        site_missing = not is_measured(folder / SITE)
        if not missing and not site_missing:
            return
        episodes, encoded, concepts = self._prepared()
        policy, store = self._subject.policy, self._stores["trained"]
        saes = {p.name: load_sae(p)[0] for p in missing}
        variants = {name: Variant(site, sae.to(policy.device)) for name, sae in saes.items()}
        variants |= {
            "zero": Variant(site, torch.zeros_like),
            "mean": Variant(site, constant(store.mean(site))),
        }
        spliced = splice_all(policy, episodes, variants, encoded, progress=self._progress)
        effects = latent_effects(
            policy, episodes, encoded, {n: (site, sae) for n, sae in saes.items()},
            frames=self._effect_frames, progress=self._progress,
        )  # fmt: skip
        for sae in saes.values():
            sae.cpu()
        x = {split: store.read(site, split, rows) for split, rows in self._picked.items()}
        if site_missing:
            write_json(folder / SITE, finite(self._raw(folder, site, x, spliced, concepts)))
        for path in missing:
            sae = saes[path.name]
            described = describe_latents(sae, store, site)
            told = _told(sae, x, concepts)
            for row in described:
                row["concept"] = None
            for row in told["best_per_latent"]:
                described[row["latent"]]["concept"] = {k: row[k] for k in ("concept", "auc")}
            rebuilt = reconstruction(sae, x["held_out"], concepts.rows["held_out"].episode)
            config = json.loads((path / "cfg.json").read_text(encoding="utf-8"))["metadata"]
            write_array(path / "effects.npy", effects[path.name].half().numpy())
            write_json(path / "latents.json", finite(described))
            figures: dict[str, Any] = {
                "site": site,
                "name": path.name,
                "training": config["training"],
                **rebuilt.figures(),
                "density_histogram": density_histogram(density(described)),
                "dense_share": _share(described, lambda row: row["density"] > 0.1),
                "one_episode_share": _share(
                    [r for r in described if r["episodes"]], lambda row: row["top_share"] > 0.9
                ),
                **spliced.figures(path.name),
                "recovered_zero": spliced.recovered(path.name, "zero"),
                "recovered_mean": spliced.recovered(path.name, "mean"),
                "concepts": told["concepts"],
                "per_episode": {
                    "rebuilt": rebuilt.per_episode(),
                    "spliced": spliced.per_episode(path.name),
                },
            }
            # Last: with it the autoencoder counts as measured.
            write_json(path / METRICS, finite(figures))

    def _raw(
        self, folder: Path, site: str, x: Mapping[str, Tensor], spliced: Any, concepts: ConceptRows
    ) -> dict[str, Any]:
        """Ablations of a site, what its raw activation tells, and the controls."""
        sae, _ = load_sae(folder / CONTROL)
        raw = x["training"], x["held_out"]
        random = [
            self._stores["random"].read(site, split, self._picked[split])
            for split in ("training", "held_out")
        ]
        components = [principal_components(raw[0], values) for values in raw]

        def best(training: Tensor, held_out: Tensor, *, signed: bool = True) -> list[Any]:
            if not concepts.names:
                return []
            return concepts.best_columns(training, held_out, signed=signed)

        return {
            "site": site,
            "width": x["training"].shape[1],
            "clean_loss": float(spliced.clean.sum() / spliced.frames.sum()),
            "eval_frames": int(spliced.frames.sum()),
            "eval_episodes": len(spliced.frames),
            "zero": spliced.figures("zero"),
            "mean": spliced.figures("mean"),
            "principal_unexplained": {
                str(k): principal_unexplained(*raw, k, concepts.rows["held_out"].episode)
                for k in COMPONENTS
            },
            "per_episode": spliced.per_episode("zero", "mean"),
            "concepts_left_out": concepts.left_out,
            "concept_frames": {split: len(values) for split, values in x.items()},
            "dense_probe": concepts.dense_probe(*raw) if concepts.names else [],
            "best_neuron": best(*raw, signed=False),
            "best_component": best(*components, signed=False),
            "random_network_sae": best(*(sae.encode(values) for values in random)),
        }


@torch.no_grad()
def _codes(sae: SAE, x: Tensor) -> Tensor:
    return torch.cat([sae.encode(part) for part in x.split(4096)])


def _told(sae: SAE, x: Mapping[str, Tensor], concepts: ConceptRows) -> dict[str, Any]:
    """What an autoencoder's latents tell of the concepts, and which concept each latent tells best."""
    if not concepts.names:
        return {"concepts": [], "best_per_latent": []}
    codes = {split: _codes(sae, values) for split, values in x.items()}
    best = concepts.best_columns(codes["training"], codes["held_out"])
    shuffled = concepts.best_columns(codes["training"], codes["held_out"], shuffled=True)
    with torch.enable_grad():
        probes = concepts.sparse_probes(codes["training"], codes["held_out"])
    rows = []
    for row, control in zip(best, shuffled, strict=True):
        rows.append(
            {
                "concept": row["concept"],
                "latent": row["column"],
                "auc": row["auc"],
                "interval": row["interval"],
                "shuffled_labels_auc": control["auc"],
                "sparse_probe_auc": probes[row["concept"]],
            }
        )
    return {"concepts": rows, "best_per_latent": concepts.best_concepts(codes)}


def _share(rows: Sequence[Mapping[str, Any]], test: Any) -> float:
    return sum(bool(test(row)) for row in rows) / max(len(rows), 1)


def finite(value: Any) -> Any:
    """The same content with null for what is not a finite number, which JSON cannot say."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
