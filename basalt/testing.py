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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import null_action, validate_action
from basalt.core.agent import PRIVILEGED_KINDS, Agent, privileged
from basalt.core.recording import Ended, PlayerKind
from basalt.core.telemetry import Telemetry
from basalt.core.video import FRAME_SIZE
from basalt.io.errors import ActionError, BasaltError
from basalt.worlds.base import action_space

CHECK_STEPS = 12
"""Number of steps of each checked stretch of play."""

MOST_FRAME_DIFFERENCE = 1.0
"""Largest mean absolute difference of 255 between frames of equal episodes; renderers round differently."""

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


# ---- agents ----


def check_agent(agent: Agent | Callable[[], Agent]) -> None:
    """Check that an agent keeps the contract of `basalt.core.agent.Agent`.

    Checked are its name and declared kind; the actions it returns for one and for two episodes; that it leaves
    the frames as they are. Given a factory, also that it can be pickled (`jobs=N` needs that), that two
    agents made by it act alike, that what an episode does not depend on is the other episodes of a batch
    and whatever came before its `first`. An agent of a privileged kind that refuses made-up telemetry is not
    played.

    Args:
        agent: The agent's class or another factory without arguments; or an agent, for fewer checks.

    Raises:
        ContractError: The agent breaks the contract; every finding is one sentence.
    """
    is_factory = isinstance(agent, type) or not hasattr(agent, "act")
    findings: list[str] = []
    name = getattr(agent, "name", None) or getattr(agent, "__name__", type(agent).__name__)
    with suppress(_StopCheckingError):
        if is_factory:
            _check_factory(agent, findings)  # type: ignore[arg-type]
        else:
            _check_identity(agent, findings)
            _AgentPlay(lambda: agent, findings).check_actions()  # type: ignore[arg-type,return-value]
    if findings:
        raise ContractError(f"agent {name}", findings)


def _check_factory(make: Callable[[], Agent], findings: list[str]) -> None:
    try:
        pickle.loads(pickle.dumps(make))
    except Exception as err:
        findings.append(f"the factory cannot be pickled, which jobs=N needs: {err}")
    try:
        agent = make()
    except Exception as err:
        raise _stop(findings, f"the factory raised {_named(err)}") from err
    _check_identity(agent, findings)
    play = _AgentPlay(make, findings)
    play.check_actions()
    play.check_memory()


def _check_identity(agent: Any, findings: list[str]) -> None:
    name, kind, kinds = (
        getattr(agent, "name", None),
        getattr(agent, "kind", None),
        get_args(PlayerKind),
    )
    if not isinstance(name, str) or not name.strip() or "\n" in name:
        findings.append(f"name: expected one line of text, got {name!r}")
    if kind not in kinds:
        findings.append(f"kind: expected one of {', '.join(kinds)}, got {kind!r}")
    elif hasattr(agent, "observe") and kind not in PRIVILEGED_KINDS:
        findings.append(
            f"observe is never called, since an agent of kind {kind!r} does not see telemetry; rename the "
            f"method, or declare one of the kinds {', '.join(PRIVILEGED_KINDS)}"
        )
    if not callable(getattr(agent, "act", None)):
        raise _stop(findings, "act: expected a method act(pov, first), found none")


class _AgentPlay:
    """Plays agents on noise."""

    def __init__(self, make: Callable[[], Agent], findings: list[str]) -> None:
        self._make = make
        self._findings = findings
        rng = np.random.default_rng(0)
        # Coarse noise: distinct frames that survive being made smaller.
        coarse = rng.integers(
            0, 256, (3, CHECK_STEPS, *(edge // 40 for edge in _FRAME_SHAPE[:2]), 3)
        )
        self._noise = coarse.astype(np.uint8).repeat(40, 2).repeat(40, 3)

    def check_actions(self) -> None:
        """Whether what `act` returns is one valid action per episode."""
        for rows in (1, 2):
            agent = self._make()
            for t in range(3):
                frames = self._noise[:rows, t].copy()
                self._act(agent, frames, np.full(rows, t == 0), t)
                if not np.array_equal(frames, self._noise[:rows, t]):
                    raise _stop(self._findings, "act changed the frames in place; work on a copy")

    def check_memory(self) -> None:
        """Whether agents act alike, on their own row, and forget at `first`."""
        begin = CHECK_STEPS // 2
        a, b, other = self._noise
        mixed = np.concatenate([other[:begin], b[begin:]])
        plain, again = self._play(a, b), self._play(a, b)
        if plain != again:
            self._findings.append(
                "two agents made by the factory act differently on the same frames; give it a fixed seed"
            )
            return
        past, forgot = self._play(a, b, begin), self._play(a, mixed, begin)
        if [row[0] for row in past] != [row[0] for row in forgot]:
            self._findings.append("the action of an episode depends on the frames of another one")
        if [row[1] for row in past[begin:]] != [row[1] for row in forgot[begin:]]:
            self._findings.append(
                "the action depends on frames from before first=True; forget them there"
            )
        elif self._is_deterministic() and self._counts_across_episodes(a):
            self._findings.append(
                "the same episode played twice by one agent gives other actions, though it does not draw "
                "at random; forget everything at first=True"
            )

    def _play(self, left: Frames, right: Frames, begin: int = 0) -> list[list[str]]:
        """Actions [steps][2] of a new agent; the second episode begins again at step `begin`."""
        agent = self._make()
        return [
            self._act(agent, np.stack([left[t], right[t]]), np.array([t == 0, t in (0, begin)]), t)
            for t in range(CHECK_STEPS)
        ]

    def _is_deterministic(self) -> bool:
        """Whether an episode's first action is always the same."""
        agent = self._make()
        firsts = {
            self._act(agent, self._noise[:1, 0].copy(), np.array([True]), 0)[0] for _ in range(8)
        }
        return len(firsts) == 1

    def _counts_across_episodes(self, frames: Frames) -> bool:
        agent = self._make()
        twice = [
            [
                self._act(agent, frames[t : t + 1].copy(), np.array([t == 0]), t)
                for t in range(CHECK_STEPS)
            ]
            for _ in range(2)
        ]
        return twice[0] != twice[1]

    def _act(self, agent: Agent, frames: Frames, first: NDArray[np.bool_], step: int) -> list[str]:
        """The actions as text, which can be compared."""
        rows = len(frames)
        try:
            if (seeing := privileged(agent)) is not None:
                seeing.observe([{"telemetry": _state(step)}] * rows)
            actions = list(agent.act(frames, first))
        except BasaltError as err:
            if agent.kind in PRIVILEGED_KINDS:
                raise _StopCheckingError from err  # it needs a real world
            raise _stop(self._findings, f"act raised {_named(err)} for {rows} episodes") from err
        except Exception as err:
            raise _stop(self._findings, f"act raised {_named(err)} for {rows} episodes") from err
        if len(actions) != rows:
            raise _stop(
                self._findings,
                f"act: expected {rows} actions for {rows} episodes, got {len(actions)}",
            )
        try:
            checked = [validate_action(action) for action in actions]
        except ActionError as err:
            raise _stop(self._findings, f"act returned an impossible action: {err}") from err
        return [
            str({key: np.asarray(value).tolist() for key, value in one.items()}) for one in checked
        ]


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
    findings: list[str] = []
    with suppress(_StopCheckingError):
        _WorldPlay(env, seed, findings).check()
    if findings:
        raise ContractError(f"world {type(env.unwrapped).__name__}", list(dict.fromkeys(findings)))


class _WorldPlay:
    """Plays the same episode twice, and looks at all that comes back."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int, findings: list[str]) -> None:
        self._env = env
        self._seed = seed
        self._findings = findings

    def check(self) -> None:
        """All checks in turn."""
        self._check_version_and_spaces()
        before = self._version()
        first, second = self._episode(), self._episode()
        self._compare(first, second)
        if self._version() != before:
            self._findings.append("version: expected the same before and after an episode")

    def _version(self) -> Any:
        try:
            return self._env.get_wrapper_attr("version")
        except AttributeError:
            return None

    def _check_version_and_spaces(self) -> None:
        found = self._findings
        if not isinstance(version := self._version(), str) or not version:
            found.append(
                "version: expected a text that changes whenever the same seed may give another episode, "
                f"got {version!r}"
            )
        actions = getattr(self._env, "action_space", None)
        if actions != action_space():
            found.append("action_space: expected basalt.worlds.base.action_space()")
        seen = getattr(self._env, "observation_space", None)
        frame = seen.get("pov") if isinstance(seen, gymnasium.spaces.Dict) else None
        if frame is None or set(seen) != {"pov"} or frame.dtype != np.uint8:  # type: ignore[arg-type]
            found.append(
                "observation_space: expected basalt.worlds.base.observation_space(size), pixels only"
            )
        elif frame.shape != _FRAME_SHAPE:
            found.append(
                f"observation_space: expected frames {list(_FRAME_SHAPE)}, the size of recordings, got "
                f"{list(frame.shape or ())}"
            )

    def _episode(self) -> list[tuple[Frames, Telemetry]]:
        """A short episode that ends by ESC: what was seen after reset and after each step."""
        rng = np.random.default_rng(0)
        observation, info = self._call("reset", seed=self._seed)
        seen = [self._look("reset", 0, observation, info)]
        for step in range(1, CHECK_STEPS + 1):
            frame_before = seen[-1][0]
            kept = frame_before.copy()
            action = {
                "forward": int(rng.integers(2)),
                "jump": int(rng.integers(2)),
                "camera": rng.uniform(-8, 8, 2).round(2),
            }
            if step == 2:
                self._refuses({"camera": [0.0, 400.0]})
            if step == CHECK_STEPS:
                action = {"ESC": 1}
            observation, reward, terminated, truncated, info = self._call(
                "step", null_action() | action
            )
            seen.append(self._look("step", step, observation, info))
            if not np.array_equal(frame_before, kept):
                self._findings.append(
                    "step changed the frame that it returned before; return a new array"
                )
            self._check_step(step, reward, terminated, truncated, info)
        self._ends()
        return seen

    def _call(self, method: str, *args: Any, **settings: Any) -> Any:
        try:
            return getattr(self._env, method)(*args, **settings)
        except Exception as err:
            raise _stop(self._findings, f"{method} raised {_named(err)}") from err

    def _look(
        self, method: str, step: int, observation: Any, info: Any
    ) -> tuple[Frames, Telemetry]:
        if not isinstance(observation, Mapping) or set(observation) != {"pov"}:
            got = (
                sorted(observation)
                if isinstance(observation, Mapping)
                else type(observation).__name__
            )
            raise _stop(
                self._findings, f"{method}: expected an observation {{'pov': frame}}, got {got}"
            )
        frame = observation["pov"]
        if not isinstance(frame, np.ndarray) or (frame.dtype, frame.shape) != (
            np.uint8,
            _FRAME_SHAPE,
        ):
            kind = (
                f"{frame.dtype} {list(frame.shape)}"
                if isinstance(frame, np.ndarray)
                else type(frame)
            )
            raise _stop(
                self._findings, f"{method}: expected pov uint8 {list(_FRAME_SHAPE)}, got {kind}"
            )
        state = info.get("telemetry") if isinstance(info, Mapping) else None
        if not isinstance(state, Telemetry):
            raise _stop(
                self._findings,
                f"{method}: expected info['telemetry'] to be a Telemetry, got {type(state).__name__}",
            )
        if state.step != step:
            self._findings.append(
                f"{method}: expected telemetry of step {step}, got that of step {state.step}"
            )
        return frame, state

    def _check_step(
        self, step: int, reward: Any, terminated: Any, truncated: Any, info: Mapping[str, Any]
    ) -> None:
        found, last = self._findings, step == CHECK_STEPS
        if reward != 0:
            found.append(f"step: expected a reward of 0, as these tasks have none, got {reward!r}")
        camera = np.asarray((info.get("applied") or {}).get("camera", ()))
        if camera.shape != (2,) or not np.isfinite(camera.astype(float)).all():
            found.append(
                "step: expected info['applied']['camera'] to be [pitch, yaw] in degrees as the world "
                f"applied it, got {camera.tolist()}"
            )
        ended = info.get("ended")
        if not last:
            if terminated or truncated:
                raise _stop(found, f"step {step}: the episode ended by itself (ended: {ended!r})")
            if ended is not None:
                found.append(f"step: expected no info['ended'] before the last step, got {ended!r}")
        elif ended not in get_args(Ended):
            found.append(
                f"step: expected info['ended'] 'esc' after the step with ESC, got {ended!r}"
            )
        elif not terminated or truncated or ended != "esc":
            found.append(
                "step: expected ESC to terminate the episode with info['ended'] 'esc', got terminated "
                f"{terminated}, truncated {truncated}, ended {ended!r}"
            )

    def _refuses(self, action: Mapping[str, Any]) -> None:
        try:
            self._env.step(action)
        except ActionError:
            return
        except Exception as err:
            self._findings.append(
                f"step: expected an ActionError for a camera of 400 degrees, got {_named(err)}"
            )
            return
        raise _stop(
            self._findings,
            "step accepted a camera of 400 degrees; call basalt.core.actions.validate_action first",
        )

    def _ends(self) -> None:
        try:
            self._env.step(null_action())
        except Exception:
            return
        self._findings.append(
            "step: expected an error after the end of the episode, it was played on"
        )

    def _compare(
        self, first: Sequence[tuple[Frames, Telemetry]], second: Sequence[tuple[Frames, Telemetry]]
    ) -> None:
        for step, ((frame, state), (frame_2, state_2)) in enumerate(
            zip(first, second, strict=True)
        ):
            if state != state_2:
                one, two = state.model_dump(), state_2.model_dump()
                names = ", ".join(name for name in one if one[name] != two[name])
                self._findings.append(
                    f"the same seed and actions gave other telemetry after step {step} ({names})"
                )
                return
            difference = float(np.abs(frame.astype(np.int16) - frame_2).mean())
            if difference > MOST_FRAME_DIFFERENCE:
                self._findings.append(
                    f"the same seed and actions gave another frame after step {step} "
                    f"(mean difference {difference:.1f} of 255)"
                )
                return


def _named(err: BaseException) -> str:
    """Class and first line of an error."""
    return f"{type(err).__name__}: {str(err).strip().partition(chr(10))[0] or 'no message'}"


def _stop(findings: list[str], finding: str) -> _StopCheckingError:
    findings.append(finding)
    return _StopCheckingError()
