"""Result files of a suite, one model per file, and what the results of all probes share.

Files written before the models existed have other keys (`site`, `spliced`, pairs `NAME` and
`NAME_interval`); `_renamed` turns them into the present ones. This module imports no torch, so that the
Probes page can read suites.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from basalt.core.intervals import episode_interval
from basalt.core.records import Record
from basalt.io.errors import ConfigError
from basalt.probes.sae.config import SAEConfig

Interval = tuple[float, float] | None
"""95% bootstrap interval over episodes; None below three episodes."""

_RENAMED = {
    "site": "hook_point",
    "sites": "hook_points",
    "spliced": "patched",
    "rebuilt": "reconstruction",
    "loss_spliced": "loss_patched",
    "bc_loss_change": "loss_change",
    "recovered_zero": "loss_recovered_zero",
    "recovered_mean": "loss_recovered_mean",
}


def _renamed(content: Any) -> Any:
    """Content from before the models existed: present keys, each `NAME_interval` joined with its value."""
    if isinstance(content, list):
        return [_renamed(each) for each in content]
    if not isinstance(content, dict):
        return content
    found = {}
    for key, value in content.items():
        if key.endswith("_interval") and key.removesuffix("_interval") in content:
            continue
        if f"{key}_interval" in content:
            value = {"value": value, "interval": content[f"{key}_interval"]}
        if key in ("change", "difference"):  # of steering, with one interval in its row
            value = {"value": value, "interval": content["interval"]}
        elif key == "interval" and not content.keys().isdisjoint(("change", "difference")):
            continue
        found[_RENAMED.get(key, key)] = _renamed(value)
    if {
        "frames",
        "clean",
    } <= found.keys():  # sums of patching, whose variants were beside these two
        variants = {key: found.pop(key) for key in found.keys() - {"frames", "clean"}}
        found["variants"] = variants
    return found


def finite(value: float) -> float | None:
    """None for NaN and infinities, which JSON cannot express."""
    return float(value) if math.isfinite(value) else None


class Part(BaseModel):
    """A part of a result file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Part):
    """A metric with its interval.

    Attributes:
        value: The metric; None where it is not defined.
        interval: 95% bootstrap interval over episodes, or None.
    """

    value: float | None
    interval: Interval = None

    @classmethod
    def ratio(cls, totals: Iterable[float], counts: Iterable[float]) -> Self:
        """sum(totals) / sum(counts), one entry of each per episode (`basalt.core.intervals`)."""
        total, count = np.asarray(totals, dtype=float), np.asarray(counts, dtype=float)
        value = finite(total.sum() / count.sum()) if count.sum() else None
        interval = episode_interval(total.tolist(), count.tolist())
        return cls(value=value, interval=(interval[0], interval[1]) if interval else None)

    def complement(self) -> "Estimate":
        """1 - the metric."""
        low, high = self.interval or (0.0, 0.0)
        return Estimate(
            value=None if self.value is None else 1 - self.value,
            interval=self.interval and (1 - high, 1 - low),
        )

    def text(self, form: str, scale: float = 1, interval_form: str | None = None) -> str:
        """Value and interval, such as `0.31 (0.28 to 0.35)`; a dash for an undefined value.

        Args:
            form: Format of the value, such as `.2f`.
            scale: Factor for value and interval.
            interval_form: Format of the interval's ends; None takes `form`.
        """
        shown = number(self.value and scale * self.value, form)
        ends = self.range_text(interval_form or form, scale)
        return f"{shown} ({ends})" if ends else shown

    def range_text(self, form: str, scale: float = 1) -> str:
        """The interval, such as `0.28 to 0.35`; empty without an interval."""
        return " to ".join(f"{scale * end:{form}}" for end in self.interval or ())


def number(value: float | None, form: str) -> str:
    """A number in a table; a dash for None."""
    return "–" if value is None else format(value, form)


class ReconstructionMetrics(Part):
    """How well an autoencoder rebuilds held-out activations; formulas in `suite.metrics`.

    Attributes:
        variance_explained: 1 - error / variance; below 0 where the mean would do better.
        l0: Active latents per frame.
        gamma: Length of reconstructions about the mean; below 1 they are too short.
        dead_share: Share of latents that never fire on these frames.
    """

    variance_explained: Estimate
    l0: Estimate
    gamma: Estimate
    dead_share: float


class PatchingMetrics(Part):
    """A policy with a patched activation against the policy as it is, means per frame.

    Attributes:
        loss: Behavioural-cloning loss, nats.
        loss_change: `loss` minus the loss of the policy as it is.
        kl_buttons, kl_camera, kl_esc: KL(as it is || patched) of each head, nats.
        kl: Their sum.
        agreement: Share of frames on which the likeliest buttons are the same.
    """

    loss: Estimate
    loss_change: Estimate
    kl_buttons: Estimate
    kl_camera: Estimate
    kl_esc: Estimate
    kl: Estimate
    agreement: Estimate


class ConceptScore(Part):
    """How well a feature or a probe separates the frames that show a concept.

    Attributes:
        concept: Name of the concept.
        auc: Area under the ROC curve on held-out frames; None where all frames have one label.
        interval: 95% bootstrap interval over episodes.
    """

    concept: str
    auc: float | None
    interval: Interval = None

    def text(self) -> str:
        """AUC and interval for a table."""
        return Estimate(value=self.auc, interval=self.interval).text(".3f", interval_form=".2f")


class FeatureScore(ConceptScore):
    """The feature that separates a concept best on training frames, measured on held-out frames.

    Attributes:
        column: Number of the feature.
    """

    column: int


class ConceptResult(ConceptScore):
    """The latent that separates a concept best on training frames, measured on held-out frames.

    Attributes:
        latent: Number of the latent.
        shuffled_labels_auc: The same measurement with shuffled labels, a control.
        sparse_probe_auc: By number of latents: AUC of a logistic probe on the best latents.
    """

    latent: int
    shuffled_labels_auc: float | None
    sparse_probe_auc: dict[str, float | None]


class Moment(Part):
    """A frame on which a latent fires, and the latent's values around it.

    Attributes:
        episode: Index in the episodes of the activation store.
        frame: Frame of the episode.
        value: Value of the latent at `frame`.
        start: Frame of the first entry of `curve`.
        curve: Values of the latent, one per frame; 0 where it does not fire or where the policy was
            not shown the frame (`drop_null`).
        quantile: Quantile of the active values that this frame is an example of; None for one of the
            strongest moments.
    """

    episode: int
    frame: int
    value: float
    start: int
    curve: tuple[float, ...]
    quantile: float | None = None


class Latent(Part):
    """What is known of a latent from held-out frames.

    Attributes:
        density: Share of frames on which it fires.
        episodes: Number of episodes in which it fires.
        top_share: Share of its mass in its strongest episode; near 1 it is a memorised clip.
        mean, max: Mean and largest of its active values; None for a dead latent.
        histogram: Counts of active values in equal bins from 0 to `max`.
        moments: Its strongest frames.
        examples: Frames at several quantiles of its active values.
        concept: The concept it separates best on training frames; None if none was measured.
    """

    density: float
    episodes: int = 0
    top_share: float | None = None
    mean: float | None = None
    max: float | None = None
    histogram: tuple[int, ...] = ()
    moments: tuple[Moment, ...] = ()
    examples: tuple[Moment, ...] = ()
    concept: ConceptScore | None = None


class PatchingSums(Part):
    """Sums over each episode's frames, from which the intervals can be computed again.

    Attributes:
        frames: Frames of each episode.
        clean: Summed loss of the policy as it is.
        variants: By name of what was patched in: [episodes][5], columns `hooks.patching.MEASURES`.
    """

    frames: tuple[int, ...]
    clean: tuple[float, ...]
    variants: dict[str, tuple[tuple[float, ...], ...]]


class SAESums(Part):
    """The sums behind the metrics of an autoencoder.

    Attributes:
        reconstruction: By name of a sum in `suite.metrics.Reconstruction`: one entry per episode.
        patched: Sums of the patched policy.
    """

    reconstruction: dict[str, tuple[float, ...]]
    patched: PatchingSums


class ProbeRecord(Record):
    """A result file; a file without version is from before the models existed."""

    MAX_BYTES: ClassVar[int] = 64 * 2**20

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        """Rename the keys of older versions to the present ones."""
        renamed: dict[str, Any] = _renamed(content)
        return renamed


class SuiteSettings(ProbeRecord):
    """What a suite is about (`config.json`): the policy, its recordings and the training settings.

    Attributes:
        checkpoint: Folder of the policy's weights.
        fingerprint: SHA-256 of the weights.
        data: Folder of the recordings.
        task: Name of the policy's task.
        steps, batch, lr, seed: Settings of every training.
        dtype: Type of the stored activations.
        training_frames, held_out_frames, training_episodes, held_out_episodes: Sizes of the split.
    """

    FORMAT: ClassVar[str] = "basalt-suite-settings"

    checkpoint: str
    fingerprint: str
    data: str
    task: str
    steps: int
    batch: int
    lr: float
    seed: int
    dtype: str
    training_frames: int
    held_out_frames: int
    training_episodes: int
    held_out_episodes: int


class HookPointResult(ProbeRecord):
    """What the activation at a hook point is worth, and the controls of its autoencoders (`site.json`).

    Attributes:
        hook_point: Name of the hook point.
        width: Dimensions of the activation.
        clean_loss: Loss of the policy as it is, nats per frame.
        eval_frames, eval_episodes: What patching was measured on.
        zero, mean: The activation replaced by zeros, and by its mean over training frames.
        principal_unexplained: By k: share of variance that the first k principal axes leave.
        per_episode: Sums behind `zero` and `mean`; None in a suite's report.
        concepts_left_out: By name: why a concept was not measured.
        concept_frames: By split: frames on which concepts were measured.
        dense_probe: Logistic probes on the whole activation.
        best_neuron, best_component: Best single coordinate and best principal axis.
        random_network_sae: Best latents of the autoencoder on the untrained network.
    """

    FORMAT: ClassVar[str] = "basalt-hook-point"

    hook_point: str
    width: int
    clean_loss: float
    eval_frames: int
    eval_episodes: int
    zero: PatchingMetrics
    mean: PatchingMetrics
    principal_unexplained: dict[str, Estimate]
    per_episode: PatchingSums | None = None
    concepts_left_out: dict[str, str]
    concept_frames: dict[str, int]
    dense_probe: tuple[ConceptScore, ...]
    best_neuron: tuple[FeatureScore, ...]
    best_component: tuple[FeatureScore, ...]
    random_network_sae: tuple[FeatureScore, ...]


class SAEResult(ReconstructionMetrics, PatchingMetrics, ProbeRecord):
    """The metrics of one autoencoder on held-out episodes (`metrics.json`).

    Attributes:
        hook_point: Name of the hook point.
        name: Folder of the autoencoder, such as `gated-w512-l08`.
        training: Settings it was trained with.
        density_histogram: Latents by log10 of the share of frames on which they fire.
        dense_share: Share of latents that fire on more than a tenth of the frames.
        one_episode_share: Share of firing latents with nine tenths of their mass in one episode.
        loss_recovered_zero, loss_recovered_mean: (ablated - patched) / (ablated - clean) loss against
            the ablation by zeros and by the mean; no value where the ablation costs nothing.
        concepts: The best latent for each concept.
        per_episode: Sums behind the metrics; None in a suite's report.
    """

    FORMAT: ClassVar[str] = "basalt-sae-metrics"

    hook_point: str
    name: str
    training: SAEConfig
    density_histogram: tuple[int, ...]
    dense_share: float
    one_episode_share: float
    loss_recovered_zero: Estimate
    loss_recovered_mean: Estimate
    concepts: tuple[ConceptResult, ...]
    per_episode: SAESums | None = None


class LatentTable(ProbeRecord):
    """All latents of an autoencoder, in their order (`latents.json`)."""

    FORMAT: ClassVar[str] = "basalt-latents"

    latents: tuple[Latent, ...]

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Check the content of a file; before the models existed it was a bare list."""
        return super().from_json(
            {"latents": content} if isinstance(content, list) else content, name
        )


class SuiteReport(ProbeRecord):
    """All that is measured of a suite (`report.json`).

    Attributes:
        config: What the suite is about.
        label: A warning if the suite is a smoke test, else empty.
        measures: Names of the columns of each `effects.npy`.
        hook_points: Results by hook point.
        saes: Results of the autoencoders.
        left_out: Problems with results that could not be read.
        seconds: Duration of the call that wrote the report.
    """

    FORMAT: ClassVar[str] = "basalt-scope"
    VERSION: ClassVar[int] = 2

    config: SuiteSettings
    label: str
    measures: tuple[str, ...]
    hook_points: dict[str, HookPointResult]
    saes: tuple[SAEResult, ...]
    left_out: tuple[str, ...] = ()
    seconds: float

    def lines(self) -> list[str]:
        """The table of autoencoders, and what limits it."""
        notes = [f"({self.label})"] if self.label else []
        return [*self.table(), *notes, *([self.left_out_line()] if self.left_out else [])]

    def table(self) -> list[str]:
        """The metrics as a Markdown table, one row per autoencoder; divergences in 0.001 nats."""
        columns = "L0|unexplained|dead|gamma|BC loss +|KL, 10⁻³|buttons|camera|ESC|recovered (zero)|recovered (mean)"
        found = [
            table_row("hook point", "autoencoder", *columns.split("|")),
            "|---|---" + 11 * "|--:" + "|",
        ]
        for row in self.saes:
            kl_heads = (row.kl_buttons, row.kl_camera, row.kl_esc)
            cells = (
                row.l0.text(".1f"),
                row.variance_explained.complement().text(".3f"),
                f"{row.dead_share:.0%}",
                row.gamma.text(".3f"),
                row.loss_change.text("+.4f"),
                row.kl.text(".2f", 1000),
                *(number(kl.value and 1000 * kl.value, ".3f") for kl in kl_heads),
                row.loss_recovered_zero.text(".3f"),
                row.loss_recovered_mean.text(".3f"),
            )
            found.append(table_row(row.hook_point, row.name, *cells))
        return found

    def left_out_line(self) -> str:
        """The first problem in one line; `report.json` lists them all."""
        more = len(self.left_out) - 1
        others = f" (and {more} more, listed in report.json)" if more else ""
        return f"Left out: {self.left_out[0]}{others}"


def table_row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


class StoredEpisode(Part):
    """An episode of an activation store.

    Attributes:
        name: Name of its play.
        recordings: Paths of its recordings without suffix, in order.
        split_group: `Episode.split_group`, by which training and held-out episodes are kept apart.
        split: `training` or `held_out`.
        frames: Number of frames that the policy was shown.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    name: str
    recordings: tuple[str, ...]
    split_group: Annotated[str, Field(validation_alias="place", serialization_alias="place")]
    split: str
    frames: int


class Shard(Part):
    """Episodes `first` to `last` - 1 of an activation store, all of one split."""

    first: int
    last: int


class StoreSettings(ProbeRecord):
    """What an activation store holds (`store.json`).

    Attributes:
        checkpoint: Fingerprint of the policy's weights.
        dtype: Type of the stored bits, `float16` or `bfloat16`.
        hook_points: Names of the hook points.
        episodes: Episodes in the order that rows count them.
        shards: Parts of the store.
        units: By hook point: factor by which the stored values were divided.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    FORMAT: ClassVar[str] = "basalt-activations"

    checkpoint: str
    dtype: str
    hook_points: Annotated[
        tuple[str, ...], Field(validation_alias="sites", serialization_alias="sites")
    ]
    episodes: tuple[StoredEpisode, ...]
    shards: tuple[Shard, ...]
    units: dict[str, float] = Field(default_factory=dict)


R = TypeVar("R", HookPointResult, SAEResult)


def read_result(model: type[R], file: Path) -> R:
    """Read `site.json` or `metrics.json`.

    Raises:
        ConfigError: the file is missing or damaged, or an older version measured fewer metrics.
    """
    try:
        return model.read(file)
    except ConfigError as err:
        name = (file.parent if model is HookPointResult else file.parent.parent).name
        raise ConfigError(
            f"{err}; to measure it again, run basalt probe scope with sites=[{name}]"
        ) from err


def read_results(model: type[R], files: Iterable[Path]) -> tuple[list[R], list[str]]:
    """The results that can be read, and the problems with the others."""
    found, problems = [], []
    for file in files:
        try:
            found.append(read_result(model, file))
        except ConfigError as err:
            problems.append(str(err))
    return found, problems
