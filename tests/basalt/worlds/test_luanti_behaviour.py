"""The Luanti world on the real engine: what every world does."""

import gymnasium
import pytest
from behaviour import WorldBehaviour

import basalt.worlds  # noqa: F401  (registers the tasks)

pytestmark = pytest.mark.engine


def _make(**settings):
    return gymnasium.make("basalt/FindCave-v0", world="luanti", **settings)


class TestLuanti(WorldBehaviour):
    @pytest.fixture(scope="class")
    def env(self):
        env = _make()
        yield env
        env.close()

    @pytest.fixture
    def make_env(self):
        made = []

        def make(**settings):
            made.append(_make(**settings))
            return made[-1]

        yield make
        for env in made:
            env.close()
