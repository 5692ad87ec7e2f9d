"""Rollouts: an agent plays episodes of a task and is recorded.

A rollout is a folder of recordings, one per seed. It can be interrupted at any time: finished episodes are
kept, and the same call plays the remaining seeds.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import gymnasium
import numpy as np
from pydantic import BaseModel, ConfigDict

import basalt
import basalt.worlds  # registers the environments
from basalt.core.actions import FRAME_SIZE, FrameSize, validate_action
from basalt.core.agent import PRIVILEGED_KINDS, Agent, Labeller, PlayerLeft, check_kind, privileged
from basalt.core.intervals import episode_interval, rate_interval
from basalt.core.recorder_lines import Label
from basalt.core.recording import CRASHED, Ended, Recording, RecordingWriter
from basalt.core.records import Record
from basalt.core.scoring import can_score, furthest, milestones, outcome
from basalt.core.tasks import Task, get_task
from basalt.core.telemetry import Fact, Telemetry
from basalt.core.video import DEFAULT_CRF
from basalt.core.world import Info
from basalt.io.claims import claim
from basalt.io.console import note, progress_bar
from basalt.io.errors import ActionError, BasaltError, ConfigError, WorldError
from basalt.io.locks import sole_writer
from basalt.io.processes import spawned_pool
from basalt.rollouts.milestones import milestone_lines
from basalt.worlds.edits import parse_edit

MakeAgent = Callable[[], Agent]
MakeLabeller = Callable[[], Labeller]
OnFailure = Callable[[int, BasaltError], None]
"""Takes the seed and the error of an episode that could not be played."""

WORLD_ATTEMPTS = 3
"""How often an episode is played if its world fails, each time from its start."""

FAILED_SEEDS = 3
"""A rollout stops when the worlds of this many seeds kept failing."""

RUN_SETTINGS = ("address", "max_memory", "kept_games", "prepare_next", "seeds")
"""World settings that do not affect the episode, like all timeouts; a rollout may be resumed with others."""

SETTING_NAMES = {"step_limit": "max_steps", "world_args": "world.args"}
"""Names of the command's settings that differ from those in `rollout.json`."""


@dataclass(frozen=True)
class RolloutPlan:
    """What to play.

    Attributes:
        task: Name of the task.
        world: Name of the world.
        agent: Settings of the agent, JSON-ready.
        seeds: Seeds to play, one episode each.
        out: Folder of the recordings, named `seed_{seed}`.
        max_steps: Number of steps after which an episode is cut; None for the task's own limit.
        world_args: Further keyword arguments of the environment.
        crf: Quality of the videos (x264's CRF); lower is better and larger.
        edit: Change made in every seed's world, for counterfactual worlds (`basalt.worlds.edits`).
        attempts: How often an episode is played if its world fails, each time from its start.
        facts: Further facts that all episodes in the folder share, JSON-ready; they are claimed with the others.
        film_size: Width and height of the recorded frames, where people should see larger ones than the agent does: a
            finished episode is played again at this size by the same actions. None to record what the agent sees.

    Raises:
        ConfigError: `max_steps` is below 1, `edit` is not valid, or some steps would have no picture.
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
    attempts: int = WORLD_ATTEMPTS
    facts: Mapping[str, Any] = field(default_factory=dict)
    film_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps: expected an integer of at least 1, got {self.max_steps}")
        if self.world_args.get("render_every", 1) != 1:
            raise ConfigError(
                "world.args.render_every: expected 1, since a recording shows every step; "
                f"got {self.world_args['render_every']}"
            )
        sizes = {
            "world.args.size": self.world_args.get("size", FRAME_SIZE),
            "film_size": self.film_size or FRAME_SIZE,
        }
        for name, size in sizes.items():
            if any(int(edge) % 2 for edge in size):
                raise ConfigError(
                    f"{name}: expected even numbers, since a recording is a video; got {list(size)}"
                )
        if self.edit is not None:
            parse_edit(self.edit)

    @property
    def step_limit(self) -> int:
        """Number of steps after which an episode ends or is cut."""
        limit = get_task(self.task).step_limit
        return limit if self.max_steps is None else min(limit, self.max_steps)

    @property
    def episode_args(self) -> dict[str, Any]:
        """The arguments of the environment that affect the episode."""
        return {
            key: value
            for key, value in self.world_args.items()
            if key not in RUN_SETTINGS and not key.endswith("_timeout_s")
        }

    def claim_folder(self) -> None:
        """Write what is played to `rollout.json`, or check that the folder was made for the same.

        Raises:
            ConfigError: The folder holds another rollout.
        """
        file = self.out / "rollout.json"
        if not any(self.out.glob("seed_*.json")):
            # Nothing was recorded, so the folder is free for any rollout.
            file.unlink(missing_ok=True)
        facts = {
            "agent": dict(self.agent),
            "task": self.task,
            "world": self.world,
            "world_args": self.episode_args,
            "step_limit": self.step_limit,
            "edit": None if self.edit is None else dict(self.edit),
            **({} if self.film_size is None else {"film_size": list(self.film_size)}),
            **self.facts,  # last: a setting that differs says more than a hash
        }
        header = {"package_version": basalt.__version__}
        claim(file, "rollout", facts, settings=SETTING_NAMES, header=header)

    def check_version(self, version: str) -> None:
        """Check that the episodes in the folder were recorded in this version of the world.

        Raises:
            ConfigError: One was recorded in another version.
        """
        for file in self.out.glob("seed_*.json"):
            meta = Recording.open(file).meta
            if meta is not None and meta.world_version != version:
                raise ConfigError(
                    f"{file}: recorded in {meta.world} version {meta.world_version}, but this one is "
                    f"{version}, and versions are never mixed; use another out=FOLDER, or install the "
                    "earlier version to resume this rollout"
                )


class EpisodeMean(BaseModel):
    """A mean over episodes.

    Attributes:
        mean: The mean.
        interval: 95% interval [low, high]; None if there are too few episodes for one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    interval: tuple[float, float] | None

    def text(self, spec: str) -> str:
        """The mean and its interval, for people; `spec` is a format of numbers."""
        if self.interval is None:
            return f"{self.mean:{spec}}"
        low, high = self.interval
        return f"{self.mean:{spec}} (95% interval {low:{spec}} to {high:{spec}})"


class EpisodeSummary(BaseModel):
    """One episode of a rollout, as the referee sees it.

    Attributes:
        player: Name of the player.
        seed: Seed of the world.
        steps: Number of steps.
        ended: How the episode ended.
        success: Success by telemetry; None if the world does not report enough to see it.
        distance_walked: Horizontal distance in nodes; None if the world does not report positions.
        facts: The task's own facts after the last step.
        recording: Path of the video.
        milestones: Whether each milestone was reached, in order; None where it is not known. Empty in old records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    player: str
    seed: int
    steps: int
    ended: Ended
    success: bool | None
    distance_walked: float | None
    facts: dict[str, Fact]
    recording: str
    milestones: dict[str, bool | None] = {}


class RolloutSummary(Record):
    """A rollout as the referee sees it: `summary.json`.

    Attributes:
        episodes: The episodes in order of the seeds.
        success_rate: Share of successes, with Wilson's interval; None if no success is known.
        distance_walked: Mean distance in nodes, with a bootstrap interval; None if none is known.
    """

    FORMAT: ClassVar[str] = "basalt-rollout-summary"
    VERSION: ClassVar[int] = 2

    episodes: tuple[EpisodeSummary, ...]
    success_rate: EpisodeMean | None
    distance_walked: EpisodeMean | None

    def lines(self) -> list[str]:
        """The summary as a table with totals, for people."""
        lines = [f"{'seed':>8} {'steps':>6} {'ended':>6} {'success':>8} {'walked':>8} furthest"]
        for one in self.episodes:
            success = {True: "yes", False: "no", None: "?"}[one.success]
            far = furthest(one.milestones) or ("-" if False in one.milestones.values() else "?")
            walked = "?" if one.distance_walked is None else f"{one.distance_walked:.1f}"
            lines.append(
                f"{one.seed:>8} {one.steps:>6} {one.ended:>6} {success:>8} {walked:>8} {far}"
            )
        if self.success_rate is not None:
            lines.append(f"success by telemetry {self.success_rate.text('.0%')}")
        else:
            lines.append(
                "success: unknown, since the world does not report enough; let people judge"
            )
        if self.distance_walked is not None:
            lines.append(f"distance walked {self.distance_walked.text('.1f')} nodes")
        lines += milestone_lines([one.milestones for one in self.episodes])
        return lines


def rollout(
    make_agent: MakeAgent,
    plan: RolloutPlan,
    *,
    jobs: int = 1,
    progress: bool = True,
    on_failure: OnFailure | None = None,
    make_labeller: MakeLabeller | None = None,
) -> list[Recording]:
    """Play the episodes of a plan that are not recorded yet.

    Args:
        make_agent: Factory of the agent, called once in this process and, if `jobs` > 1, once in each worker
            process, for which it must be picklable.
        plan: What to play.
        jobs: Number of processes, each with its own world.
        progress: Whether to show a progress bar on stderr.
        on_failure: Called for each seed whose world kept failing (a WorldError) or whose agent returned
            something that is not an action (an ActionError), instead of raising. Failures of worlds are reported
            only when another episode could be played; `FAILED_SEEDS` in a row are raised.
        make_labeller: Factory of the expert that labels every step of the agent's play, called like `make_agent`.
            By default an agent that is a `Labeller` labels its own play, and no other play is labelled.

    Returns:
        All recordings of the plan, in order of its seeds; with `on_failure`, those that could be made.

    Raises:
        ConfigError: The folder holds another rollout or is being written by another process, or the agent's
            kind is unknown.
        WorldError: A world kept failing. The other seeds are still played, unless `FAILED_SEEDS` worlds did;
            finished episodes are kept.
        PlayerLeft: The player left; its episode is kept, ended as `cut`.
    """
    if jobs < 1:
        raise ConfigError(f"jobs: expected an integer of at least 1, got {jobs}")
    agent = make_agent()  # first, so that a failure leaves no folder
    check_kind(agent)
    with sole_writer(plan.out, "rollout"):
        plan.claim_folder()
        missing = [seed for seed in plan.seeds if not _is_recorded(plan, seed)]
        failures = _Failures(len(missing), on_failure)
        if jobs == 1 or len(missing) < 2:
            with closing(_Player(agent, plan, make_labeller)) as sole:
                for number, seed in enumerate(missing, start=1):
                    of = f" ({number} of {len(missing)})" if len(missing) > 1 else ""
                    with failures.of(seed):
                        sole.play(seed, progress=progress, title=f"seed {seed}{of}")
        else:
            del agent  # every process makes its own
            with (
                spawned_pool(
                    jobs, initializer=_start_worker, initargs=(make_agent, plan, make_labeller)
                ) as pool,
                progress_bar(
                    total=len(missing), title=plan.task, unit="episode", shown=progress
                ) as bar,
            ):
                futures = {pool.submit(_play_in_worker, seed): seed for seed in missing}
                for future in as_completed(futures):
                    with failures.of(futures[future]):
                        future.result()
                    bar.update()
        failures.finish(any(_is_recorded(plan, seed) for seed in plan.seeds))
    seeds = [seed for seed in plan.seeds if on_failure is None or _is_recorded(plan, seed)]
    return [Recording.open(plan.out / _name(seed)) for seed in seeds]


def summary(recordings: Sequence[Recording]) -> RolloutSummary:
    """Summarize recordings by their telemetry.

    Raises:
        ConfigError: A recording is one of BEDD's, which have no telemetry.
    """
    episodes = tuple(_episode_summary(recording) for recording in recordings)
    scored = [one.success for one in episodes if one.success is not None]
    distances = [one.distance_walked for one in episodes if one.distance_walked is not None]
    success_rate = distance = None
    if scored:
        low, high = rate_interval(sum(scored), len(scored))
        success_rate = EpisodeMean(mean=sum(scored) / len(scored), interval=(low, high))
    if distances:
        interval = episode_interval(distances, [1] * len(distances))
        distance = EpisodeMean(
            mean=sum(distances) / len(distances),
            interval=None if interval is None else (interval[0], interval[1]),
        )
    return RolloutSummary(episodes=episodes, success_rate=success_rate, distance_walked=distance)


def _episode_summary(recording: Recording) -> EpisodeSummary:
    if recording.meta is None:
        raise ConfigError(
            f"{recording.stem}: cannot be summarized without {recording.meta_path.name}"
        )
    states = recording.telemetry()
    last = states[-1]
    return EpisodeSummary(
        player=recording.meta.player,
        seed=recording.meta.seed,
        steps=recording.meta.steps,
        ended=recording.meta.ended,
        success=success(recording),
        distance_walked=round(last.distance_walked, 2) if last.is_observed("xpos") else None,
        facts=last.facts,
        recording=str(recording.video_path),
        milestones=milestones(get_task(recording.meta.task), states, recording.meta.ended),
    )


def success(recording: Recording) -> bool | None:
    """Success of a recording by its telemetry; None if the telemetry does not show it."""
    if recording.meta is None:
        return None
    task, states = get_task(recording.meta.task), recording.telemetry()
    return outcome(task, states, recording.meta.ended).success if can_score(task, states) else None


def _name(seed: int) -> str:
    return f"seed_{seed}"


def _is_recorded(plan: RolloutPlan, seed: int) -> bool:
    return (plan.out / f"{_name(seed)}.json").is_file()


def _crash_name(folder: Path, seed: int) -> str:
    taken = len(list(folder.glob(f"{_name(seed)}_*.json")))
    return f"{_name(seed)}_{taken + 1}"


class _Failures:
    """Collects the failures of episodes while other seeds are played."""

    def __init__(self, seeds: int, report: OnFailure | None) -> None:
        self._seeds = seeds
        self._report = report
        self._errors: dict[int, WorldError] = {}

    @contextmanager
    def of(self, seed: int) -> Iterator[None]:
        """Collect a failure of this seed's episode; raise if there are too many."""
        try:
            yield
        except ActionError as err:
            if self._report is None:
                raise
            self._report(seed, err)
        except WorldError as err:
            self._errors[seed] = err
            if len(self._errors) >= FAILED_SEEDS:
                self._raise_any()
            if self._seeds > 1:
                note(f"seed {seed}: skipped; playing the remaining seeds")
        else:
            self._flush()

    def finish(self, any_recorded: bool) -> None:
        """Report the collected failures if some episode could be played, otherwise raise them."""
        if any_recorded:
            self._flush()
        self._raise_any()

    def _flush(self) -> None:
        """The world works, so what failed before was the fault of those seeds."""
        if self._report is not None:
            for seed, err in self._errors.items():
                self._report(seed, err)
            self._errors.clear()

    def _raise_any(self) -> None:
        errors = list(self._errors.values())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise WorldError(f"{len(errors)} seeds failed; first: {errors[0]}")


class _Player:
    """An agent and its world, which play one episode after another."""

    def __init__(
        self, agent: Agent, plan: RolloutPlan, make_labeller: MakeLabeller | None = None
    ) -> None:
        self._agent = agent
        self._labels_itself = (
            make_labeller is None and agent.kind in PRIVILEGED_KINDS and isinstance(agent, Labeller)
        )
        self._labeller: Labeller | None = None
        if make_labeller is not None:
            self._labeller = make_labeller()
        elif isinstance(agent, Labeller) and self._labels_itself:
            self._labeller = agent
        # Read once, so that the label of the recordings is the one that decided what the agent sees.
        self._kind = agent.kind
        self._privileged = privileged(agent)
        self._plan = plan
        self._task: Task = get_task(plan.task)
        self._env: gymnasium.Env | None = None
        self._film_env: gymnasium.Env | None = None
        self._version = ""

    def play(self, seed: int, *, progress: bool, title: str = "") -> Path:
        """Record one episode and return the path of its recording without suffix."""
        for attempt in range(1, self._plan.attempts + 1):
            try:
                return self._episode(seed, progress, title)
            except WorldError as err:
                self.close()
                if attempt == self._plan.attempts:
                    raise WorldError(
                        f"seed {seed}: the world failed {attempt} times; last: {err}"
                    ) from err
                note(f"seed {seed}: {err}; playing it again")
        raise AssertionError("unreachable")

    def _episode(self, seed: int, progress: bool, title: str) -> Path:
        plan = self._plan
        env = self._world()
        options = None if plan.edit is None else {"edit": plan.edit}
        observation, info = env.reset(seed=seed, options=options)
        height, width, _ = observation["pov"].shape
        version = env.get_wrapper_attr("version")
        if version != self._version:
            plan.check_version(version)
            self._version = version
        title = f"{self._agent.name} {title}"
        with (
            self._writer(seed, FrameSize(width, height)) as writer,
            progress_bar(total=plan.step_limit, title=title, unit="step", shown=progress) as bar,
        ):
            played = self._play_steps(env, observation, info, writer, bar.update)
            if plan.film_size is None:
                stem = writer.finish(played.ended).stem
        if plan.film_size is not None:  # only the film is kept
            stem = self._film(played, plan.film_size)
        if played.left is not None:
            raise played.left
        return stem

    def _play_steps(
        self,
        env: gymnasium.Env,
        observation: Mapping[str, Any],
        info: dict[str, Any],
        writer: RecordingWriter,
        on_step: Callable[[], object],
    ) -> "_Played":
        """Play from a reset's observation and info to the end, or until the player leaves, and write each step."""
        plan = self._plan
        played = _Played(info["seed"], states=[info["telemetry"]])
        writer.begin(observation["pov"], info["telemetry"])
        while True:
            first = not played.choices
            try:
                action, label = self._choose(observation["pov"], cast(Info, info), first)
            except PlayerLeft as err:
                if first:
                    raise
                played.left = err
                return played
            try:
                observation, _, terminated, truncated, info = env.step(action)
            except WorldError:
                # The frames until then are kept aside, for finding the reason.
                crashed = plan.out / CRASHED
                writer.finish("crash", crashed, _crash_name(crashed, played.seed))
                raise
            state = info["telemetry"]
            writer.step(action, info["applied"]["camera"], observation["pov"], state, label)
            played.add(action, label, state)
            on_step()
            if terminated or truncated:
                played.ended = info["ended"]
                return played
            if state.step >= plan.step_limit:
                return played

    def _writer(self, seed: int, size: FrameSize) -> RecordingWriter:
        return RecordingWriter(
            self._plan.out,
            _name(seed),
            task=self._task.name,
            world=self._plan.world,
            world_version=self._version,
            seed=seed,
            player=self._agent.name,
            player_kind=self._kind,
            step_limit=self._plan.step_limit,
            edit=self._plan.edit,
            size=size,
            labels=None if self._labeller is None else self._labeller.name,
            crf=self._plan.crf,
        )

    def _film(self, played: "_Played", size: tuple[int, int]) -> Path:
        """Play an episode's actions again at another size and record it.

        Raises:
            WorldError: The telemetry differs from that of the first play.
        """
        plan = self._plan
        env = self._film_env
        assert env is not None
        options = None if plan.edit is None else {"edit": plan.edit}
        observation, info = env.reset(seed=played.seed, options=options)
        width, height = size
        with self._writer(played.seed, FrameSize(width, height)) as writer:
            writer.begin(observation["pov"], info["telemetry"])
            played.check(0, info["telemetry"])
            for t, (action, label) in enumerate(played.choices, start=1):
                observation, _, terminated, truncated, info = env.step(action)
                writer.step(
                    action, info["applied"]["camera"], observation["pov"], info["telemetry"], label
                )
                played.check(t, info["telemetry"])
                if (terminated or truncated) and t < len(played.choices):
                    raise WorldError(
                        f"seed {played.seed}: expected the film to have {len(played.choices)} steps, "
                        f"it ended after {t}"
                    )
            return writer.finish(played.ended).stem

    def _choose(
        self, pov: np.ndarray, info: Info, first: bool
    ) -> tuple[dict[str, Any], Label | None]:
        if self._privileged is not None:
            self._privileged.observe([info])
        label = None
        if self._labeller is not None:
            if not self._labels_itself:
                self._labeller.observe([info])
            (label,) = self._labeller.labels(pov[None])
            if label.expert is not None:
                label = replace(label, expert=validate_action(label.expert))
        (action,) = self._agent.act(pov[None], np.array([first]))
        return validate_action(action), label

    def _world(self) -> gymnasium.Env:
        if self._env is None:
            self._env = self._make_env()
            if (
                self._plan.film_size is not None
            ):  # now, so that a wrong size is an error before an episode was played
                self._film_env = self._make_env(size=self._plan.film_size)
        return self._env

    def _make_env(self, **settings: Any) -> gymnasium.Env:
        return gymnasium.make(
            self._task.gym_id,
            world=self._plan.world,
            disable_env_checker=True,
            **{**self._plan.world_args, **settings},
        )

    def close(self) -> None:
        """End the world, if one was started."""
        for env in (self._env, self._film_env):
            if env is not None:
                env.close()
        self._env = self._film_env = None


@dataclass
class _Played:
    """A played episode, with all that its film needs.

    Attributes:
        seed: Seed of the episode.
        states: State after reset and after each step.
        choices: Action and label of each step.
        ended: How it ended.
        left: What the player raised when it left; None if it stayed.
    """

    seed: int
    states: list[Telemetry]
    choices: list[tuple[dict[str, Any], Label | None]] = field(default_factory=list)
    ended: Ended = "cut"
    left: PlayerLeft | None = None

    def add(self, action: dict[str, Any], label: Label | None, state: Telemetry) -> None:
        self.choices.append((action, label))
        self.states.append(state)

    def check(self, step: int, state: Telemetry) -> None:
        """Raise a WorldError if the film's state differs from the episode's, except for breath.

        The Luanti engine counts breath from some moment of its start, so it may differ between any two runs.
        """
        expected = self.states[step].model_copy(update={"breath": state.breath})
        if state != expected:
            names = [
                n for n in type(state).model_fields if getattr(state, n) != getattr(expected, n)
            ]
            raise WorldError(
                f"seed {self.seed}: expected the film to be the same episode, but after step {step} these differ: "
                f"{', '.join(names)}"
            )


_process_player: _Player | None = None
"""Player of a worker process, reused for all its episodes."""


def _start_worker(
    make_agent: MakeAgent, plan: RolloutPlan, make_labeller: MakeLabeller | None
) -> None:
    global _process_player
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _process_player = _Player(make_agent(), plan, make_labeller)


def _end_with_parent() -> None:
    """End this worker when its parent was killed; otherwise it would finish its episode first."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _play_in_worker(seed: int) -> None:
    assert _process_player is not None
    _process_player.play(seed, progress=False)
