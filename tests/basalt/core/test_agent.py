"""The contract of agents: batched, and with telemetry by declared kind only."""

import gymnasium
import numpy as np
import pytest

from agents.random.agent import RandomAgent
from basalt.core.actions import validate_action
from basalt.core.agent import PRIVILEGED_KINDS, check_kind, privileged
from basalt.io.errors import ConfigError
from tests.support.toy_world import CountingWorld


class Player:
    name = "player"

    def __init__(self, kind):
        self.kind = kind

    def act(self, pov, first):
        return [{} for _ in pov]


class Observer(Player):
    def observe(self, infos):
        pass


@pytest.mark.parametrize("kind", ["agent", "random", "scripted", "human"])
def test_only_a_declared_kind_sees_telemetry(kind):
    observer, plain = Observer(kind), Player(kind)
    assert privileged(observer) is (observer if kind in PRIVILEGED_KINDS else None)
    assert privileged(plain) is None
    assert set(PRIVILEGED_KINDS) == {"scripted", "human"}


def test_a_kind_is_one_of_four():
    check_kind(Player("agent"))
    for player in (Player("Agent"), Player(None), object()):
        with pytest.raises(ConfigError, match="expected kind to be one of agent, scripted, random"):
            check_kind(player)


def test_one_agent_plays_a_vector_of_worlds():
    """Row b of frames, actions and `first` is episode b, as vectorized environments have it."""
    envs = gymnasium.vector.SyncVectorEnv([CountingWorld, CountingWorld])
    agent = RandomAgent(seed=1, steps=3)
    observations, infos = envs.reset(seed=[100_000, 100_001])
    first = np.array([True, True])
    for _ in range(4):
        actions = [validate_action(one) for one in agent.act(observations["pov"], first)]
        batch = {key: np.stack([one[key] for one in actions]) for key in actions[0]}
        observations, _, terminated, _, infos = envs.step(batch)
        first = np.zeros(2, bool)
    assert terminated.tolist() == [True, True], "both pressed ESC after three steps"
    assert [state.step for state in infos["telemetry"]] == [4, 4]
    envs.close()
