"""Which frames the rows of training batches show."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from basalt.data.plans import EndlessPlan, Piece


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    rows=st.integers(1, 3),
    seq_len=st.integers(1, 6),
    segment=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_rows_of_segments_jump_in_time(
    lengths: list[int], rows: int, seq_len: int, segment: int, seed: int
) -> None:
    plan = EndlessPlan(lengths, rows, seq_len, seed, mirror=True, segment=segment)
    before: dict[int, tuple[int, int, bool]] = {}
    shown = Counter[int]()
    for _ in range(20):
        for row, pieces in enumerate(next(plan)):
            assert sum(piece.stop - piece.start for piece in pieces) == seq_len
            for piece in pieces:
                assert 0 <= piece.start < piece.stop <= lengths[piece.episode]
                if piece.begins:
                    shown[row] = 0
                elif row in before:
                    assert before[row] == (piece.episode, piece.start, piece.mirrored)
                shown[row] += piece.stop - piece.start
                assert shown[row] <= segment
                before[row] = piece.episode, piece.stop, piece.mirrored


@pytest.mark.parametrize("segment", [1, 4])
def test_segments_show_every_frame_equally_often(segment: int) -> None:
    plan = EndlessPlan([3, 10], 4, 4, seed=0, mirror=False, segment=segment)
    counts = Counter[tuple[int, int]]()
    for _ in range(4000):
        for piece in (piece for row in next(plan) for piece in row):
            counts.update((piece.episode, t) for t in range(piece.start, piece.stop))
    expected = sum(counts.values()) / 13
    assert len(counts) == 13
    assert all(abs(n / expected - 1) < 0.08 for n in counts.values())


def shown(plan: EndlessPlan, segments: int) -> list[Piece]:
    """The first segments of a plan of one row and one segment a batch."""
    return [next(plan)[0][0] for _ in range(segments)]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    window=st.integers(1, 8),
    segment=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_a_window_shows_each_frame_once_in_a_pass(
    lengths: list[int], window: int, segment: int, seed: int
) -> None:
    plan = EndlessPlan(lengths, 1, segment, seed, mirror=True, segment=segment, window=window)
    times = [np.zeros(length, int) for length in lengths]
    slots = min(window, len(lengths))
    for _ in range(40):
        for one in next(plan)[0]:
            assert 0 < one.stop - one.start <= segment
            times[one.episode][one.start : one.stop] += 1
        ahead = [count.max() - count.min() for count in times]
        # Only what is in the window was shown in part, and the row's own segment may be cut by the batch.
        assert sum(ahead) <= slots + 1


def test_a_window_of_one_shows_one_play_after_another() -> None:
    plan = EndlessPlan([30, 30, 30], 1, 1, 3, mirror=False, segment=1, window=1)
    plays = [one.episode for one in shown(plan, 90)]
    assert [len(set(plays[at : at + 30])) for at in (0, 30, 60)] == [1, 1, 1]
    assert set(plays) == {0, 1, 2}


PLAYS, SEGMENTS = 40, 12


def distance(at: NDArray[np.int64]) -> float:
    """Mean number of draws between neighbouring segments; `at` is when each was drawn, int [plays, segments]."""
    return float(np.abs(np.diff(at, axis=1)).mean())


@pytest.mark.parametrize("window", [4, 10])
def test_neighbours_are_as_far_apart_as_the_formula_says(window: int) -> None:
    """Known answers: K (S + 1) / 3 draws in a window of K plays of S segments, (n + 1) / 3 after a full shuffle of n."""
    n = PLAYS * SEGMENTS
    mixed, shuffled = [], []
    rng = np.random.default_rng(0)
    for seed in range(12):
        plan = EndlessPlan([SEGMENTS] * PLAYS, 1, 1, seed, mirror=False, segment=1, window=window)
        at = np.full((PLAYS, SEGMENTS), -1)
        for number, one in enumerate(shown(plan, 2 * n)):
            if at[one.episode, one.start] < 0:  # in the first pass
                at[one.episode, one.start] = number
        assert (at >= 0).all()
        mixed.append(distance(at))
        shuffled.append(distance(rng.permutation(n).reshape(PLAYS, SEGMENTS)))
    assert np.mean(mixed) == pytest.approx(window * (SEGMENTS + 1) / 3, rel=0.06)
    assert np.mean(shuffled) == pytest.approx((n + 1) / 3, rel=0.06)


def test_rows_of_a_window_are_of_the_same_play_with_the_chance_that_the_formula_says() -> None:
    plan = EndlessPlan([30] * PLAYS, 2, 1, 0, mirror=False, segment=1, window=8)
    same = [rows[0][0].episode == rows[1][0].episode for rows in (next(plan) for _ in range(6000))]
    assert np.mean(same) == pytest.approx(1 / 8, abs=0.015)
