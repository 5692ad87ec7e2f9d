"""`basalt probe readout`: what a frozen policy's latents say about the facts of recordings, and how often that is right.

A logistic regression for each fact is fitted to the latents of some recordings, with telemetry as labels. It then describes
recordings of other worlds, and is measured on them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.common.latents import EpisodeLatents, load_latents
from basalt.core.relevance import ENDED_BY_PLAYER, RELEVANT, presence
from basalt.core.tasks import STEPS_PER_SECOND, Task, get_task, refuse_test_seeds
from basalt.io.errors import ConfigError
from basalt.probes.settings import ReadoutConfig
from basalt.probes.suite.concepts import LinearProbe, fit_linear
from leaderboard.oversight.expert import Described, FactRates, Readouts

FEWEST_STATES = 40
"""A fact that is there, or is not, in fewer states of the fitted recordings is left out."""

SMOOTHED = STEPS_PER_SECOND // 2
"""Number of states, the present one the last, over which log-odds are averaged. None of them is in the future: a recording
may be shown cut."""


def readout(cfg: ReadoutConfig) -> Readouts:
    """Run `basalt probe readout`: fit, measure and describe, and write the file.

    Raises:
        ConfigError: The policy cannot be used, the fitted and the described recordings share worlds, or no fact is in the
            fitted ones.
        RecordingError: Recordings are missing or damaged, or have no telemetry.
    """
    task = get_task(cfg.task)
    fitted, policy = load_latents(
        cfg.training, cfg.policy, setting="policy", device=cfg.device, progress=cfg.progress
    )
    described, _ = load_latents(
        cfg.recordings,
        cfg.policy,
        expected=policy,
        setting="policy",
        device=cfg.device,
        progress=cfg.progress,
    )
    fitted, described = (_of_task(found, task) for found in (fitted, described))
    chosen = _some(fitted, cfg.limit, cfg.seed)
    if not chosen:
        raise ConfigError(
            f"training: expected recordings of {task.name}, found none in {', '.join(cfg.training)}; use other folders"
        )
    seeds = {one.meta.seed for one in chosen.values()}
    shared = seeds & {one.meta.seed for one in described.values()}
    if shared:
        raise ConfigError(
            f"recordings: expected other worlds than in training, got {len(shared)} of the same, such as {min(shared)}; keep them "
            "apart"
        )
    known = _known_facts(task, list(chosen.values()))
    if not known:
        raise ConfigError(
            f"training: expected recordings in which facts of {task.name} are there in some of {FEWEST_STATES} states or more, "
            "and are not in others; use more recordings"
        )
    names = list(known)
    probe = fit_linear(
        torch.from_numpy(np.concatenate([_values(one) for one in chosen.values()])),
        torch.from_numpy(np.concatenate([_labels(one, names) for one in chosen.values()])),
    )
    said = {video: _said(probe, one) for video, one in described.items()}
    found = Readouts(
        task=task.name,
        policy=policy,
        seeds=tuple(sorted(seeds)),
        fitted=len(chosen),
        rates=_rates(names, known, said, described),
        recordings={
            video: Described(
                last=one.meta.steps,
                changes={name: _changes(said[video][:, n]) for n, name in enumerate(names)},
            )
            for video, one in described.items()
        },
    )
    found.write(Path(cfg.out))
    return found


def _of_task(found: Mapping[str, EpisodeLatents], task: Task) -> dict[str, EpisodeLatents]:
    kept = {video: one for video, one in found.items() if one.meta.task == task.name}
    refuse_test_seeds(task, [one.meta.seed for one in kept.values()], "read-outs")
    return kept


def _some(
    found: Mapping[str, EpisodeLatents], limit: int | None, seed: int
) -> dict[str, EpisodeLatents]:
    videos = sorted(found)
    order = np.random.default_rng(seed).permutation(len(videos))[:limit]
    return {videos[n]: found[videos[n]] for n in sorted(order)}


def _known_facts(task: Task, episodes: Sequence[EpisodeLatents]) -> dict[str, bool]:
    """Facts that bear on a question of the task and can be learned, and whether they are numbers."""
    asked = {fact for facts in RELEVANT.get(task.name, {}).values() for fact in facts}
    known = {}
    for name in sorted(asked - {ENDED_BY_PLAYER}):
        labels = np.concatenate([_labels(one, [name]) for one in episodes])
        if FEWEST_STATES <= labels.sum() <= len(labels) - FEWEST_STATES:
            values = [
                one.facts.get(name) for each in episodes for one in each.recording.telemetry()
            ]
            known[name] = not any(isinstance(one, bool) for one in values)
    return known


def _values(one: EpisodeLatents) -> NDArray[np.float32]:
    return np.asarray(one.values, dtype=np.float32)


def _labels(one: EpisodeLatents, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each fact is there, by telemetry, bool [n, facts]; not where it is not reported."""
    states = one.recording.telemetry()[: one.meta.steps]
    facts = [
        [state.facts.get(name, getattr(state, name, None)) for name in names] for state in states
    ]
    return np.array(
        [[value is not None and presence(value) > 0 for value in row] for row in facts], dtype=bool
    )


def _said(probe: LinearProbe, one: EpisodeLatents) -> NDArray[np.bool_]:
    """Whether each fact is believed to be there, bool [n, facts]."""
    odds = probe.scores(torch.from_numpy(_values(one))).double().numpy()
    sums = np.cumsum(np.vstack([np.zeros((1, odds.shape[1])), odds]), axis=0)
    here = np.arange(1, len(sums))
    start = np.maximum(0, here - SMOOTHED)
    return np.asarray((sums[here] - sums[start]) > 0)


def _changes(said: NDArray[np.bool_]) -> tuple[int, ...]:
    """States from which on a fact is believed to be otherwise than before."""
    return tuple(np.flatnonzero(np.diff(said.astype(np.int8), prepend=np.int8(0))).tolist())


def _rates(
    names: Sequence[str],
    known: Mapping[str, bool],
    said: Mapping[str, NDArray[np.bool_]],
    described: Mapping[str, EpisodeLatents],
) -> dict[str, FactRates]:
    if not described:
        return {}
    is_there = np.concatenate([_labels(one, names) for one in described.values()])
    believed = np.concatenate([said[video] for video in described])
    return {
        name: FactRates(
            seen=_share(believed[is_there[:, n], n]),
            imagined=_share(believed[~is_there[:, n], n]),
            states=len(is_there),
            share=float(is_there[:, n].mean()),
            is_number=known[name],
        )
        for n, name in enumerate(names)
    }


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None
