"""Let an agent play episodes of a task and record them.

A rollout is a folder of recordings, one per seed. It can be interrupted at any time: finished
episodes stay whole, and the same call goes on with the seeds that are missing.
"""

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np

import basalt
import basalt.worlds  # registers the environments
from basalt.core.actions import validate_action
from basalt.core.agent import Agent, PlayerLeft, check_kind, privileged
from basalt.core.intervals import episode_interval, rate_interval
from basalt.core.recording import CRASHED, Ended, Recording, RecordingWriter
from basalt.core.scoring import Outcome, can_score, outcome
from basalt.core.tasks import Task, get_task
from basalt.core.video import DEFAULT_CRF
from basalt.core.world import Info
from basalt.io.atomic import write_json
from basalt.io.console import note, progress_bar
from basalt.io.errors import ConfigError, WorldError
from basalt.io.locks import sole_writer
from basalt.worlds.edits import parse_edit

MakeAgent = Callable[[], Agent]

WORLD_ATTEMPTS = 3
"""An episode whose world fails is played again from its start, this often in all."""

FAILED_SEEDS = 3
"""After so many seeds whose world kept failing the fault is not theirs, and a rollout stops."""

HOW_A_WORLD_RUNS = ("address", "max_memory")
"""Settings of worlds that do not change what is played: with others a rollout goes on, as with other
time-outs."""


@dataclass(frozen=True)
class RolloutPlan:
    """What to play.

    Attributes:
        task: name of the task.
        world: name of the world.
        agent: what the player is, as plain data (its configuration).
        seeds: one episode each.
        out: folder of the recordings ``seed_{seed}``.
        max_steps: cut episodes at this many steps; None for the task's own limit.
        world_args: further keyword arguments of the environment.
        crf: x264's quality of the videos, lower is better and larger.
        edit: what to change in every seed's world, for twins (:mod:`basalt.worlds.edits`).

    Raises:
        ConfigError: fewer than one step, or an edit that is none.
    """

    task: str
    world: str
    agent: Mapping[str, Any]
    seeds: tuple[int, ...]
    out: Path
    max_steps: int | None = None
    world_args: Mapping[str, Any] = field(default_factory=dict)
    crf: int = DEFAULT_CRF
    edit: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps: {self.max_steps} is less than 1")
        if self.edit is not None:
            parse_edit(self.edit)

    @property
    def step_limit(self) -> int:
        """The limit the episodes are played under, in steps."""
        limit = get_task(self.task).step_limit
        return limit if self.max_steps is None else min(limit, self.max_steps)


def rollout(
    make_agent: MakeAgent, plan: RolloutPlan, *, jobs: int = 1, progress: bool = True
) -> list[Recording]:
    """Play the plan's episodes that are not recorded yet; returns all its recordings in seed order.

    Args:
        make_agent: makes the agent, once in this process and once in each of ``jobs`` > 1, for which it must be
            picklable.
        plan: what to play.
        jobs: processes that play side by side, each with a world of its own.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: the folder holds another rollout, or another process is writing to it.
        WorldError: a world kept failing. That of one seed does not keep the others from being played,
            those of :data:`FAILED_SEEDS` do; finished episodes stay.
        PlayerLeft: the player went; what it had played stays, as cut.
    """
    if jobs < 1:
        raise ConfigError(f"jobs: {jobs} is less than 1")
    agent = make_agent()  # before anything is written: one that cannot be made leaves no folder
    check_kind(agent)
    with sole_writer(plan.out, "rollout"):
        _same_rollout(plan)
        missing = [seed for seed in plan.seeds if not _is_recorded(plan, seed)]
        failures = _Failures(len(missing))
        if jobs == 1 or len(missing) < 2:
            with _Player(agent, plan) as sole:
                for number, seed in enumerate(missing, start=1):
                    of = f" ({number} of {len(missing)})" if len(missing) > 1 else ""
                    with failures.of(seed):
                        sole.play(seed, progress=progress, title=f"seed {seed}{of}")
        else:
            del agent  # every process makes its own
            _play_side_by_side(make_agent, plan, missing, jobs, progress, failures)
        failures.tell()
    return [Recording.open(plan.out / _name(seed)) for seed in plan.seeds]


def summary(recordings: Sequence[Recording]) -> dict[str, Any]:
    """What a rollout came to in the referee's eyes, ready for JSON.

    Returns:
        ``episodes``: a row per recording; ``success_rate`` and ``distance_walked`` (nodes, mean),
        each as ``{"mean": ..., "interval": [low, high]}`` at 95 % over episodes (the interval of the
        distance is None below three episodes). Success and distance are None, one by one and in
        all, where the world does not tell them.
    """
    rows: list[dict[str, Any]] = []
    for recording in recordings:
        if recording.meta is None:
            raise ConfigError(f"{recording.stem}: has no {recording.meta_path.name} to summarise")
        last = recording.telemetry()[-1]
        rows.append(
            {
                "player": recording.meta.player,
                "seed": recording.meta.seed,
                "steps": recording.meta.steps,
                "ended": recording.meta.ended,
                "success": success(recording),
                "distance_walked": round(last.distance_walked, 2) if last.tells("xpos") else None,
                "facts": last.facts,
                "recording": str(recording.video_path),
            }
        )
    scored = [bool(row["success"]) for row in rows if row["success"] is not None]
    distances = [row["distance_walked"] for row in rows if row["distance_walked"] is not None]
    return {
        "episodes": rows,
        "success_rate": {
            "mean": sum(scored) / len(scored),
            "interval": rate_interval(sum(scored), len(scored)),
        }
        if scored
        else None,
        "distance_walked": {
            "mean": sum(distances) / len(distances),
            "interval": episode_interval(distances, [1] * len(distances)),
        }
        if distances
        else None,
    }


def referee_view(recording: Recording) -> Outcome:
    """Success and tie-breaks of one of our recordings, by its telemetry."""
    if recording.meta is None:
        raise ConfigError(f"{recording.stem}: BEDD's recordings cannot be scored by telemetry")
    return outcome(get_task(recording.meta.task), recording.telemetry(), recording.meta.ended)


def success(recording: Recording) -> bool | None:
    """Success of one of our recordings by its telemetry; None where the world does not tell it."""
    assert recording.meta is not None
    if not can_score(get_task(recording.meta.task), recording.telemetry()):
        return None
    return referee_view(recording).success


def _name(seed: int) -> str:
    return f"seed_{seed}"


def _is_recorded(plan: RolloutPlan, seed: int) -> bool:
    return (plan.out / f"{_name(seed)}.json").is_file()


def _crash_name(folder: Path, seed: int) -> str:
    taken = len(list(folder.glob(f"{_name(seed)}_*.json")))
    return f"{_name(seed)}_{taken + 1}"


def _same_rollout(plan: RolloutPlan) -> None:
    """Write what is played into the folder, or refuse a folder that says something else."""
    path = plan.out / "rollout.json"
    world_args = {
        key: value
        for key, value in plan.world_args.items()
        if key not in HOW_A_WORLD_RUNS and not key.endswith("_timeout_s")
    }
    asked = {
        "agent": dict(plan.agent),
        "task": plan.task,
        "world": plan.world,
        "world_args": world_args,
        "step_limit": plan.step_limit,
        "edit": None if plan.edit is None else dict(plan.edit),
    }
    # A rollout that failed before its first episode binds nobody.
    if path.is_file() and any(plan.out.glob("seed_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for key, value in asked.items():
            if found.get(key) != value:
                raise ConfigError(
                    f"{path}: {key} is {found.get(key)!r}, not {value!r}: another rollout; "
                    "give another folder with out="
                )
    else:
        write_json(path, {"package_version": basalt.__version__, **asked})


class _Failures:
    """The seeds whose worlds kept failing while others were played."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._errors: list[WorldError] = []

    @contextmanager
    def of(self, seed: int) -> Iterator[None]:
        """Keep the world's failure of a seed for later, unless there were too many."""
        try:
            yield
        except WorldError as err:
            self._errors.append(err)
            if len(self._errors) >= FAILED_SEEDS:
                self.tell()
            if self._seeds > 1:
                note(f"seed {seed}: left out; going on with the others")

    def tell(self) -> None:
        """Raise what was kept, if anything."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise WorldError(f"{len(self._errors)} seeds failed; first: {self._errors[0]}")


class _Player:
    """An agent and its world, playing one episode after the other."""

    def __init__(self, agent: Agent, plan: RolloutPlan) -> None:
        self._agent = agent
        # Read once: what the recordings are labelled decides what the agent sees.
        self._kind = agent.kind
        self._privileged = privileged(agent)
        self._plan = plan
        self._task: Task = get_task(plan.task)
        self._env: gymnasium.Env | None = None

    def __enter__(self) -> "_Player":
        return self

    def __exit__(self, *_: object) -> None:
        self._close_world()

    def play(self, seed: int, *, progress: bool, title: str = "") -> Path:
        """Record one episode; the path of its recording without suffix."""
        for attempt in range(1, WORLD_ATTEMPTS + 1):
            try:
                return self._episode(seed, progress, title)
            except WorldError as err:
                self._close_world()
                if attempt == WORLD_ATTEMPTS:
                    raise WorldError(
                        f"seed {seed}: the world failed {attempt} times; last: {err}"
                    ) from err
                note(f"seed {seed}: {err}; playing it again")
        raise AssertionError("unreachable")

    def _episode(self, seed: int, progress: bool, title: str) -> Path:
        plan, limit = self._plan, self._plan.step_limit
        env = self._world()
        options = None if plan.edit is None else {"edit": plan.edit}
        observation, info = env.reset(seed=seed, options=options)
        with (
            RecordingWriter(
                plan.out,
                _name(seed),
                task=self._task.name,
                world=plan.world,
                world_version=env.get_wrapper_attr("version"),
                seed=seed,
                player=self._agent.name,
                player_kind=self._kind,
                step_limit=limit,
                edit=plan.edit,
                crf=plan.crf,
            ) as writer,
            progress_bar(
                total=limit, title=f"{self._agent.name} {title}", unit="step", shown=progress
            ) as bar,
        ):
            writer.begin(observation["pov"], info["telemetry"])
            ended: Ended | None = None
            first = True
            while ended is None:
                try:
                    action = self._choose(observation["pov"], cast(Info, info), first)
                except PlayerLeft:
                    if not first:
                        writer.finish("cut")
                    raise
                try:
                    observation, _, terminated, truncated, info = env.step(action)
                except WorldError:
                    # What was seen until then is kept, marked, for whoever looks for the reason.
                    crashed = plan.out / CRASHED
                    writer.finish("crash", crashed, _crash_name(crashed, seed))
                    raise
                writer.step(
                    action, info["applied"]["camera"], observation["pov"], info["telemetry"]
                )
                first = False
                bar.update()
                if terminated or truncated:
                    ended = info["ended"]
                elif info["telemetry"].step >= limit:
                    ended = "cut"
            return writer.finish(ended).stem

    def _choose(self, pov: np.ndarray, info: Info, first: bool) -> dict[str, Any]:
        if self._privileged is not None:
            self._privileged.observe([info])
        (action,) = self._agent.act(pov[None], np.array([first]))
        return validate_action(action)

    def _world(self) -> gymnasium.Env:
        if self._env is None:
            self._env = gymnasium.make(
                self._task.gym_id,
                world=self._plan.world,
                disable_env_checker=True,
                **self._plan.world_args,
            )
        return self._env

    def _close_world(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None


_process_player: _Player | None = None
"""The player of a worker process, made once and kept from episode to episode."""


def _start_worker(make_agent: MakeAgent, plan: RolloutPlan) -> None:
    global _process_player
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _process_player = _Player(make_agent(), plan)


def _end_with_parent() -> None:
    """A worker whose rollout was killed would otherwise play its episode to the end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _play_in_worker(seed: int) -> int:
    assert _process_player is not None
    _process_player.play(seed, progress=False)
    return seed


def _play_side_by_side(
    make_agent: MakeAgent,
    plan: RolloutPlan,
    seeds: Sequence[int],
    jobs: int,
    progress: bool,
    failures: _Failures,
) -> None:
    # Spawned, not forked: an agent may hold threads and a GPU.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(make_agent, plan)
    )
    try:
        futures = {pool.submit(_play_in_worker, seed): seed for seed in seeds}
        with progress_bar(total=len(seeds), title=plan.task, unit="episode", shown=progress) as bar:
            for future in as_completed(futures):
                with failures.of(futures[future]):
                    future.result()
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
