"""An agent and its world: episodes are played, recorded and, where wanted, filmed at another size."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np

import basalt.worlds  # noqa: F401 (registers the environments)
from basalt.core.actions import FrameSize, null_action, validate_action
from basalt.core.agent import PRIVILEGED_KINDS, Agent, Labeller, PlayerLeft, privileged
from basalt.core.recorder_lines import Label
from basalt.core.recording import CRASHED, Ended, RecordingWriter
from basalt.core.tasks import Task, get_task
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.console import note, progress_bar
from basalt.io.errors import AgentError, WorldError
from basalt.rollouts.plan import RolloutPlan, recording_name

MakeLabeller = Callable[[], Labeller]

AGENT_ATTEMPTS = 2
"""How often an episode is played if its agent is lost (an AgentError), each time from its start."""


@dataclass
class Played:
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
        """Add a step and the state it led to."""
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


class EpisodePlayer:
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
        attempts = {WorldError: self._plan.attempts, AgentError: AGENT_ATTEMPTS}
        failures: Counter[type] = Counter()
        while True:
            try:
                return self._episode(seed, progress, title)
            except (WorldError, AgentError) as err:
                kind, what = (
                    (WorldError, "world") if isinstance(err, WorldError) else (AgentError, "agent")
                )
                if kind is WorldError:
                    self.close()
                failures[kind] += 1
                if failures[kind] == attempts[kind]:
                    raise kind(
                        f"seed {seed}: the {what} failed {failures[kind]} times; last: {err}"
                    ) from err
                note(f"seed {seed}: {err}; playing it again")

    def _episode(self, seed: int, progress: bool, title: str) -> Path:
        plan = self._plan
        env = self._world()
        observation, info = env.reset(seed=seed, options=self._options(seed))
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
    ) -> Played:
        """Play from a reset's observation and info to the end, or until the player leaves, and write each step."""
        plan = self._plan
        played = Played(info["seed"], states=[info["telemetry"]])
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
            except AgentError:
                self._keep_crashed(writer, played.seed)
                raise
            if plan.is_interrupted(played.seed, len(played.choices)):
                action = null_action()
            try:
                observation, _, terminated, truncated, info = env.step(action)
            except WorldError:
                self._keep_crashed(writer, played.seed)
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

    def _keep_crashed(self, writer: RecordingWriter, seed: int) -> None:
        """Keep the frames until a failure aside, for finding the reason."""
        crashed = self._plan.out / CRASHED
        writer.finish("crash", crashed, _crash_name(crashed, seed))

    def _writer(self, seed: int, size: FrameSize) -> RecordingWriter:
        return RecordingWriter(
            self._plan.out,
            recording_name(seed),
            task=self._task.name,
            world=self._plan.world,
            world_version=self._version,
            seed=seed,
            player=self._agent.name,
            player_kind=self._kind,
            step_limit=self._plan.step_limit,
            edit=self._plan.edit_of(seed),
            size=size,
            labels=None if self._labeller is None else self._labeller.name,
            crf=self._plan.crf,
        )

    def _film(self, played: Played, size: tuple[int, int]) -> Path:
        """Play an episode's actions again at another size and record it.

        Raises:
            WorldError: The telemetry differs from that of the first play.
        """
        env = self._film_env
        assert env is not None
        observation, info = env.reset(seed=played.seed, options=self._options(played.seed))
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

    def _options(self, seed: int) -> dict[str, Any] | None:
        edit = self._plan.edit_of(seed)
        return None if edit is None else {"edit": edit}

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


def _crash_name(folder: Path, seed: int) -> str:
    taken = len(list(folder.glob(f"{recording_name(seed)}_*.json")))
    return f"{recording_name(seed)}_{taken + 1}"
