"""Everything a suite measures of the autoencoders at a hook point, on held-out episodes."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from basalt.data.episodes import Episode
from basalt.io.atomic import write_array
from basalt.io.errors import ConfigError
from basalt.policies.imitation import encode_episodes
from basalt.probes.hooks.patching import PatchedRuns, Variant, constant, run_patched
from basalt.probes.hooks.store import ActivationStore, Rows, evenly_spaced
from basalt.probes.records import (
    ConceptResult,
    ConceptScore,
    HookPointResult,
    Latent,
    LatentTable,
    R,
    SAEResult,
    SAESums,
    read_result,
)
from basalt.probes.sae.files import load_sae
from basalt.probes.sae.model import SAE
from basalt.probes.settings import SuiteConfig
from basalt.probes.subject import Subject
from basalt.probes.suite.concepts import ConceptRows
from basalt.probes.suite.effects import latent_effects
from basalt.probes.suite.latents import describe_latents
from basalt.probes.suite.metrics import (
    density_histogram,
    principal_components,
    principal_unexplained,
    reconstruction,
)

CONTROL = "random-network"
"""Folder of the autoencoder on the network before training, beside the others of a hook point."""

COMPONENTS = (8, 24)
"""Numbers of principal axes that are compared with as many active latents."""


class Evaluation:
    """Measures autoencoders on held-out episodes; what all hook points share is computed once.

    Args:
        cfg: Settings of the suite, which say on how many frames to measure.
        subject: Policy and its recordings.
        store: Activations of the policy.
        control: Activations of the network before training.
    """

    def __init__(
        self, cfg: SuiteConfig, subject: Subject, store: ActivationStore, control: ActivationStore
    ) -> None:
        self._cfg, self._subject = cfg, subject
        self._store, self._control = store, control
        self._picked = {
            split: evenly_spaced(store.count(split), cfg.concept_frames)
            for split in ("training", "held_out")
        }

    @cached_property
    def _episodes(self) -> list[Episode]:
        """The episodes to patch on, encoded."""
        episodes: list[Episode] = []
        for episode in self._subject.held_out:
            if episodes and sum(map(len, episodes)) >= self._cfg.eval_frames:
                break
            episodes.append(episode)
        return encode_episodes(self._subject.policy, episodes)

    @cached_property
    def _concepts(self) -> ConceptRows:
        rows = {}
        for split, picked in self._picked.items():
            everything = self._store.rows(split)
            rows[split] = Rows(everything.episode[picked], everything.frame[picked])
        return ConceptRows(self._store.episodes, rows)

    def measure(self, folder: Path) -> None:
        """Measure the autoencoders of a hook point that have no result, or one of an older version.

        Args:
            folder: Folder of the hook point, `SUITE/saes/HOOK_POINT`.
        """
        name = folder.name
        existing = sorted(
            p.parent for p in folder.glob("[!.]*/cfg.json") if p.parent.name != CONTROL
        )
        missing = [p for p in existing if not _is_measured(SAEResult, p / "metrics.json")]
        hook_point_missing = not _is_measured(HookPointResult, folder / "site.json")
        if not missing and not hook_point_missing:
            return
        policy, episodes, concepts = self._subject.policy, self._episodes, self._concepts
        saes = {path.name: load_sae(path) for path in missing}
        variants = {key: Variant(name, sae.to(policy.device)) for key, (sae, _) in saes.items()}
        variants |= {
            "zero": Variant(name, torch.zeros_like),
            "mean": Variant(name, constant(self._store.mean(name))),
        }
        patched = run_patched(policy, episodes, variants)
        effects = latent_effects(
            policy,
            episodes,
            {key: (name, sae) for key, (sae, _) in saes.items()},
            frames=self._cfg.effect_frames,
        )
        x = {split: self._store.read(name, split, rows) for split, rows in self._picked.items()}
        if hook_point_missing:
            self._hook_point(folder, x, patched).write(folder / "site.json")
        for path in missing:
            sae, info = saes[path.name]
            if info.training is None:
                raise ConfigError(f"{path}: cfg.json has no training settings; train it again")
            sae.cpu()
            latents = describe_latents(sae, self._store, name)
            found, by_latent = _concepts(sae, x, concepts)
            latents = [
                latent.model_copy(update={"concept": by_latent.get(number)})
                for number, latent in enumerate(latents)
            ]
            rebuilt = reconstruction(sae, x["held_out"], concepts.rows["held_out"].episode)
            write_array(path / "effects.npy", effects[path.name].half().numpy())
            LatentTable(latents=tuple(latents)).write(path / "latents.json")
            firing = [latent for latent in latents if latent.episodes]
            # Last: with this file the autoencoder counts as measured.
            SAEResult(
                hook_point=name,
                name=path.name,
                training=info.training,
                **dict(rebuilt.metrics()),
                **dict(patched.metrics(path.name)),
                density_histogram=density_histogram([latent.density for latent in latents]),
                dense_share=_share(latents, lambda latent: latent.density > 0.1),
                one_episode_share=_share(firing, lambda latent: (latent.top_share or 0) > 0.9),
                loss_recovered_zero=patched.loss_recovered(path.name, "zero"),
                loss_recovered_mean=patched.loss_recovered(path.name, "mean"),
                concepts=found,
                per_episode=SAESums(
                    reconstruction=rebuilt.per_episode(), patched=patched.per_episode(path.name)
                ),
            ).write(path / "metrics.json")

    def _hook_point(
        self, folder: Path, x: Mapping[str, Tensor], patched: PatchedRuns
    ) -> HookPointResult:
        """Ablations, probes on the raw activation, and the controls."""
        name, concepts = folder.name, self._concepts
        control, _ = load_sae(folder / CONTROL)
        raw = x["training"], x["held_out"]
        random = [self._control.read(name, split, rows) for split, rows in self._picked.items()]
        components = [principal_components(raw[0], values) for values in raw]
        episode = concepts.rows["held_out"].episode
        return HookPointResult(
            hook_point=name,
            width=raw[0].shape[1],
            clean_loss=patched.clean_loss,
            eval_frames=int(patched.frames.sum()),
            eval_episodes=len(patched.frames),
            zero=patched.metrics("zero"),
            mean=patched.metrics("mean"),
            principal_unexplained={
                str(k): principal_unexplained(*raw, k, episode) for k in COMPONENTS
            },
            per_episode=patched.per_episode("zero", "mean"),
            concepts_left_out=concepts.left_out,
            concept_frames={split: len(values) for split, values in x.items()},
            dense_probe=concepts.dense_probe(*raw),
            best_neuron=concepts.best_columns(*raw, signed=False),
            best_component=concepts.best_columns(*components, signed=False),
            random_network_sae=concepts.best_columns(*(control.encode(x) for x in random)),
        )


def _is_measured(model: type[R], file: Path) -> bool:
    try:
        return read_result(model, file).per_episode is not None
    except ConfigError:
        return False


@torch.no_grad()
def _codes(sae: SAE, x: Tensor) -> Tensor:
    return torch.cat([sae.encode(part) for part in x.split(4096)])


def _concepts(
    sae: SAE, x: Mapping[str, Tensor], concepts: ConceptRows
) -> tuple[tuple[ConceptResult, ...], dict[int, ConceptScore]]:
    """The best latent for each concept, and by latent the concept that it separates best."""
    if not concepts.names:
        return (), {}
    codes = {split: _codes(sae, values) for split, values in x.items()}
    pair = codes["training"], codes["held_out"]
    best = concepts.best_columns(*pair)
    shuffled = concepts.best_columns(*pair, shuffled=True)
    with torch.enable_grad():
        probes = concepts.sparse_probes(*pair)
    found = tuple(
        ConceptResult(
            concept=row.concept,
            auc=row.auc,
            interval=row.interval,
            latent=row.column,
            shuffled_labels_auc=control.auc,
            sparse_probe_auc=probes[row.concept],
        )
        for row, control in zip(best, shuffled, strict=True)
    )
    return found, concepts.best_concepts(codes)


def _share(latents: Sequence[Latent], test: Callable[[Latent], bool]) -> float:
    return sum(map(test, latents)) / max(len(latents), 1)
