"""`basalt probe twins`: plays of a folder again, as they were and with one thing of their world changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import EnvActions
from basalt.core.published import data_folder
from basalt.core.recording import PlayerKind, Recording, RecordingMeta, find_recordings
from basalt.core.registry import did_you_mean
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.core.telemetry import Telemetry
from basalt.io.claims import make_folder
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.probes.settings import TwinsConfig
from basalt.probes.twins.changes import CHANGES, OWN_FIELDS
from basalt.probes.twins.library import FILE, PLAIN, SEEN, Twin, TwinLibrary
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.replay import pressed_actions
from basalt.rollouts.rollout import rollout

WELL = 0.75
"""Share of the largest difference of the pictures at which a change is seen about as well as ever."""


class ActionPlayer:
    """Plays given actions; nothing after their end.

    Args:
        actions: Actions of an episode, the same for every row.
    """

    name = "twins"
    kind: PlayerKind = "scripted"

    def __init__(self, actions: EnvActions) -> None:
        self._actions = actions
        self._next: NDArray[np.int64] = np.zeros(0, np.int64)

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """The next action of each row; see `basalt.core.agent.Agent`."""
        if len(self._next) != len(first):
            self._next = np.zeros(len(first), np.int64)
        self._next[first] = 0
        found = [self._actions.step(int(t)) if t < len(self._actions) else {} for t in self._next]
        self._next += 1
        return found


@dataclass(frozen=True)
class _Play:
    """A play whose actions are played again."""

    meta: RecordingMeta
    actions: EnvActions
    cfg: TwinsConfig

    def again(self, name: str, edit: Mapping[str, Any] | None) -> Recording:
        """Play it, or open what was played before.

        Raises:
            ConfigError: The world refuses the edit, or the folder holds another play.
            WorldError: The world kept failing.
        """
        plan = RolloutPlan(
            task=self.meta.task,
            world=self.meta.world,
            agent={"name": ActionPlayer.name, "actions": _digest(self.actions)},
            seeds=(self.meta.seed,),
            out=Path(self.cfg.out) / str(self.meta.seed) / name,
            max_steps=self.cfg.steps,
            world_args={"size": [self.meta.width, self.meta.height]},
            edit=edit,
        )
        make = partial(ActionPlayer, self.actions)
        (recording,) = rollout(make, plan, progress=False)
        return recording


def make_twins(cfg: TwinsConfig) -> TwinLibrary:
    """Run `basalt probe twins`: record the twins that are not recorded yet, compare them, and write `twins.json`.

    Raises:
        BasaltError: The recordings are missing, too short, without telemetry, or of test seeds; a change is unknown; or
            the world failed.
    """
    out = Path(cfg.out)
    make_folder(out, "library of twins")
    for name in cfg.changes:
        if name not in CHANGES:
            raise ConfigError(
                f"changes: unknown change {name!r}; {did_you_mean(name, CHANGES)}available: {', '.join(CHANGES)}"
            )
    names = cfg.changes or tuple(CHANGES)
    plays, left_out = _plays(cfg)
    found: list[Twin] = []
    version = ""
    with progress_bar(total=len(plays) * (1 + len(names)), title="twins", unit="play") as bar:
        for play in plays:
            seed = play.meta.seed
            plain = play.again(PLAIN, None)
            version = _version(plain, version)
            bar.update()
            states = plain.telemetry()
            for name in names:
                # The last frame shows the state after the last step.
                edit = CHANGES[name](states)
                bar.update()
                if edit is None:
                    left_out.append(f"seed {seed}, {name}: no place for it, or nothing to change")
                    continue
                try:
                    changed = play.again(name, edit)
                except ConfigError as err:
                    left_out.append(f"seed {seed}, {name}: {err}")
                    continue
                found.append(compare(plain, changed, name, edit))
    if not found:
        raise ConfigError(
            f"changes: expected a change that fits one of {len(plays)} plays, none does; use another change or more steps"
        )
    library = TwinLibrary(
        task=cfg.task,
        world=plays[0].meta.world,
        world_version=version,
        steps=cfg.steps,
        twins=tuple(found),
        left_out=tuple(left_out),
    )
    library.write(out / FILE)
    return library


def _plays(cfg: TwinsConfig) -> tuple[list[_Play], list[str]]:
    """The plays of the task's recordings, one for each seed, and why others are left out."""
    task = get_task(cfg.task)
    folder = data_folder(cfg.data)
    found: dict[int, _Play] = {}
    left_out = []
    for recording in find_recordings(folder):
        meta = recording.meta
        if meta is None or meta.task != task.name or meta.edit is not None or meta.seed in found:
            continue
        refuse_test_seeds(task, [meta.seed], f"twins of {recording.stem}")
        if meta.steps <= cfg.steps:  # its last step ends the episode
            left_out.append(
                f"seed {meta.seed}: {meta.steps} steps, not more than steps={cfg.steps}"
            )
            continue
        found[meta.seed] = _Play(meta, pressed_actions(recording.lines)[: cfg.steps], cfg)
    if not found:
        raise ConfigError(
            f"data: expected recordings of {task.name} of more than {cfg.steps} steps, found none in {folder}; lower steps "
            "or use another folder"
        )
    worlds = sorted({play.meta.world for play in found.values()})
    if len(worlds) > 1:
        raise ConfigError(
            f"data: expected recordings of one world, got {', '.join(worlds)}; use folders of one of them"
        )
    return [found[seed] for seed in sorted(found)[: cfg.count]], left_out


def _version(recording: Recording, other: str) -> str:
    assert recording.meta is not None
    found = recording.meta.world_version
    if other and found != other:
        raise ConfigError(
            f"{recording.stem}: recorded in {found}, but others of the library in {other}; use another out=FOLDER"
        )
    return found


def _digest(actions: EnvActions) -> str:
    """Digest of actions, by which a folder is known to hold their play."""
    return hashlib.sha256(actions.buttons.tobytes() + actions.camera.tobytes()).hexdigest()


def compare(plain: Recording, changed: Recording, change: str, edit: Mapping[str, Any]) -> Twin:
    """From when on two plays of the same seed and actions differ.

    Args:
        plain: The play in the world as it is.
        changed: The play in the changed world.
        change: Name of the change.
        edit: What was changed.
    """
    assert plain.meta is not None
    own = ("breath", *(name for kind in edit for name in OWN_FIELDS[kind]))
    differs: int | None = None
    fields: tuple[str, ...] = ()
    for t, (a, b) in enumerate(zip_longest(plain.telemetry(), changed.telemetry())):
        if fields := _differing(a, b, own):
            differs = t
            break
    pictures = np.array(
        [
            np.abs(a.astype(np.int16) - b).mean()
            for a, b in zip(plain.frames(), changed.frames(), strict=False)
        ]
    )
    seen = np.flatnonzero(pictures > SEEN)
    # Frame t shows state t; the actions of a step are labels of the frame before it, so the last frame has none.
    same = pictures[: len(pictures) - 1 if differs is None else differs]
    moment = None
    if len(same) and same.max() > SEEN:
        # The last frame at which it is seen about as well as ever, so that long windows fit before it.
        moment = int(np.flatnonzero(same >= max(WELL * same.max(), SEEN))[-1])
    return Twin(
        seed=plain.meta.seed,
        change=change,
        edit=dict(edit),
        seen=int(seen[0]) if len(seen) else None,
        differs=differs,
        fields=fields,
        moment=moment,
        picture=0.0 if moment is None else float(same[moment]),
    )


def _differing(a: Telemetry | None, b: Telemetry | None, own: Sequence[str]) -> tuple[str, ...]:
    """Names of the fields in which two states differ; `step` if one of them is missing."""
    if a is None or b is None:
        return ("step",)
    names = (name for name in type(a).model_fields if name not in own)
    return tuple(name for name in names if getattr(a, name) != getattr(b, name))
