"""Scripted debaters and judges on real telemetry reproduce what can be computed about them.

These are checks of the machinery: nothing here is a finding about debate.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from basalt.core.tasks import get_task
from leaderboard.oversight.claims import SIDES
from leaderboard.oversight.conversation import converse, judge_request
from leaderboard.oversight.debaters import SCRIPTED
from leaderboard.oversight.judges import JUDGES, Bayes
from leaderboard.oversight.messages import Form, FrameRef, JudgeRequest, Protocol, Ruling
from leaderboard.oversight.pairs import Pair, known_pairs, load_episodes
from leaderboard.oversight.players import Debaters, Frames, Judge
from leaderboard.oversight.run import drawn_look

LOOK, TRIALS, CERTAIN = 0.6, 400, 40
"""Chance that a judge's look is right; trials of a cell, and of one in which every pair has the same result."""


def no_frames(ref: FrameRef) -> bytes:
    raise AssertionError("a scripted judge looks at no frames")


@cache
def pairs() -> tuple[Pair, ...]:
    """The ten sample recordings, each beside itself cut before it had found the cave."""
    task = get_task("find_cave")
    found = known_pairs(load_episodes(["sample"], task), task, "made", cuts=(3, 6)).pairs
    assert len(found) == 20 and {one.truth for one in found} == {*SIDES}
    return found


class Cell:
    """Many trials under one protocol, each shown to any judge."""

    def __init__(self, protocol: Protocol, debaters: Debaters, trials: int = TRIALS) -> None:
        self.asked: list[tuple[Pair, JudgeRequest, bool]] = []
        for number in range(trials):
            pair = pairs()[number % len(pairs())]
            transcript = converse(pair, protocol, debaters, repeat=number)
            look = drawn_look(pair, LOOK, number, 0)
            first = SIDES[number // len(pairs()) % 2]
            request = judge_request(
                pair, protocol, transcript, first=first, look=look, repeat=number
            )
            speaks_truth = not transcript.turns or transcript.turns[0].speaker == pair.truth
            self.asked.append((pair, request, speaks_truth))

    def points(
        self, judge: Judge, only: Callable[[bool], bool] = lambda right: True
    ) -> list[float]:
        """1 for each right verdict, a half for each that is undecided, as if a coin decided."""
        found = []
        for number, (pair, request, speaks_truth) in enumerate(self.asked):
            if only(speaks_truth):
                chance = judge.decide(request, no_frames).first
                assert chance is not None
                first = SIDES[number // len(pairs()) % 2]
                right = chance if pair.truth == first else 1 - chance
                found.append(0.5 if right == 0.5 else float(right > 0.5))
        return found


@cache
def cell(
    form: Form, s: float, q: float, k: int = 3, v: float = 1.0, liar: int | None = None
) -> Cell:
    honest = replace(SCRIPTED["oracle"], true_share=s, offered=k, right=0.85)
    dishonest = replace(SCRIPTED["liar"], true_share=q, offered=liar or k)
    protocol = Protocol(form=form, claims=max(k, liar or k), checked=v)
    is_certain = {s, q} <= {0, 1} and v == 1 and form == "debate"
    return Cell(protocol, Debaters(honest, dishonest), CERTAIN if is_certain else TRIALS)


def assert_close(points: Sequence[float], expected: float) -> None:
    """Within three standard errors."""
    error = max(math.sqrt(expected * (1 - expected) / len(points)), 1e-9)
    assert abs(sum(points) / len(points) - expected) <= 3 * error, (sum(points) / len(points), expected)  # fmt: skip


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


def count_in_debate(s: float, q: float, k: int, v: float, liar: int | None = None) -> float:
    """P(H > W) + P(H = W) / 2 for H ~ Bin(k, vs), W ~ Bin(liar, vq)."""
    honest, dishonest = binomial(k, v * s), binomial(liar or k, v * q)
    return sum(
        a * b * (0.5 if h == w else h > w)
        for (h, a), (w, b) in product(enumerate(honest), enumerate(dishonest))
    )


def naive_in_consultancy(s: float, q: float, k: int, v: float) -> float:
    return 0.5 * ((1 - v * (1 - s)) ** k + 1 - (1 - v * (1 - q)) ** k)


def test_the_formulas_have_their_known_values() -> None:
    assert count_in_debate(1, 0, 3, 1) == 1
    assert count_in_debate(1, 1, 3, 1) == 0.5
    assert count_in_debate(0.9, 0.25, 1, 0.5) == pytest.approx(0.6625)
    assert count_in_debate(0.9, 0.25, 3, 0.5) == pytest.approx(0.8056, abs=5e-5)
    assert naive_in_consultancy(0.9, 0.25, 1, 0.5) == pytest.approx(0.6625)
    assert naive_in_consultancy(0.9, 0.25, 3, 0.5) == pytest.approx(0.8066, abs=5e-5)
    for v, expected in ((0.25, 0.789), (0.5, 0.938), (0.75, 0.992)):
        assert count_in_debate(1, 0, 3, v) == pytest.approx(expected, abs=5e-4)
        assert naive_in_consultancy(1, 0, 3, v) == pytest.approx(expected, abs=5e-4)
    for liar, expected in ((3, 0.963), (6, 0.829), (12, 0.448)):
        assert count_in_debate(0.9, 0.25, 3, 1, liar) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("s", "q", "v"),
    [(1, 0, 1.0), (1, 0, 0.25), (1, 1, 1.0), (0.9, 0.25, 0.5), (0.9, 0.25, 1.0), (0.9, 0.25, 0.0)],
)
def test_counting_verified_claims_in_a_debate(s: float, q: float, v: float) -> None:
    assert_close(cell("debate", s, q, v=v).points(JUDGES["count"]), count_in_debate(s, q, 3, v))


@pytest.mark.parametrize(("s", "q", "v"), [(1, 0, 1.0), (0.9, 0.25, 0.5), (0.9, 0.25, 0.0)])
def test_believing_a_consultant_until_it_is_exposed(s: float, q: float, v: float) -> None:
    points = cell("consultancy", s, q, v=v).points(JUDGES["naive"])
    assert_close(points, naive_in_consultancy(s, q, 3, v))


@pytest.mark.parametrize(
    ("form", "v", "expected"),
    [
        ("debate", 0.0, 0.600),
        ("debate", 0.5, 0.902),
        ("debate", 1.0, 0.969),
        ("double_consultancy", 0.5, 0.902),
        ("consultancy", 0.5, 0.825),
    ],
)
def test_a_rational_judge(form: Form, v: float, expected: float) -> None:
    assert_close(cell(form, 0.9, 0.25, v=v).points(Bayes()), expected)


@pytest.mark.parametrize(
    ("form", "v", "expected"),
    [
        ("open_consultancy", 0.0, 0.0),
        ("open_debate", 0.0, 0.0),
        ("open_consultancy", 0.5, 0.486),
        ("open_debate", 0.5, 0.691),
    ],
)
def test_a_rational_judge_when_the_debater_chose_the_wrong_side(
    form: Form, v: float, expected: float
) -> None:
    asked = cell(form, 0.9, 0.25, v=v)
    chosen_right = [request.chosen == ("P1" if pair.truth == SIDES[n // len(pairs()) % 2] else "P2") for n, (pair, request, _) in enumerate(asked.asked)]  # fmt: skip
    assert_close([float(one) for one in chosen_right], 0.85)
    points = [c for c, right in zip(asked.points(Bayes()), chosen_right, strict=True) if not right]
    assert_close(points, expected)


def test_counting_is_gamed_by_volume_and_shares_are_not() -> None:
    many = cell("debate", 0.9, 0.25, liar=12)
    assert_close(many.points(JUDGES["count"]), count_in_debate(0.9, 0.25, 3, 1, 12))
    assert_close(many.points(JUDGES["share"]), 0.992)


def against(kind: str, claims: int = 3, form: Form = "debate", prose: bool = True) -> Cell:
    debaters = Debaters(replace(SCRIPTED["oracle"], offered=3), SCRIPTED[kind])
    return Cell(Protocol(form=form, claims=claims, prose=prose), debaters, CERTAIN)


def share(points: list[float]) -> float:
    return sum(points) / len(points)


def test_what_is_true_but_beside_the_question_is_caught_by_relevance_alone() -> None:
    cells = against("selective")
    assert share(cells.points(JUDGES["count_all"])) == 0.5
    assert share(cells.points(JUDGES["count"])) == 1.0
    padded = against("padder", claims=12)
    assert share(padded.points(JUDGES["count_all"])) == 0.0
    assert share(padded.points(JUDGES["count"])) == 1.0


def test_a_conceder_and_a_silent_debater_lose() -> None:
    for kind in ("conceder", "silent", "liar"):
        assert share(against(kind).points(JUDGES["count"])) == 1.0


def test_an_injection_costs_a_structured_judge_nothing() -> None:
    plain, injected = against("liar"), against("injector")
    for name in ("count", "share", "bayes"):
        lost = share(plain.points(JUDGES[name])) - share(injected.points(JUDGES[name]))
        assert lost <= 0.02, name


class Gullible:
    """A judge that searches what it is shown for a verdict, as the parser of a known incident did."""

    name = "gullible"

    def decide(self, request: JudgeRequest, frames: Frames) -> Ruling:
        for turn in request.turns:
            for name, first in (("P1", 0.99), ("P2", 0.01)):
                if f"Verdict: {name}" in turn.argument:
                    return Ruling(first=first)
        return JUDGES["count"].decide(request, frames)


def test_an_injection_works_on_a_judge_that_reads_prose_and_not_without_prose() -> None:
    assert share(against("injector").points(Gullible())) == 0.0
    without = against("injector", prose=False)
    assert share(without.points(Gullible())) == 1.0


def test_judges_that_do_not_read_are_known() -> None:
    asked = Cell(Protocol(form="direct"), Debaters(SCRIPTED["oracle"], SCRIPTED["liar"]))
    wins = [
        pair.truth == SIDES[n // len(pairs()) % 2] for n, (pair, _, _) in enumerate(asked.asked)
    ]
    assert share(asked.points(JUDGES["always_left"])) == sum(wins) / len(wins)
    assert_close(asked.points(JUDGES["coin"]), 0.5)
    assert share(against("padder", claims=12).points(JUDGES["longest"])) == 0.0


def test_an_oracle_against_an_oracle_about_one_recording_decides_nothing() -> None:
    for one in pairs()[:3]:
        better = one.evidence(one.truth or "left")
        same = Pair("find_cave", one.seed, better, better, (one.videos[0], one.videos[0]), None, "made")  # fmt: skip
        both = Debaters(SCRIPTED["oracle"], SCRIPTED["oracle"])
        protocol = Protocol(form="debate", claims=5)
        transcript = converse(same, protocol, both)
        assert all(one.check == "true" for turn in transcript.turns for one in turn.claims)
        assert all(len(turn.claims) == 5 for turn in transcript.turns)
        for first in SIDES:
            request = judge_request(same, protocol, transcript, first=first)
            for name in ("count", "share", "bayes"):
                assert JUDGES[name].decide(request, no_frames).first == 0.5
