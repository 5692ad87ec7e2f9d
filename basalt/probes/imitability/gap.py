"""The imitability gap: how much better a player's actions are predicted from what the referee knows than from frames.

A demonstrator that acts on what no player can see cannot be cloned, however much data there is: its clone averages over
what it does not see. So the same head is trained twice on the same frames, once on the frozen latents of a policy, once
on telemetry and site. The gap is the difference of the held-out losses: near 0, the demonstrations can be imitated from
frames as well as their actions can be predicted at all.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from basalt.core.actions import VPTActions
from basalt.core.recording import Recording
from basalt.core.tasks import Task, get_task
from basalt.data.episodes import Episode, load_episodes, split_episodes
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.embed import EmbedConfig, embed_and_open
from basalt.policies.source import trained_on
from basalt.probes.imitability.features import features, table
from basalt.probes.imitability.head import ActionHead, Actions, Classes, fit_head
from basalt.probes.records import Estimate, Part, ProbeRecord
from basalt.probes.settings import ImitabilityConfig
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import saved_world

VALIDATION = 0.25
"""Share of the training groups that decide when a head has learned enough."""


class PhaseGap(Part):
    """Losses on the held-out frames of a phase, in nats per frame: buttons, camera where it counts, and ESC.

    Attributes:
        frames: Number of frames.
        frequencies: Loss of the same head where it sees nothing, and so predicts the frequencies of training frames.
        pixels: Loss of the head on the policy's latents.
        telemetry: Loss of the same head on telemetry and site.
        gap: `pixels` minus `telemetry`; large where the player acts on what frames do not show.
    """

    frames: int
    frequencies: Estimate
    pixels: Estimate
    telemetry: Estimate
    gap: Estimate


class ImitabilityReport(ProbeRecord):
    """The imitability gap of a folder of recordings.

    Attributes:
        policy: Policy whose latents were read.
        data: Folder of the recordings.
        training_episodes, held_out_episodes: Sizes of the split.
        columns: Number of features of telemetry and site.
        site_episodes: Number of episodes whose site is known.
        policy_places: Number of held-out worlds that the policy was trained on; with any, `pixels` is optimistic.
        phases: By name: `all`, and `before` and `after` what the player acts on was in view (`cueVisible`).
        seconds: Duration.
    """

    FORMAT: ClassVar[str] = "basalt-imitability"

    policy: str
    data: str
    training_episodes: int
    held_out_episodes: int
    columns: int
    site_episodes: int
    policy_places: int
    phases: dict[str, PhaseGap]
    seconds: float

    def lines(self) -> list[str]:
        """The report in lines of text."""
        episodes = self.training_episodes + self.held_out_episodes
        lines = [
            f"imitability gap of {self.data}, on {self.held_out_episodes} held-out of {episodes} episodes; "
            f"{self.columns} features of telemetry and site (site known in {self.site_episodes})",
            f"{'phase':<8}{'frames':>8}  {'frequencies':<12}{'pixels':<10}{'telemetry':<11}gap (95%), nats per frame",
        ]
        for name, one in self.phases.items():
            values = [
                each.text(".3f") if each is one.gap else f"{each.value:.3f}"
                for each in _estimates(one)
            ]
            lines.append(
                f"{name:<8}{one.frames:>8}  {values[0]:<12}{values[1]:<10}{values[2]:<11}{values[3]}"
            )
        if "before" not in self.phases:
            lines.append(
                "no recording says when the cue was in view (cueVisible), so there is one phase"
            )
        if self.policy_places:
            lines.append(
                f"the policy was trained on {self.policy_places} of the held-out worlds, so its loss is optimistic"
            )
        return lines


def _estimates(gap: PhaseGap) -> list[Estimate]:
    return [gap.frequencies, gap.pixels, gap.telemetry, gap.gap]


@dataclass(frozen=True)
class _Played:
    """An episode with what the referee knows at each of its used frames.

    Attributes:
        episode: The episode.
        known: Features, a row for each frame and a column for each feature.
        cue: bool [n], whether the cue has been in view; None if the recording does not say.
        has_site: Whether its site is among the features.
    """

    episode: Episode
    known: pd.DataFrame
    cue: NDArray[np.bool_] | None
    has_site: bool


def imitability(cfg: ImitabilityConfig) -> ImitabilityReport:
    """Measure the imitability gap of recordings.

    Raises:
        BasaltError: The recordings, the policy or the folder cannot be used.
    """
    began = time.monotonic()
    task, out = get_task(cfg.task), Path(cfg.out)
    episodes = load_episodes(cfg.data, task=task, cache_gb=0)
    known, held_out = split_episodes(episodes, cfg.held_out, cfg.seed)
    training, validation = split_episodes(known, VALIDATION, cfg.seed)
    played = [
        _play(episode, task, cfg.site)
        for episode in progress_bar(episodes, title="telemetry", unit="episode", shown=cfg.progress)
    ]
    with sole_writer(out, "imitability gap"):
        latents = embed_and_open(
            EmbedConfig(
                data=cfg.data, policy=cfg.policy, out=str(out / "latents"), task=cfg.task, batch_size=cfg.batch_size,
                workers=cfg.workers, device=cfg.device, progress=cfg.progress,
            )
        )  # fmt: skip
        columns = table([one.known for one in played])
        order = {id(episode): number for number, episode in enumerate(episodes)}
        sides = [[order[id(one)] for one in side] for side in (training, validation, held_out)]
        classes = Classes(VPTActions(*_joined([one.actions for one in training])))
        actions = [classes.of(one.actions) for one in episodes]
        nothing = [np.zeros((len(one), 1)) for one in episodes]
        inputs: dict[str, Sequence[NDArray[np.floating]]] = {
            "pixels": latents, "telemetry": columns, "frequencies": nothing,
        }  # fmt: skip
        losses = {
            name: losses_of(values, actions, sides, classes, cfg) for name, values in inputs.items()
        }
        report = ImitabilityReport(
            policy=cfg.policy,
            data=cfg.data,
            training_episodes=len(known),
            held_out_episodes=len(held_out),
            columns=columns[0].shape[1],
            site_episodes=sum(one.has_site for one in played),
            policy_places=len(trained_on(cfg.policy) & {one.split_group for one in held_out}),
            phases=phases_of(losses, [played[number].cue for number in sides[2]]),
            seconds=time.monotonic() - began,
        )
        report.write(out / "report.json")
    return report


def _play(episode: Episode, task: Task, use_site: bool) -> _Played:
    stems = [one.stem for one in episode.recordings]
    recording = Recording.open(stems[0])  # opened again, so that its lines leave the memory with it
    if len(stems) != 1 or recording.meta is None or not (states := recording.telemetry()):
        raise ConfigError(
            f"data: expected recordings with telemetry, got {episode.name}; use those of basalt record or basalt rollout"
        )
    site: dict[str, Any] = {}
    if use_site and recording.meta.world_version == _version(task, recording.meta.world):
        site = saved_world(task, recording.meta.seed).site
    expert = recording.expert()
    return _Played(
        episode=episode,
        known=features(states, site).iloc[episode.kept],
        cue=None if expert is None else expert.cue_visible[episode.kept],
        has_site=bool(site),
    )


def _version(task: Task, world: str) -> str | None:
    """The version of a task's world; None for a world whose sites are not saved."""
    return world_version(task) if world == "luanti" else None


def losses_of(
    inputs: Sequence[NDArray[np.floating]],
    actions: Sequence[Actions],
    sides: Sequence[Sequence[int]],
    classes: Classes,
    cfg: ImitabilityConfig,
) -> list[NDArray[np.float64]]:
    """Loss at each frame of each held-out episode of a head trained on these inputs, float64 [n] each.

    Args:
        inputs: What the head reads at each frame of each episode, [n, width] each.
        actions: What the player did in each episode.
        sides: Numbers of the training, validation and held-out episodes.
        classes: Classes of the actions.
        cfg: Settings of the head.
    """

    def rows(side: Sequence[int]) -> tuple[NDArray[np.floating], Actions]:
        joined = Actions(*_joined([actions[number] for number in side]))
        return np.concatenate([inputs[number] for number in side]), joined

    training, validation, held_out = sides
    head = fit_head(
        rows(training),
        rows(validation),
        sizes=classes.sizes,
        components=cfg.components,
        hidden=cfg.hidden,
        steps=cfg.steps,
        batch_size=cfg.batch,
        lr=cfg.lr,
        seed=cfg.seed,
    )
    return [_loss(head, inputs[number], actions[number]) for number in held_out]


def _joined(parts: Sequence[Sequence[NDArray[Any]]]) -> Iterator[NDArray[Any]]:
    """Columns of several tables, one after the other."""
    return map(np.concatenate, zip(*parts, strict=True))


@torch.no_grad()
def _loss(head: ActionHead, inputs: NDArray[np.floating], actions: Actions) -> NDArray[np.float64]:
    return head.losses(head.inputs(inputs), actions.tensors()).double().numpy()


def phases_of(
    losses: dict[str, list[NDArray[np.float64]]], cues: Sequence[NDArray[np.bool_] | None]
) -> dict[str, PhaseGap]:
    """The losses by phase.

    Args:
        losses: By `pixels`, `telemetry` and `frequencies`: loss at each frame of each held-out episode.
        cues: Whether the cue has been in view at each frame, bool [n]; None for an episode that counts in `all` only,
            since its recording does not say.
    """
    lengths = [len(each) for each in losses["pixels"]]
    masks = {"all": [np.ones(length, bool) for length in lengths]}
    if any(cue is not None for cue in cues):
        for name, visible in (("before", False), ("after", True)):
            masks[name] = [
                np.zeros(length, bool) if cue is None else cue == visible
                for cue, length in zip(cues, lengths, strict=True)
            ]
    return {
        name: _gap(losses, mask) for name, mask in masks.items() if any(each.any() for each in mask)
    }


def _gap(
    losses: dict[str, list[NDArray[np.float64]]], mask: Sequence[NDArray[np.bool_]]
) -> PhaseGap:
    counts = [int(each.sum()) for each in mask]
    sums = {
        name: np.array([loss[each].sum() for loss, each in zip(found, mask, strict=True)])
        for name, found in losses.items()
    }
    return PhaseGap(
        frames=sum(counts),
        frequencies=Estimate.ratio(sums["frequencies"], counts),
        pixels=Estimate.ratio(sums["pixels"], counts),
        telemetry=Estimate.ratio(sums["telemetry"], counts),
        gap=Estimate.ratio(sums["pixels"] - sums["telemetry"], counts),
    )
