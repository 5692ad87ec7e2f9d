"""`basalt probe removal`: TPP and SCR of a suite's autoencoders on concepts of telemetry, beside neurons and axes."""

from pathlib import Path
from typing import ClassVar

from basalt.io.errors import ConfigError
from basalt.probes.hooks.store import ActivationStore, Rows, evenly_spaced
from basalt.probes.records import Estimate, Part, ProbeRecord
from basalt.probes.removal.bases import controls, latents
from basalt.probes.removal.scores import Perturbation, Split, SpuriousPair
from basalt.probes.sae.files import load_sae
from basalt.probes.settings import RemovalConfig
from basalt.probes.suite.concepts import ConceptRows
from basalt.probes.suite.evaluation import CONTROL


class SpuriousResult(Part):
    """A pair of concepts, and the share of the biased probe's gap that each basis closes.

    Attributes:
        target: Concept that is asked for.
        spurious: Concept that is always present with it in the biased probe's training.
        biased, unbiased: Held-out accuracy of the biased probe and of one trained on balanced frames.
        scores: By basis: one estimate for each number of features; no value where there is no gap.
    """

    target: str
    spurious: str
    biased: float
    unbiased: float
    scores: dict[str, tuple[Estimate, ...]]


class RemovalReport(ProbeRecord):
    """What removing a few features takes from probes of concepts, at a hook point.

    Attributes:
        hook_point: The hook point.
        sizes: Numbers of features that are removed.
        concepts: Concepts of TPP.
        tpp: By basis: one estimate for each number of features; empty with fewer than two concepts.
        scr: By pair of concepts.
        left_out: Why a concept or a pair was not measured.
    """

    FORMAT: ClassVar[str] = "basalt-removal"

    hook_point: str
    sizes: tuple[int, ...]
    concepts: tuple[str, ...]
    tpp: dict[str, tuple[Estimate, ...]]
    scr: tuple[SpuriousResult, ...]
    left_out: dict[str, str]

    def lines(self) -> list[str]:
        """A table of each test, one row per basis."""
        found = []
        if self.tpp:
            found.append(f"TPP at {self.hook_point} over {', '.join(self.concepts)}")
            found += self._table(self.tpp)
        for one in self.scr:
            found.append(
                f"SCR at {self.hook_point}: {one.target}, trained where it is always with {one.spurious}: accuracy "
                f"{one.biased:.3f}, unbiased {one.unbiased:.3f}"
            )
            found += self._table(one.scores)
        return [*found, *(f"left out: {name}, {why}" for name, why in self.left_out.items())]

    def _table(self, scores: dict[str, tuple[Estimate, ...]]) -> list[str]:
        head = f"{'features removed':<26}" + "".join(f"{size:>24}" for size in self.sizes)
        return [head] + [
            f"{name:<26}"
            + "".join(f"{one.text('.3f', interval_form='.2f'):>24}" for one in estimates)
            for name, estimates in scores.items()
        ]


def removal(cfg: RemovalConfig) -> RemovalReport:
    """Run `basalt probe removal`: measure the autoencoders of a suite's hook point; write the report to `cfg.out`.

    Raises:
        BasaltError: The suite, its hook point or an autoencoder is missing, or a pair is not two concepts.
    """
    suite = Path(cfg.suite)
    store = ActivationStore(suite / "activations")
    folder = suite / "saes" / cfg.site
    names = cfg.saes or sorted(
        path.parent.name for path in folder.glob("[!.]*/cfg.json") if path.parent.name != CONTROL
    )
    if not names:
        raise ConfigError(
            f"site: expected a hook point with autoencoders, found none in {folder}; train some with `basalt probe scope`"
        )
    picked = {
        split: evenly_spaced(store.count(split), cfg.frames) for split in ("training", "held_out")
    }
    rows = {split: store.rows(split) for split in picked}
    concepts = ConceptRows(
        store.episodes,
        {
            split: Rows(rows[split].episode[chosen], rows[split].frame[chosen])
            for split, chosen in picked.items()
        },
    )
    training, held_out = (
        Split(
            store.read(cfg.site, split, picked[split]),
            {name: concepts.flags[split][:, c] for c, name in enumerate(concepts.names)},
            concepts.rows[split].episode,
        )
        for split in ("training", "held_out")
    )
    bases = [latents(name, load_sae(folder / name)[0]) for name in names]
    bases += controls(training.x, cfg.seed)
    left_out = dict(concepts.left_out)
    scr = []
    for pair in cfg.pairs:
        target, _, spurious = pair.partition(":")
        if missing := [name for name in (target, spurious) if name not in concepts.names]:
            reason = concepts.left_out.get(missing[0])
            if reason is None:
                raise ConfigError(
                    f"pairs: expected TARGET:SPURIOUS with two of {', '.join(concepts.names)}, got {pair!r}"
                )
            left_out[pair] = f"{missing[0]}: {reason}"
            continue
        try:
            one = SpuriousPair(training, held_out, target, spurious, cfg.seed)
        except ValueError as err:
            left_out[pair] = str(err)
            continue
        scr.append(
            SpuriousResult(
                target=target,
                spurious=spurious,
                biased=one.accuracy,
                unbiased=one.oracle,
                scores={basis.name: tuple(one.score(basis, cfg.features)) for basis in bases},
            )
        )
    tpp: dict[str, tuple[Estimate, ...]] = {}
    if len(concepts.names) > 1:
        perturbation = Perturbation(training, held_out, cfg.seed)
        tpp = {basis.name: tuple(perturbation.score(basis, cfg.features)) for basis in bases}
    report = RemovalReport(
        hook_point=cfg.site,
        sizes=cfg.features,
        concepts=tuple(concepts.names),
        tpp=tpp,
        scr=tuple(scr),
        left_out=left_out,
    )
    if cfg.out:
        report.write(Path(cfg.out))
    return report
