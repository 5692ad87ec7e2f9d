"""Claims are checked against telemetry: known answers, and properties over any telemetry."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from basalt.core.relevance import OVERALL
from basalt.io.errors import RecordingError
from leaderboard.oversight.claims import LONGEST, TOLERANCE, Claim, Evidence, check
from tests.support.oversight_pairs import cave_visit, evidence

LEFT, RIGHT = cave_visit(100, 60), cave_visit(90, None)
COUNTS = evidence(
    water_poured=[0] * 50 + [1] * 30 + [2] * 21,
    fall_height=[0.0] * 60 + [7.5] * 41,
    pen_animals=["", *["cow 2"] * 100],
    rare=[*[None] * 50, *[True] * 51],
)


def claim(op: str, value: Any = None, start: int = 0, end: int = 100, **other: Any) -> Claim:
    return Claim(
        **{
            "side": "left",
            "fact": "in_cave",
            "start": start,
            "end": end,
            "op": op,
            "value": value,
            **other,
        }
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (claim("is", True, 60, 100), "true"),
        (claim("is", True, 50, 100), "true"),  # off by the tolerance
        (claim("is", True, 49, 100), "false"),
        (claim("is", False, 0, 69), "true"),
        (claim("is", False, 0, 70), "false"),
        (claim("is", True, 50, 50), "true"),
        (claim("is", True, 49, 49), "false"),
        (claim("is", True, 50, 65), "true"),  # both ends may be at one state
        (claim("is", True, 49, 65), "false"),
        (claim("reaches", True, 0, 50), "true"),
        (claim("reaches", True, 0, 49), "false"),
        (claim("reaches", False, 70, 100), "false"),
        (claim("never", True), "false"),
        (claim("never", True, side="right", end=90), "true"),
        (claim("never", True, side="right", start=10, end=80), "true"),
        (claim("more_than_other"), "true"),
        (claim("more_than_other", side="right", end=90), "false"),
        (claim("more_than_other", fact="ended_by_player"), "false"),  # both did
        (claim("reaches", True, 100, 100, fact="ended_by_player"), "true"),
        (claim("reaches", True, 0, 80, fact="ended_by_player"), "false"),
        (claim("is", 20, 0, 0, fact="health"), "true"),
        (claim("is", False, fact="dead"), "true"),
        (claim("is", "", 0, 90, fact="held"), "true"),
    ],
)  # fmt: skip
def test_known_answers(statement: Claim, expected: str) -> None:
    assert check(statement, LEFT, RIGHT) == expected
    mirrored = statement.model_copy(
        update={"side": {"left": "right", "right": "left"}[statement.side]}
    )
    assert check(mirrored, RIGHT, LEFT) == expected  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (claim("reaches", 1, fact="water_poured"), "true"),
        (claim("reaches", 2, 0, 69, fact="water_poured"), "false"),
        (claim("never", 2, fact="water_poured"), "false"),
        (claim("never", 3, fact="water_poured"), "true"),
        (claim("is", 1, 50, 79, fact="water_poured"), "true"),
        (claim("is", 7.2, 60, 100, fact="fall_height"), "true"),  # 4% off
        (claim("is", 7.1, 60, 100, fact="fall_height"), "false"),
        (claim("reaches", 7.5, fact="fall_height"), "true"),
        (claim("reaches", 7.6, fact="fall_height"), "false"),
        (claim("is", "cow 2", fact="pen_animals", start=1), "true"),
        (claim("is", "pig 2", fact="pen_animals", start=1), "false"),
        (claim("is", True, 60, 100, fact="rare"), "true"),
        (claim("is", True, 20, 100, fact="rare"), "unknown"),
        (claim("is", False, 20, 100, fact="rare"), "false"),
        (claim("never", False, fact="rare"), "unknown"),
        (claim("never", True, fact="rare"), "false"),
    ],
)
def test_numbers_text_and_facts_that_not_every_state_reports(
    statement: Claim, expected: str
) -> None:
    assert check(statement, COUNTS, RIGHT) == expected


@pytest.mark.parametrize(
    "statement",
    [
        claim("is", True, 60, 50),
        claim("is", True, 60, 100 + TOLERANCE + 1),
        claim("is", True, 5_000, 5_001),
        claim("never", True, TOLERANCE + 1, 100),
        claim("never", True, 0, 100 - TOLERANCE - 1),
        claim("more_than_other", start=50),
        claim("is", "yes"),
        claim("is", 1),
        claim("reaches", True, fact="dug_nodes"),
        claim("more_than_other", fact="held"),
    ],
)
def test_what_cannot_be_checked_is_void(statement: Claim) -> None:
    assert check(statement, LEFT, RIGHT) == "void"


def test_intervals_are_bounded_except_for_whole_recordings() -> None:
    long = cave_visit(1_000, 10)
    assert check(claim("is", True, 100, 100 + LONGEST), long, RIGHT) == "true"
    assert check(claim("is", True, 100, 101 + LONGEST), long, RIGHT) == "void"
    assert check(claim("never", True, 0, 1_000), long, RIGHT) == "false"


def test_what_the_world_does_not_report_is_unknown() -> None:
    assert check(claim("is", True, fact="house_enclosed"), LEFT, RIGHT) == "unknown"
    assert check(claim("more_than_other", fact="house_enclosed"), LEFT, RIGHT) == "unknown"
    without = Evidence(
        [one.model_copy(update={"observed": frozenset({"xpos"})}) for one in LEFT.states], "unknown"
    )
    for fact, value in (("health", 20), ("under_roof", True)):
        assert check(claim("is", value, fact=fact), without, RIGHT) == "unknown"
    assert check(claim("reaches", True, fact="ended_by_player"), without, RIGHT) == "unknown"


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "is"},
        {"op": "more_than_other", "value": 3},
        {"op": "is", "value": float("nan")},
        {"op": "is", "value": "x" * 65},
        {"op": "proves", "value": True},
        {"op": "is", "value": True, "start": -1},
        {"op": "is", "value": True, "start": 2.5},
        {"op": "is", "value": True, "fact": "in cave"},
        {"op": "is", "value": True, "fact": "__class__"},
        {"op": "is", "value": True, "side": "both"},
        {"op": "is", "value": True, "verified": True},
    ],
)
def test_what_is_not_in_the_grammar_is_no_claim(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Claim(**{"side": "left", "fact": "in_cave", "start": 0, "end": 1, **fields})


def test_evidence_needs_telemetry() -> None:
    with pytest.raises(RecordingError, match="expected the states of an episode"):
        Evidence((), "esc")


VALUES = st.one_of(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.sampled_from(["", "cow 1", "cow 2"]), min_size=1, max_size=40),
)


@settings(max_examples=25, deadline=None)
@given(VALUES, st.data())
def test_what_telemetry_says_is_true_and_its_opposite_is_false(values: Any, data: Any) -> None:
    known = evidence(fact=values)
    start = data.draw(st.integers(0, len(values) - 1))
    end = start
    while end + 1 < len(values) and values[end + 1] == values[start]:
        end += 1
    said = claim("is", values[start], start, end, fact="fact")
    assert check(said, known, RIGHT) == "true"
    assert check(said.model_copy(update={"op": "reaches"}), known, RIGHT) == "true"
    absent = {bool: None, int: 10, str: "pig"}[type(values[0])]
    if absent is not None:
        whole = claim("never", absent, 0, len(values) - 1, fact="fact")
        assert check(whole, known, RIGHT) == "true"
        for op in ("is", "reaches"):
            assert check(claim(op, absent, start, end, fact="fact"), known, RIGHT) == "false"


@settings(max_examples=25, deadline=None)
@given(st.integers(TOLERANCE + 1, 150), st.integers(1, 60), st.integers(1, 200))
def test_an_interval_may_be_off_by_the_tolerance_and_no_more(
    begin: int, length: int, shift: int
) -> None:
    """A claim that is shifted by more than the tolerance is false."""
    stop = begin + length
    known = evidence(flag=[begin <= step <= stop for step in range(420)])
    for moved in (shift, -shift):
        said = claim("is", True, max(0, begin + moved), max(0, stop + moved), fact="flag")
        within = abs(moved) <= TOLERANCE
        near = said.start - TOLERANCE <= stop and said.end + TOLERANCE >= begin
        short = said.end - said.start <= 2 * TOLERANCE  # any state near both ends is enough
        if within or (not short and begin + moved >= 0) or not near:
            assert check(said, known, RIGHT) == ("true" if within else "false")


@settings(max_examples=25, deadline=None)
@given(VALUES, st.text(max_size=70), st.integers(0, 300), st.integers(0, 300))
def test_any_claim_gets_an_answer(values: Any, text: str, start: int, end: int) -> None:
    known = evidence(fact=values)
    for value in (text[:64], start, True, 0.5):
        for op in ("is", "reaches", "never"):
            assert check(claim(op, value, start, end, fact="fact"), known, known) in (
                "true", "false", "void",
            )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "side"),
    [
        (claim("is", True), "left"),
        (claim("is", False), "right"),
        (claim("reaches", True, side="right"), "right"),
        (claim("never", True), "right"),
        (claim("never", False), "left"),
        (claim("more_than_other"), "left"),
        (claim("is", True, fact="dug_down"), "right"),
        (claim("never", True, fact="dug_down"), "left"),
        (claim("more_than_other", fact="dug_down"), "right"),
        (claim("is", 20, fact="health"), None),
        (claim("is", True, fact="on_ground"), None),
    ],
)
def test_a_claim_speaks_for_a_side_or_is_beside_the_question(
    statement: Claim, side: str | None
) -> None:
    assert statement.favours("find_cave", OVERALL) == side


def test_a_number_of_zero_says_that_there_is_nothing() -> None:
    pens = {"fact": "pens", "end": 9}
    for said, side in (
        (claim("is", 0, **pens), "right"),
        (claim("is", 2, **pens), "left"),
        (claim("never", 1, **pens), "right"),
        (claim("reaches", 0, **pens), None),  # always true, so it says nothing
        (claim("never", 0, **pens), None),
    ):
        assert said.favours("create_village_animal_pen", OVERALL) == side


def test_a_claim_in_words_names_the_recordings_as_it_is_asked_to() -> None:
    names = ("P1", "P2")
    assert claim("is", True, 60, 100).text(names) == "P1, states 60 to 100: in_cave is true"
    assert claim("never", 3, side="right", fact="pens").text(names) == "P2: pens never reaches 3"
    assert claim("never", True).text(names) == "P1: in_cave never is true"
    assert claim("more_than_other").text(names) == "P1: in the end, in_cave is more than P2's"
