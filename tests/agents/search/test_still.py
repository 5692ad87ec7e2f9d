"""A player whose frames no longer change is still; one that walks or turns is not."""

import numpy as np

from agents.search.still import Stillness


def frame(seed):
    return np.random.default_rng(seed).integers(0, 256, (36, 64, 3), dtype=np.uint8)


def test_frames_that_stay_the_same_are_still_once_a_window():
    stillness = Stillness(window=10)
    found = [stillness.step(frame(0)) for _ in range(41)]
    # The first frame has none before it.
    assert np.flatnonzero(found).tolist() == [10, 20, 30, 40]


def test_frames_that_change_are_never_still():
    stillness = Stillness(window=10)
    assert not any(stillness.step(frame(seed)) for seed in range(50))


def test_a_third_of_the_frames_is_enough():
    # A player in a corner looks around and walks against the wall.
    shown = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    stillness = Stillness(window=10)
    assert [stillness.step(frame(seed)) for seed in shown] == [False] * 10 + [True]
    stillness = Stillness(window=10)
    assert not any(stillness.step(frame(seed)) for seed in [0, 0, 0, *range(1, 9)])


def test_noise_of_a_video_is_not_a_change():
    rng = np.random.default_rng(0)
    stillness = Stillness(window=10)
    base = frame(0).clip(3, 252).astype(int)
    noisy = [(base + rng.integers(-1, 2, base.shape)).astype(np.uint8) for _ in range(11)]
    assert [stillness.step(one) for one in noisy][-1]


def test_an_episode_that_begins_forgets_the_one_before():
    stillness = Stillness(window=10)
    assert [stillness.step(frame(0)) for _ in range(10)] == [False] * 10
    stillness.begin()
    assert not stillness.step(frame(0))


def test_a_window_of_0_frames_is_never_still():
    stillness = Stillness(window=0)
    assert not any(stillness.step(frame(0)) for _ in range(50))
