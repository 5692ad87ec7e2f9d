"""The Luanti world on the real engine: what every world does."""

import gymnasium
import pytest
from behaviour import WorldBehaviour

import basalt.worlds  # noqa: F401  (registers the tasks)

pytestmark = pytest.mark.engine


def _make(**settings):
    return gymnasium.make("basalt/FindCave-v0", world="luanti", **settings)


@pytest.fixture(scope="module")
def env():
    env = _make()
    yield env
    env.close()


class TestLuanti(WorldBehaviour):
    @pytest.fixture
    def make_env(self):
        made = []

        def make(**settings):
            made.append(_make(**settings))
            return made[-1]

        yield make
        for env in made:
            env.close()

    @pytest.mark.long
    def test_gymnasiums_checker_is_content(self, make_env):
        """Every seed that the checker asks for is a place that has to be searched."""
        super().test_gymnasiums_checker_is_content(make_env)
