"""Event lists and key frames."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.oversight.events import MOST_EVENTS, event_list, key_steps
from tests.support.oversight_pairs import cave_visit, evidence


def test_an_event_is_a_fact_that_changed() -> None:
    found = event_list(cave_visit(100, 60))
    assert found.first == {
        "health": 20, "in_liquid": False, "under_roof": False, "dead": False, "dug_down": False,
        "dug_nodes": 0, "in_cave": False,
    }  # fmt: skip
    assert found.lines()[1:] == ["[state 60..60] in_cave: False -> True", "[state 100] ended: esc"]


def test_quick_changes_are_one_event_and_a_flicker_is_none() -> None:
    counts = [0] * 30 + [1] * 5 + [2] * 5 + [3] * 60
    flicker = [False] * 50 + [True] * 3 + [False] * 47
    events = event_list(evidence(dug_nodes=counts, mouth_in_view=flicker)).events
    assert [(one.fact, one.start, one.end, one.old, one.new) for one in events] == [
        ("dug_nodes", 30, 40, 0, 3)
    ]


def test_a_number_that_is_not_whole_has_one_event() -> None:
    events = event_list(evidence(distance=[n / 3 for n in range(100)])).events
    assert [(one.start, one.end, one.old, one.new) for one in events] == [(0, 99, 0.0, 33.0)]


def test_a_long_list_says_how_much_it_leaves_out() -> None:
    found = event_list(evidence(flag=[step // 30 % 2 == 1 for step in range(30 * 300)]))
    assert (len(found.events), found.left_out) == (MOST_EVENTS, 99)
    assert "(99 events left out)" in found.lines()
    assert found.events[-1].end == 30 * 299


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20_000), st.integers(0, 32))
def test_key_frames_have_the_last_then_the_first_then_equal_steps(last: int, count: int) -> None:
    steps = key_steps(last, count)
    assert len(steps) == min(count, last + 1)
    assert list(steps) == sorted(set(steps))
    if count:
        assert steps[-1] == last
    if count > 1:
        assert steps[0] == 0
        gaps = [b - a for a, b in pairwise(steps)]
        assert not gaps or max(gaps) - min(gaps) <= 1
