"""The checks that authors of agents and worlds use: what keeps the contract passes, each fault is one sentence."""

import gymnasium
import numpy as np
import pytest

from agents.random.agent import RandomAgent
from basalt.core.actions import null_action
from basalt.core.agent import PRIVILEGED_KINDS
from basalt.testing import ContractError, check_agent, check_world
from basalt.worlds import make_env
from basalt.worlds.base import observation_space
from tests.support.toy_world import CountingWorld


class Good:
    """Turns by the mean of the frames of its row since the row's episode began."""

    name = "good"
    kind = "agent"

    def __init__(self):
        self.seen = {}

    def act(self, pov, first):
        for row in range(len(pov)):
            past = [] if first[row] else self.seen[row]
            self.seen[row] = [*past, float(pov[row].mean())]
        return [{"camera": [0.0, sum(self.seen[row]) % 90]} for row in range(len(pov))]


class Drawing(Good):
    """Draws at random, with a seed of its own."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(3)

    def act(self, pov, first):
        return [one | {"jump": int(self.rng.integers(2))} for one in super().act(pov, first)]


class Guide(Good):
    """A scripted player that follows telemetry."""

    kind = "scripted"

    def observe(self, infos):
        self.steps = [info["telemetry"].step for info in infos]

    def act(self, pov, first):
        return [{"hotbar.1": step % 2} for step in self.steps]


@pytest.mark.parametrize("agent", [Good, Drawing, Guide, RandomAgent, Good()])
def test_agents_that_keep_the_contract_pass(agent):
    check_agent(agent)


class NoName(Good):
    name = ""


class OddKind(Good):
    kind = "robot"


class Peeking(Good):
    def observe(self, infos):
        raise AssertionError("never to be called")


class Impossible(Good):
    def act(self, pov, first):
        return [{"camera": [0.0, 400.0]} for _ in pov]


class Unknown(Good):
    def act(self, pov, first):
        return [{"fly": 1} for _ in pov]


class OnlyOne(Good):
    def act(self, pov, first):
        return [null_action()]


class Failing(Good):
    def act(self, pov, first):
        raise IndexError("too many\nepisodes")


class Painting(Good):
    def act(self, pov, first):
        pov[:] = 0
        return [{} for _ in pov]


class Unseeded(Good):
    def act(self, pov, first):
        return [{"camera": np.random.default_rng().uniform(-9, 9, 2)} for _ in pov]


class Remembering(Good):
    def act(self, pov, first):
        return super().act(pov, first & (len(self.seen) < len(pov)))


class Mixing(Good):
    def act(self, pov, first):
        return [{"camera": [0.0, float(pov.mean()) % 90]} for _ in pov]


class Counting(Good):
    calls = 0

    def act(self, pov, first):
        self.calls += 1
        return [{"ESC": int(self.calls > 15)} for _ in pov]


class NotMade(Good):
    def __init__(self):
        raise OSError("no weights")


@pytest.mark.parametrize(
    ("agent", "finding"),
    [
        (NoName, "name: expected one line of text, got ''"),
        (OddKind, "kind: expected one of agent, scripted, random, human, got 'robot'"),
        (Peeking, "observe is never called, since an agent of kind 'agent' does not see telemetry"),
        (Impossible, "act returned an impossible action: "),
        (Unknown, "act returned an impossible action: "),
        (OnlyOne, "act: expected 2 actions for 2 episodes, got 1"),
        (Failing, "act raised IndexError: too many for 1 episodes"),
        (Painting, "act changed the frames in place"),
        (Unseeded, "two agents made by the factory act differently on the same frames"),
        (Remembering, "the action depends on frames from before first=True"),
        (Mixing, "the action of an episode depends on the frames of another one"),
        (Counting, "the same episode played twice by one agent gives other actions"),
        (NotMade, "the factory raised OSError: no weights"),
    ],
)
def test_each_fault_of_an_agent_is_one_sentence(agent, finding):
    with pytest.raises(ContractError) as error:
        check_agent(agent)
    assert [one for one in error.value.findings if one.startswith(finding)]
    assert all("\n" not in one for one in error.value.findings)


def test_a_factory_that_cannot_be_pickled_is_a_finding():
    with pytest.raises(ContractError, match="the factory cannot be pickled, which jobs=N needs"):
        check_agent(lambda: Good())


def test_what_is_no_agent_is_a_finding():
    with pytest.raises(ContractError, match=r"act: expected a method act\(pov, first\)"):
        check_agent(dict)


def test_an_agent_without_privilege_is_never_shown_telemetry():
    with pytest.raises(ContractError) as error:
        check_agent(Peeking)
    assert len(error.value.findings) == 1 and Peeking.kind not in PRIVILEGED_KINDS


# ---- worlds ----


def test_a_world_that_keeps_the_contract_passes():
    check_world(CountingWorld())
    check_world(gymnasium.wrappers.OrderEnforcing(CountingWorld()))


@pytest.mark.engine
def test_the_luanti_world_keeps_the_contract():
    env = make_env("find_cave")
    try:
        check_world(env)
    finally:
        env.close()


class Unversioned(CountingWorld):
    version = None


class Ageing(CountingWorld):
    @property
    def version(self):
        return f"toy-{self._steps}"


class Peephole(CountingWorld):
    def __init__(self):
        super().__init__()
        self.observation_space = gymnasium.spaces.Dict(
            {**observation_space((640, 360)), "position": gymnasium.spaces.Box(-1, 1, (3,))}
        )


class Tiny(CountingWorld):
    def __init__(self):
        super().__init__(size=(64, 36))


class FewKeys(CountingWorld):
    def __init__(self):
        super().__init__()
        self.action_space = gymnasium.spaces.Dict({"forward": gymnasium.spaces.Discrete(2)})


class Silent(CountingWorld):
    def reset(self, **settings):
        observation, _ = super().reset(**settings)
        return observation, {}


class Stuck(CountingWorld):
    def _state(self):
        return super()._state().model_copy(update={"step": 0})


class Floating(CountingWorld):
    def _frame(self):
        return super()._frame().astype(np.float32)


class Generous(CountingWorld):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 1.0, *rest


class Vague(CountingWorld):
    def _advance(self, action, step):
        frame, state, _ = super()._advance(action, step)
        return frame, state, {}


class Lenient(CountingWorld):
    def step(self, action):
        return super().step(action | {"camera": np.clip(action["camera"], -180, 180)})


class Endless(CountingWorld):
    def step(self, action):
        self._ended = None
        return super().step(action)


class Deaf(CountingWorld):
    def step(self, action):
        return super().step(action | {"ESC": 0})


class Hasty(CountingWorld):
    def __init__(self):
        super().__init__(step_limit=4)


class Reusing(CountingWorld):
    buffer = np.zeros((360, 640, 3), np.uint8)

    def _frame(self):
        self.buffer[:] = super()._frame()
        return self.buffer


class Drifting(CountingWorld):
    def _state(self):
        drift = np.random.default_rng().uniform()
        return super()._state().model_copy(update={"xpos": drift})


class Flickering(CountingWorld):
    def _frame(self):
        return np.random.default_rng().integers(0, 255, (360, 640, 3), np.uint8)


class Breaking(CountingWorld):
    def _advance(self, action, step):
        raise RuntimeError("out of\nmemory")


@pytest.mark.parametrize(
    ("world", "finding"),
    [
        (Unversioned, "version: expected a text that changes"),
        (Ageing, "version: expected the same before and after an episode"),
        (
            Peephole,
            "observation_space: expected basalt.worlds.base.observation_space(size), pixels",
        ),
        (Tiny, "observation_space: expected frames [360, 640, 3], the size of recordings, got [36"),
        (FewKeys, "action_space: expected basalt.worlds.base.action_space()"),
        (Silent, "reset: expected info['telemetry'] to be a Telemetry, got NoneType"),
        (Stuck, "step: expected telemetry of step 1, got that of step 0"),
        (Floating, "reset: expected pov uint8 [360, 640, 3], got float32 [360, 640, 3]"),
        (Generous, "step: expected a reward of 0, as these tasks have none, got 1.0"),
        (Vague, "step: expected info['applied']['camera'] to be [pitch, yaw] in degrees"),
        (Lenient, "step accepted a camera of 400 degrees"),
        (Endless, "step: expected an error after the end of the episode"),
        (
            Deaf,
            "step: expected ESC to terminate the episode with info['ended'] 'esc', got terminated False",
        ),
        (Hasty, "step 4: the episode ended by itself (ended: 'limit')"),
        (Reusing, "step changed the frame that it returned before"),
        (Drifting, "the same seed and actions gave other telemetry after step 0 (xpos)"),
        (Flickering, "the same seed and actions gave another frame after step 0"),
        (Breaking, "step raised RuntimeError: out of"),
    ],
)
def test_each_fault_of_a_world_is_one_sentence(world, finding):
    with pytest.raises(ContractError) as error:
        check_world(world())
    assert [one for one in error.value.findings if one.startswith(finding)], error.value.findings
    assert all("\n" not in one for one in error.value.findings)
