"""The noop agent does nothing, for as long as it is asked."""

import numpy as np

from agents.noop.agent import NoopAgent
from basalt.core.actions import validate_action
from basalt.testing import check_agent


def test_it_does_nothing_and_never_ends_an_episode() -> None:
    pov = np.zeros((2, 360, 640, 3), np.uint8)
    for action in NoopAgent().act(pov, np.array([True, False])):
        full = validate_action(action)
        assert np.array_equal(full.pop("camera"), [0, 0]) and not any(full.values())


def test_it_keeps_the_contract_of_an_agent() -> None:
    check_agent(NoopAgent)
