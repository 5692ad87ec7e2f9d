"""Checks for agents and worlds from other packages: does mine keep the contract?

Like Gymnasium's environment checker, for what this benchmark needs beyond it. Use them in your own tests:

    from basalt.testing import check_agent, check_world

    def test_my_agent():
        check_agent(MyAgent)  # the class, or a function without arguments that makes one

    def test_my_world():
        check_world(make_env("find_cave", world="mine"))

Each check raises one `ContractError` that lists every finding as a sentence.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import null_action, validate_action
from basalt.core.agent import PRIVILEGED_KINDS, Agent, privileged
from basalt.core.recording import PlayerKind
from basalt.core.telemetry import Telemetry
from basalt.core.video import FRAME_SIZE
from basalt.io.errors import ActionError, BasaltError
from basalt.worlds.base import action_space

CHECK_STEPS = 12
"""Number of steps of each checked stretch of play."""

MOST_FRAME_DIFFERENCE = 1.0
"""Largest allowed mean absolute difference between frames of equal episodes, on the scale of 0 to 255: renderers
round differently."""

_FRAME_SHAPE = FRAME_SIZE.shape

Frames = NDArray[np.uint8]


class ContractError(BasaltError):
    """An agent or world that does not keep its contract.

    Attributes:
        findings: One sentence for each fault.
    """

    def __init__(self, what: str, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join([f"{what}: {len(findings)} findings", *findings]))


class _StopCheckingError(Exception):
    """A finding after which nothing more can be checked."""


class _Findings(list[str]):
    """Sentences about what is wrong."""

    def expect(self, ok: object, finding: str) -> None:
        """Note a finding, unless `ok`."""
        if not ok:
            self.append(finding)

    def require(self, ok: object, finding: str) -> None:
        """Note a finding and check no more, unless `ok`."""
        self.expect(ok, finding)
        if not ok:
            raise _StopCheckingError

    @contextmanager
    def no_error(self, what: str, after: str = "") -> Iterator[None]:
        """Note an error of the body as a finding, and check no more."""
        try:
            yield
        except _StopCheckingError:
            raise
        except Exception as err:
            self.append(f"{what} {_named(err)}{after}")
            raise _StopCheckingError from err


# ---- agents ----


def check_agent(agent: Agent | Callable[[], Agent]) -> None:
    """Check that an agent keeps the contract of `basalt.core.agent.Agent`.

    Checked are its name and declared kind, the actions it returns for one and for two episodes, and that it
    leaves the frames as they are. Given a factory, also that it can be pickled (`jobs=N` needs that), that two
    agents made by it act alike, and that an episode's actions depend neither on other episodes of the batch nor
    on frames from before its `first`. An agent of a privileged kind that refuses made-up telemetry is not
    played.

    Args:
        agent: The agent's class or another factory without arguments; or an agent, for fewer checks.

    Raises:
        ContractError: The agent breaks the contract; every finding is one sentence.
    """
    found = _Findings()
    make: Any = agent
    one: Any = agent
    is_factory = isinstance(agent, type) or not hasattr(agent, "act")
    name = getattr(agent, "name", None) or getattr(agent, "__name__", type(agent).__name__)
    with suppress(_StopCheckingError):
        if is_factory:
            try:
                pickle.loads(pickle.dumps(agent))
            except Exception as err:
                found.append(f"the factory cannot be pickled, which jobs=N needs: {_named(err)}")
            with found.no_error("the factory raised"):
                one = make()
        _check_identity(one, found)
        play = _AgentPlay(make if is_factory else lambda: one, found)
        play.check_actions()
        if is_factory:
            play.check_memory()
    if found:
        raise ContractError(f"agent {name}", found)


def _check_identity(agent: Any, found: _Findings) -> None:
    name, kind = getattr(agent, "name", None), getattr(agent, "kind", None)
    kinds = get_args(PlayerKind)
    one_line = isinstance(name, str) and name.strip() and "\n" not in name
    found.expect(one_line, f"name: expected one line of text, got {name!r}")
    found.expect(kind in kinds, f"kind: expected one of {', '.join(kinds)}, got {kind!r}")
    found.expect(
        not hasattr(agent, "observe") or kind in PRIVILEGED_KINDS,
        f"observe is never called, since an agent of kind {kind!r} does not see telemetry; rename the "
        f"method, or declare one of the kinds {', '.join(PRIVILEGED_KINDS)}",
    )
    has_act = callable(getattr(agent, "act", None))
    found.require(has_act, "act: expected a method act(pov, first), found none")


class _AgentPlay:
    """Plays agents on noise."""

    def __init__(self, make: Callable[[], Agent], found: _Findings) -> None:
        self._make = make
        self._found = found
        # Coarse noise: distinct frames that survive being made smaller.
        shape = (3, CHECK_STEPS, _FRAME_SHAPE[0] // 40, _FRAME_SHAPE[1] // 40, 3)
        coarse = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        self._noise = coarse.repeat(40, 2).repeat(40, 3)

    def check_actions(self) -> None:
        """Check that `act` returns one valid action per episode."""
        for rows in (1, 2):
            agent = self._make()
            for t in range(3):
                frames = self._noise[:rows, t].copy()
                self._act(agent, frames, [t == 0] * rows, t)
                kept = np.array_equal(frames, self._noise[:rows, t])
                self._found.require(kept, "act changed the frames in place; work on a copy")

    def check_memory(self) -> None:
        """Check that agents act alike, on their own row, and forget at `first`."""
        begin = CHECK_STEPS // 2
        a, b, other = self._noise
        mixed = np.concatenate([other[:begin], b[begin:]])
        self._found.require(
            self._play(a, b) == self._play(a, b),
            "two agents made by the factory act differently on the same frames; give it a fixed seed",
        )
        past, forgot = self._play(a, b, begin), self._play(a, mixed, begin)
        self._found.expect(
            [row[0] for row in past] == [row[0] for row in forgot],
            "the action of an episode depends on the frames of another one",
        )
        self._found.require(
            [row[1] for row in past[begin:]] == [row[1] for row in forgot[begin:]],
            "the action depends on frames from before first=True; forget them there",
        )
        self._found.expect(
            self._draws() or not self._counts_across_episodes(a),
            "the same episode played twice by one agent gives other actions, though it does not draw at "
            "random; forget everything at first=True",
        )

    def _play(self, left: Frames, right: Frames, begin: int = 0) -> list[list[str]]:
        """Actions [steps][2] of a new agent; the second episode begins again at step `begin`."""
        agent = self._make()
        return [
            self._act(agent, np.stack([left[t], right[t]]), [t == 0, t in (0, begin)], t)
            for t in range(CHECK_STEPS)
        ]

    def _draws(self) -> bool:
        """Whether an episode's first action is not always the same."""
        agent, frame = self._make(), self._noise[:1, 0]
        return len({self._act(agent, frame.copy(), [True], 0)[0] for _ in range(8)}) > 1

    def _counts_across_episodes(self, frames: Frames) -> bool:
        agent, steps = self._make(), [*range(CHECK_STEPS)] * 2
        acted = [self._act(agent, frames[t : t + 1].copy(), [t == 0], t) for t in steps]
        return acted[:CHECK_STEPS] != acted[CHECK_STEPS:]

    def _act(self, agent: Agent, frames: Frames, first: list[bool], step: int) -> list[str]:
        """The actions as text, which can be compared."""
        rows = len(frames)
        with self._found.no_error("act raised", f" for {rows} episodes"):
            try:
                if (seeing := privileged(agent)) is not None:
                    seeing.observe([{"telemetry": _state(step)}] * rows)
                actions = list(agent.act(frames, np.array(first)))
            except BasaltError as err:
                if agent.kind in PRIVILEGED_KINDS:  # it needs a real world
                    raise _StopCheckingError from err
                raise
        self._found.require(
            len(actions) == rows,
            f"act: expected {rows} actions for {rows} episodes, got {len(actions)}",
        )
        with self._found.no_error("act returned an impossible action:"):
            checked = [validate_action(action) for action in actions]
        return [str({key: np.asarray(v).tolist() for key, v in one.items()}) for one in checked]


def _state(step: int) -> Telemetry:
    return Telemetry(
        step=step, xpos=0, ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10, hotbar=0, held="",
        inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=15, daylight=15,
        under_roof=False, distance_walked=0, dead=False,
    )  # fmt: skip


# ---- worlds ----


def check_world(env: gymnasium.Env[Any, Any], *, seed: int = 100_000) -> None:
    """Check that an environment keeps the contract of `basalt.core.world.World`.

    Checked are its version and spaces; that frames, telemetry and `info` are complete after reset and each
    step; that impossible actions are refused, ESC ends the episode and nothing can be played after that; and
    that the same seed and actions give the same episode again. The environment is left open.

    Args:
        env: The environment of a task in the world, e.g. from `basalt.worlds.make_env`.
        seed: Seed of the episodes to play.

    Raises:
        ContractError: The world breaks the contract; every finding is one sentence.
    """
    found = _Findings()
    with suppress(_StopCheckingError):
        _WorldPlay(env, seed, found).check()
    if found:
        raise ContractError(f"world {type(env.unwrapped).__name__}", list(dict.fromkeys(found)))


class _WorldPlay:
    """Plays the same episode twice and checks everything that is returned."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int, found: _Findings) -> None:
        self._env: Any = env
        self._seed = seed
        self._found = found

    def check(self) -> None:
        """Make all checks in turn."""
        self._check_version_and_spaces()
        before = self._version()
        self._compare(self._episode(), self._episode())
        same = self._version() == before
        self._found.expect(same, "version: expected the same before and after an episode")

    def _version(self) -> Any:
        try:
            return self._env.get_wrapper_attr("version")
        except AttributeError:
            return None

    def _check_version_and_spaces(self) -> None:
        version, expect = self._version(), self._found.expect
        expect(
            isinstance(version, str) and version,
            "version: expected a text that changes whenever the same seed may give another episode, "
            f"got {version!r}",
        )
        expect(
            getattr(self._env, "action_space", None) == action_space(),
            "action_space: expected basalt.worlds.base.action_space()",
        )
        seen = getattr(self._env, "observation_space", None)
        spaces = dict(seen) if isinstance(seen, gymnasium.spaces.Dict) else {}
        shape = spaces["pov"].shape if spaces.keys() == {"pov"} else None
        expect(
            shape is not None and spaces["pov"].dtype == np.uint8,
            "observation_space: expected basalt.worlds.base.observation_space(size), pixels only",
        )
        expect(
            shape in (None, _FRAME_SHAPE),
            f"observation_space: expected frames {list(_FRAME_SHAPE)}, the size of recordings, got "
            f"{list(shape or ())}",
        )

    def _episode(self) -> list[tuple[Frames, Telemetry]]:
        """A short episode that ends by ESC: frame and state after reset and after each step."""
        rng = np.random.default_rng(0)
        with self._found.no_error("reset raised"):
            observation, info = self._env.reset(seed=self._seed)
        seen = [self._look("reset", 0, observation, info)]
        for step in range(1, CHECK_STEPS + 1):
            frame_before = seen[-1][0]
            kept = frame_before.copy()
            forward, jump = rng.integers(2, size=2).tolist()
            action = {"forward": forward, "jump": jump, "camera": rng.uniform(-8, 8, 2).round(2)}
            if step == 2:
                self._refuses({"camera": [0.0, 400.0]})
            if step == CHECK_STEPS:
                action = {"ESC": 1}
            with self._found.no_error("step raised"):
                observation, *result = self._env.step(null_action() | action)
            seen.append(self._look("step", step, observation, result[-1]))
            self._found.expect(
                np.array_equal(frame_before, kept),
                "step changed the frame that it returned before; return a new array",
            )
            self._check_step(step, *result)
        self._ends()
        return seen

    def _look(
        self, method: str, step: int, observation: Any, info: Any
    ) -> tuple[Frames, Telemetry]:
        require, kind = self._found.require, type(observation).__name__
        keys = sorted(observation) if isinstance(observation, Mapping) else kind
        require(keys == ["pov"], f"{method}: expected an observation {{'pov': frame}}, got {keys}")
        frame = observation["pov"]
        got = f"{getattr(frame, 'dtype', type(frame))} {list(np.shape(frame))}"
        wanted = f"uint8 {list(_FRAME_SHAPE)}"
        require(got == wanted, f"{method}: expected pov {wanted}, got {got}")
        state: Any = info.get("telemetry") if isinstance(info, Mapping) else None
        require(
            isinstance(state, Telemetry),
            f"{method}: expected info['telemetry'] to be a Telemetry, got {type(state).__name__}",
        )
        self._found.expect(
            state.step == step,
            f"{method}: expected telemetry of step {step}, got that of step {state.step}",
        )
        return frame, state

    def _check_step(
        self, step: int, reward: Any, terminated: Any, truncated: Any, info: Mapping[str, Any]
    ) -> None:
        expect, ended = self._found.expect, info.get("ended")
        expect(
            reward == 0, f"step: expected a reward of 0, as these tasks have none, got {reward!r}"
        )
        camera = np.asarray((info.get("applied") or {}).get("camera", ()))
        expect(
            camera.shape == (2,) and np.isfinite(camera.astype(float)).all(),
            "step: expected info['applied']['camera'] to be [pitch, yaw] in degrees as the world "
            f"applied it, got {camera.tolist()}",
        )
        if step < CHECK_STEPS:
            goes = not terminated and not truncated
            message = f"step {step}: the episode ended by itself (ended: {ended!r})"
            self._found.require(goes, message)
            message = f"step: expected no info['ended'] before the last step, got {ended!r}"
            expect(ended is None, message)
        else:
            expect(
                terminated and not truncated and ended == "esc",
                "step: expected ESC to terminate the episode with info['ended'] 'esc', got "
                f"terminated {terminated}, truncated {truncated}, ended {ended!r}",
            )

    def _refuses(self, action: Mapping[str, Any]) -> None:
        error: BaseException | None = None
        try:
            self._env.step(action)
        except Exception as err:
            error = err
        self._found.require(
            error is not None,
            "step accepted a camera of 400 degrees; call basalt.core.actions.validate_action first",
        )
        self._found.expect(
            isinstance(error, ActionError),
            f"step: expected an ActionError for a camera of 400 degrees, got {_named(error)}",
        )

    def _ends(self) -> None:
        with suppress(Exception):
            self._env.step(null_action())
            self._found.append(
                "step: expected an error after the end of the episode, it was played on"
            )

    def _compare(
        self, first: Sequence[tuple[Frames, Telemetry]], second: Sequence[tuple[Frames, Telemetry]]
    ) -> None:
        for step, ((frame, one), (again, other)) in enumerate(zip(first, second, strict=True)):
            names = [name for name, value in one if value != getattr(other, name)]
            self._found.require(
                not names,
                f"the same seed and actions gave other telemetry after step {step} "
                f"({', '.join(names)})",
            )
            difference = float(np.abs(frame.astype(np.int16) - again).mean())
            self._found.require(
                difference <= MOST_FRAME_DIFFERENCE,
                f"the same seed and actions gave another frame after step {step} "
                f"(mean difference {difference:.1f} of 255)",
            )


def _named(err: BaseException | None) -> str:
    """Class and first line of an error."""
    return f"{type(err).__name__}: {str(err).strip().partition(chr(10))[0] or 'no message'}"
