"""Which frames the rows of training batches show."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.data.plans import EndlessPlan


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
