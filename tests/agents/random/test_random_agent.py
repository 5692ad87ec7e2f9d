"""The random agent is uniform, seeded, and ends its episodes."""

from typing import Any

import numpy as np

from agents.random.agent import RandomAgent
from basalt.core.actions import BUTTONS, validate_action
from basalt.core.agent import Agent


def play(agent: RandomAgent, rows: int, steps: int) -> list[list[dict[str, Any]]]:
    pov = np.zeros((rows, 360, 640, 3), dtype=np.uint8)
    return [agent.act(pov, np.full(rows, t == 0)) for t in range(steps)]


def test_is_an_agent_with_valid_actions() -> None:
    agent = RandomAgent()
    assert isinstance(agent, Agent)
    for actions in play(agent, 2, 5):
        for action in actions:
            validate_action(action)


def test_presses_escape_after_its_steps_and_never_before() -> None:
    played = play(RandomAgent(steps=7), 3, 8)
    assert [[a["ESC"] for a in row] for row in played] == [[0, 0, 0]] * 7 + [[1, 1, 1]]
    assert all(sum(a[b] for b in BUTTONS) == 1 for a in played[7])


def test_starts_over_with_a_new_episode() -> None:
    agent = RandomAgent(steps=2)
    assert [a[0]["ESC"] for a in play(agent, 1, 3)] == [0, 0, 1]
    assert [a[0]["ESC"] for a in play(agent, 1, 3)] == [0, 0, 1]


def test_is_uniform_over_buttons_and_camera() -> None:
    played = [row[0] for row in play(RandomAgent(seed=1, steps=4000), 1, 4000)]
    for button in BUTTONS:
        share = np.mean([a[button] for a in played])
        assert abs(share - (0 if button == "ESC" else 0.5)) < 0.04, button
    camera = np.array([a["camera"] for a in played])
    assert np.abs(camera).max() <= 180
    counts, _ = np.histogram(camera, bins=8, range=(-180, 180))
    assert counts.min() > 0.85 * counts.max()


def test_a_row_plays_the_same_in_any_batch_and_seeds_differ() -> None:
    alone = play(RandomAgent(seed=5), 1, 6)
    beside = play(RandomAgent(seed=5), 3, 6)
    other = play(RandomAgent(seed=6), 1, 6)
    same = [
        np.array_equal(a[0]["camera"], b[0]["camera"]) for a, b in zip(alone, beside, strict=True)
    ]
    assert all(same)
    rows_differ = not np.array_equal(beside[0][0]["camera"], beside[0][1]["camera"])
    assert rows_differ
    assert not np.array_equal(alone[0][0]["camera"], other[0][0]["camera"])
