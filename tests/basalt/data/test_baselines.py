"""Baselines are proper distributions, fitted on training episodes only."""

from dataclasses import replace

import numpy as np
import pytest

from basalt.core.actions import INVENTORY_INDEX, N_BUTTONS, VPTActions
from basalt.data.baselines import Marginals, RepeatLast, baseline_loss, camera_counts
from basalt.data.episodes import Episode, load_episodes
from tests.support.synthetic import write_episodes


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Episode]:
    folder = tmp_path_factory.mktemp("recordings")
    return load_episodes(write_episodes(folder, range(100_000, 100_006), 40))


def test_marginals_are_a_distribution_near_the_counts(episodes: list[Episode]) -> None:
    marginals = Marginals(episodes)
    assert marginals.buttons.sum() == pytest.approx(1)
    assert marginals.camera.sum() == pytest.approx(1)
    assert marginals.buttons.min() > 0
    buttons = np.concatenate([e.actions.buttons for e in episodes])
    common = np.bincount(buttons).argmax()
    assert marginals.buttons[common] == pytest.approx((buttons == common).mean(), abs=0.02)
    # One ESC in each episode of about 43 frames.
    assert marginals.esc == pytest.approx(6 / sum(map(len, episodes)), rel=0.1)


def test_marginal_loss_is_the_entropy_on_its_own_data(episodes: list[Episode]) -> None:
    buttons = np.concatenate([e.actions.buttons for e in episodes])
    share = np.bincount(buttons) / len(buttons)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    loss = baseline_loss(Marginals(episodes), episodes)
    assert loss.buttons == pytest.approx(entropy, abs=0.02)
    assert loss.camera < 0.1  # every turn is the same turn
    assert loss.total == pytest.approx(loss.buttons + loss.esc, abs=0.05)


def test_repeating_wins_where_actions_last(episodes: list[Episode]) -> None:
    train, test = episodes[:4], episodes[4:]
    repeat = baseline_loss(RepeatLast(train), test)
    assert repeat.total < baseline_loss(Marginals(train), test).total


def test_repetition_is_not_trusted_where_actions_alternate(episodes: list[Episode]) -> None:
    flicker = np.tile([0, 5 * 32], 50)
    still, never = np.full(100, 60), np.zeros(100, dtype=bool)
    episode = replace(episodes[0], kept=np.arange(100), buttons=flicker, camera=still, esc=never)
    assert RepeatLast([episode]).trust[0] < 0.01


def test_repeat_last_sums_to_one(episodes: list[Episode]) -> None:
    repeat = RepeatLast(episodes)
    n = N_BUTTONS
    total = 0.0
    previous = int(episodes[0].actions.buttons[0])
    for label in range(n):
        pair = VPTActions(np.array([previous, label]), np.array([60, 60]), np.zeros(2, dtype=bool))
        total += float(np.exp(repeat.log_probs(pair)[0][1]))
    assert total == pytest.approx(1, abs=1e-6)


def test_the_inventory_class_has_no_camera_label() -> None:
    assert camera_counts(np.array([0, 1, INVENTORY_INDEX])).tolist() == [False, True, False]
