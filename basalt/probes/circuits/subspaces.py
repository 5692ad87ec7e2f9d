"""`basalt probe subspace`: how few dimensions of a head's queries, keys and values carry what it does.

The paper on Chinchilla (Lieberum et al. 2023, arXiv 2307.09458) kept the first principal axes of a head's queries and keys over
prompts of one kind and measured what is lost; 3 axes were enough for the choice among 4 letters. Here the axes are those of one half
of the episodes, and the loss is measured on the other half. As the paper changed the labels to see what the axes stand
for, the loss is also measured on the other windows of the pairs, which were never used to find axes.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.actions import BUTTON_TABLE, COLUMN, VPT_BUTTONS, VPTActions
from basalt.io.errors import ConfigError
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.patching import bernoulli_kl, categorical_kl
from basalt.probes.hooks.points import patch, record
from basalt.probes.patching.contexts import Contexts
from basalt.probes.patching.metrics import find_metric
from basalt.probes.patching.probe import held_out_contexts, over_episodes
from basalt.probes.patching.window import Windows
from basalt.probes.records import Estimate, Part, ProbeRecord, number
from basalt.probes.settings import SubspaceConfig

PARTS = {"q": ("q",), "k": ("k",), "v": ("v",), "qk": ("q", "k")}
"""By name: which of a head's activations are projected, on axes that they share."""

MIN_CLASS = 3
"""Windows that each class needs for its mean."""


class Subspace(NamedTuple):
    """Principal axes about a mean.

    Attributes:
        directions: Orthonormal, the one of most variance first, float [e, e].
        explained: Share of the variance along each, float [e].
    """

    directions: Tensor
    explained: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Subspace":
        """The axes of centred rows [n, e]; directions that the rows do not have complete the basis."""
        _, values, directions = torch.linalg.svd(rows.double(), full_matrices=True)
        variance = torch.zeros(len(directions), dtype=torch.float64)
        variance[: len(values)] = values.square()
        return cls(directions.to(rows), (variance / variance.sum().clamp(min=1e-30)).to(rows))

    @classmethod
    def random(cls, width: int, seed: int) -> "Subspace":
        """Random axes, as a control."""
        generator = torch.Generator().manual_seed(seed)
        directions = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
        return cls(directions, torch.full((width,), 1 / width))

    def project(self, x: Tensor, mean: Tensor, rank: int) -> Tensor:
        """Rows [..., e] with all but the first axes held at the mean [e]."""
        kept = self.directions[:rank]
        return mean + (x - mean) @ kept.T @ kept


class RankResult(Part):
    """A head with some of its activations in few dimensions, on held-out windows.

    Attributes:
        part: Name in `PARTS`.
        rank: Number of axes that are kept; 0 keeps the mean alone.
        explained: Share of the variance along them, on the windows that they were found on.
        kl: KL(policy as it is || projected) over all heads of the policy at the last frame, nats.
        random_kl: The same with random axes.
        other_kl: The same as `kl` on the other windows of the pairs.
        change: Mean |change of the metric|.
        class_share: Share of the squared distance between the means of windows with and without the metric's button that is
            along the axes; None if the metric is not a button or too few windows have it.
    """

    part: str
    rank: int
    explained: float
    kl: Estimate
    random_kl: Estimate
    other_kl: Estimate
    change: Estimate
    class_share: float | None


class SubspaceReport(ProbeRecord):
    """How few dimensions of a head carry what it does.

    Attributes:
        head: The head, such as `blocks.1.0`.
        metric, pairs: As asked for.
        width: Number of dimensions of the head.
        fitted, n_windows, episodes: Windows that the axes were found on, others, and episodes of the others.
        ranks: Results by part and rank.
    """

    FORMAT: ClassVar[str] = "basalt-subspace"

    head: str
    metric: str
    pairs: str
    width: int
    fitted: int
    n_windows: int
    episodes: int
    ranks: tuple[RankResult, ...]

    def lines(self) -> list[str]:
        """One row for each part and rank."""
        found = [
            f"{self.head}, {self.width} dimensions; axes of {self.fitted} windows, measured on {self.n_windows} others of "
            f"{self.episodes} episodes; divergence in nats, 95% over episodes",
            f"{'part':<6}{'axes':>5}{'variance':>10}{'divergence':>26}{'random axes':>26}{self.pairs + ' windows':>26}"
            f"{self.metric + ' moves':>26}{'classes':>9}",
        ]
        for one in self.ranks:
            cells = (
                estimate.text(".4f")
                for estimate in (one.kl, one.random_kl, one.other_kl, one.change)
            )
            found.append(
                f"{one.part:<6}{one.rank:>5}{one.explained:>10.3f}"
                + "".join(f"{cell:>26}" for cell in cells)
                + f"{number(one.class_share, '.2f'):>9}"
            )
        return found


def subspace(cfg: SubspaceConfig) -> SubspaceReport:
    """Run `basalt probe subspace`: project a head on few axes on held-out recordings or twins; write the report to `cfg.out`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    policy, contexts = held_out_contexts(cfg)
    report = measure_subspaces(policy, contexts, cfg)
    if cfg.out:
        report.write(Path(cfg.out))
    return report


def measure_subspaces(policy: VPTPolicy, contexts: Contexts, cfg: SubspaceConfig) -> SubspaceReport:
    """Find the axes of a head on half of the episodes, and measure ranks on the others.

    Args:
        policy: Policy in evaluation mode.
        contexts: Windows.
        cfg: Settings; those of the policy and the recordings are not used.

    Raises:
        ConfigError: There is no such head, or the windows are of one episode.
    """
    block, head = _head(policy, cfg.head)
    groups = np.unique(contexts.episode)
    if len(groups) < 2:
        raise ConfigError(
            f"data: expected windows of at least 2 episodes, got {len(groups)}; use more recordings"
        )
    drawn = np.random.default_rng(cfg.seed).permutation(groups)[: len(groups) // 2]
    fit = np.isin(contexts.episode, drawn)
    windows = Windows(policy, find_metric(cfg.metric, contexts.actions), cfg.frames)
    names = [f"blocks.{block}.{kind}" for kind in "qkv"]
    width = policy.config.hidsize // policy.config.attention_heads
    own = slice(head * width, (head + 1) * width)
    found = windows.trace(contexts.clean[torch.from_numpy(fit)], names).activations
    rows = {name: found[name][..., own].flatten(0, 1) for name in names}
    means = {name: x.mean(0) for name, x in rows.items()}
    tested = np.flatnonzero(~fit)
    episode = contexts.episode[tested]
    clean, other = (
        _Runs(windows, x[torch.from_numpy(tested)], tested)
        for x in (contexts.clean, contexts.noise)
    )
    classes = _classes(cfg.metric, contexts.actions, tested)
    results = []
    for part, kinds in PARTS.items():
        used = [f"blocks.{block}.{kind}" for kind in kinds]
        axes = Subspace.of(torch.cat([rows[name] - means[name] for name in used]))
        random = Subspace.random(width, cfg.seed)
        random = random._replace(directions=random.directions.to(axes.directions))
        shares = _class_shares(clean, used, own, axes, classes)
        for rank in cfg.ranks:
            if rank > width:
                continue
            chosen, control = (
                {
                    name: partial(_projected, own=own, axes=one, mean=means[name], rank=rank)
                    for name in used
                }
                for one in (axes, random)
            )
            kl, change = clean.compare(chosen)
            results.append(
                RankResult(
                    part=part,
                    rank=rank,
                    explained=float(axes.explained[:rank].sum()),
                    kl=over_episodes(kl, episode),
                    random_kl=over_episodes(clean.compare(control)[0], episode),
                    other_kl=over_episodes(other.compare(chosen)[0], episode),
                    change=over_episodes(change.abs(), episode),
                    class_share=None if shares is None else float(shares[:rank].sum()),
                )
            )
    return SubspaceReport(
        head=cfg.head,
        metric=cfg.metric,
        pairs=cfg.pairs,
        width=width,
        fitted=int(fit.sum()),
        n_windows=len(tested),
        episodes=len(np.unique(episode)),
        ranks=tuple(results),
    )


def _head(policy: VPTPolicy, name: str) -> tuple[int, int]:
    """Numbers of the block and of the head."""
    blocks, heads = len(policy.blocks), policy.config.attention_heads
    known = {f"blocks.{j}.{h}": (j, h) for j in range(blocks) for h in range(heads)}
    if name not in known:
        raise ConfigError(
            f"head: expected blocks.BLOCK.HEAD up to blocks.{blocks - 1}.{heads - 1}, got {name!r}"
        )
    return known[name]


def _projected(x: Tensor, own: slice, axes: Subspace, mean: Tensor, rank: int) -> Tensor:
    found = x.clone()
    found[..., own] = axes.project(x[..., own], mean, rank)
    return found


class _Runs:
    """Windows with the policy's outputs on them.

    Args:
        windows: The policy and the metric.
        x: Encoded frames [n, T, H].
        pair: Number of each window among all.
    """

    def __init__(self, windows: Windows, x: Tensor, pair: NDArray[np.int64]) -> None:
        self.windows, self.x = windows, x
        self._pair = torch.from_numpy(pair).to(x.device)
        self._output = self._run({})
        self._metric = windows.metric(self._output, self._pair)

    @torch.no_grad()
    def _run(self, patches: Mapping[str, "partial[Tensor]"]) -> PolicyOutput:
        with ExitStack() as stack:
            for name, replacement in patches.items():
                stack.enter_context(patch(self.windows.policy, name, replacement))
            return self.windows.output(self.x)

    def compare(self, patches: Mapping[str, "partial[Tensor]"]) -> tuple[Tensor, Tensor]:
        """Divergence from the policy as it is, and change of the metric, float [n] each."""
        before, after = self._output, self._run(patches)
        kl = bernoulli_kl(before.esc_logit, after.esc_logit)
        for a, b in (
            (before.buttons_logits, after.buttons_logits),
            (before.camera_logits, after.camera_logits),
        ):
            kl = kl + categorical_kl(a.log_softmax(-1), b)
        return kl[:, 0], self.windows.metric(after, self._pair) - self._metric

    @torch.no_grad()
    def last(self, name: str) -> Tensor:
        """The activation at the last frame, [n, width]."""
        with record(self.windows.policy, [name]) as seen:
            self.windows.output(self.x)
        return seen[name][:, -1]


def _classes(
    metric: str, actions: VPTActions, rows: Sequence[int] | NDArray[np.int64]
) -> Tensor | None:
    """Whether the player pressed the metric's button in each window, bool [n]; None if too few did or did not."""
    if metric == "ESC":
        pressed = actions.esc
    elif metric in VPT_BUTTONS:
        pressed = BUTTON_TABLE[actions.buttons, COLUMN[metric]].astype(bool)
    else:
        return None
    found = torch.from_numpy(np.asarray(pressed)[rows])
    return found if min(int(found.sum()), int((~found).sum())) >= MIN_CLASS else None


def _class_shares(
    runs: _Runs, names: Sequence[str], own: slice, axes: Subspace, classes: Tensor | None
) -> Tensor | None:
    """Share along each axis of the squared distance between the classes' means, summed over activations."""
    if classes is None:
        return None
    total = torch.zeros(len(axes.directions))
    for name in names:
        x = runs.last(name)[:, own].cpu()
        apart = x[classes].mean(0) - x[~classes].mean(0)
        total += (axes.directions.cpu() @ apart).square()
    return total / total.sum().clamp(min=1e-30)
