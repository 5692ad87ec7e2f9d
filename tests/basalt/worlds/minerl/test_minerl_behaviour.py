"""Minecraft's environment against the stand-in: what every world does."""

import gymnasium
import pytest

import basalt.worlds  # noqa: F401  (registers the tasks)
from tests.support.minerl_standin import StandIn
from tests.support.world_behaviour import WorldBehaviour


@pytest.fixture(scope="module")
def standins():
    """Two, since a test may make an environment beside the shared one."""
    with StandIn() as first, StandIn() as second:
        yield [first.address, second.address]


class TestMinerl(WorldBehaviour):
    @pytest.fixture
    def make_env(self, standins):
        made = []

        def make(**settings):
            made.append(
                gymnasium.make("basalt/FindCave-v0", world="minerl", address=standins, **settings)
            )
            return made[-1]

        yield make
        for env in made:
            env.close()

    @pytest.fixture
    def env(self, make_env):
        return make_env()
