"""The next pair is the one from which most is to be learned, fairly spread, and found in no time."""

import random
from collections import Counter

import numpy as np
import pytest
import trueskill

from leaderboard.judging import matchmaking
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair, undo_last
from leaderboard.judging.matchmaking import Board, _Judged, board_of
from leaderboard.judging.raters import register_rater
from leaderboard.ratings.trueskill import TRUESKILL
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import ban, unban
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings

ENVIRONMENT = trueskill.TrueSkill(
    mu=25.0, sigma=25.0 / 3.0, beta=25.0 / 6.0, tau=25.0 / 300.0, draw_probability=0.10
)
"""The published constants."""


def by_package(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Expected drop of the sum of variances, by the trueskill package."""
    first, second = (ENVIRONMENT.create_rating(*rating) for rating in (one, other))
    drift = ENVIRONMENT.tau**2
    spread = np.sqrt(first.sigma**2 + second.sigma**2 + 2 * drift + 2 * ENVIRONMENT.beta**2)
    normal = ENVIRONMENT.cdf
    margin = trueskill.calc_draw_margin(ENVIRONMENT.draw_probability, 2, ENVIRONMENT)
    win = normal((first.mu - second.mu - margin) / spread)
    loss = normal((second.mu - first.mu - margin) / spread)
    before = first.sigma**2 + second.sigma**2 + 2 * drift
    after = 0.0
    for chance, ranks in ((win, [0, 1]), (loss, [1, 0]), (1 - win - loss, [0, 0])):
        (a,), (b,) = ENVIRONMENT.rate([(first,), (second,)], ranks)
        after += chance * (a.sigma**2 + b.sigma**2)
    return before - after


@pytest.mark.parametrize(
    ("one", "other"),
    [((25, 25 / 3), (25, 25 / 3)), ((30, 2), (20, 3)), ((20, 3), (30, 2)), ((25, 1), (25, 8))],
)
def test_the_gain_is_the_packages(one: tuple[float, float], other: tuple[float, float]) -> None:
    mu, variance = np.array([one, other]).T
    drops = TRUESKILL.expected_drops(mu, variance**2, np.array([0]), np.array([1]))
    assert drops[0][0] + drops[1][0] == pytest.approx(by_package(one, other), abs=1e-9)


def board(tasks: int, agents: int, seeds: int) -> Board:
    """A board on which every agent has every episode, named TASK/AGENT/SEED."""
    shape = tasks, agents, seeds
    ids = ["/".join(map(str, index)) for index in np.ndindex(shape)]
    return Board(
        episodes=np.arange(len(ids)).reshape(shape),
        ids=ids,
        place={name: tuple(map(int, name.split("/"))) for name in ids},  # type: ignore[misc]
        mu=np.full((tasks, agents), ENVIRONMENT.mu),
        variance=np.full((tasks, agents), ENVIRONMENT.sigma**2),
        shown=np.zeros((tasks, agents, agents, seeds), np.int32),
    )


def test_the_uncertain_and_close_come_first() -> None:
    table = board(1, 4, 2)
    table.variance[0] = [1.0, 1.0, 60.0, 60.0]
    rng = random.Random(0)
    chosen = table.choose("r", (), (), rng)
    assert chosen is not None and {name.split("/")[1] for name in chosen} == {"2", "3"}
    table.variance[0] = 30.0
    table.mu[0] = [10, 25, 25.5, 45]
    chosen = table.choose("r", (), (), rng)
    assert chosen is not None and {name.split("/")[1] for name in chosen} == {"1", "2"}


def test_one_rater_is_spread_over_tasks_agents_and_seeds_and_sees_no_pair_twice() -> None:
    table = board(2, 4, 3)
    rng = random.Random(0)
    seen: list[tuple[str, str]] = []
    while pair := table.choose("r", (), (), rng):
        seen.append(pair)
        table.add(*pair, rng.choice(["left", "right", "draw", "skip"]), "r")
        if len(seen) == 12:
            assert set(Counter(pair[0].split("/")[0] for pair in seen)) == {"0", "1"}
            assert set(Counter(pair[0].split("/")[2] for pair in seen)) == {"0", "1", "2"}
    assert len({frozenset(pair) for pair in seen}) == len(seen) == 2 * 6 * 3
    assert all(one.split("/")[::2] == other.split("/")[::2] for one, other in seen)


def test_seeds_are_judged_evenly() -> None:
    table = board(1, 3, 5)
    rng = random.Random(0)
    for number in range(45):
        pair = table.choose(f"rater {number}", (), (), rng)
        assert pair is not None
        table.add(*pair, rng.choice(["left", "right", "draw"]), f"rater {number}")
    counts = table.shown[0].sum((0, 1)) // 2
    assert counts.sum() == 45 and counts.max() - counts.min() <= 2


def test_raters_at_once_go_to_different_pairs() -> None:
    table = board(1, 4, 2)
    rng = random.Random(0)
    reserved: list[tuple[str, str]] = []
    for number in range(12):
        pair = table.choose(f"rater {number}", (), reserved, rng)
        assert pair is not None
        reserved.append(pair)
    assert len({frozenset(pair) for pair in reserved}) == 12
    # All are reserved: the next rater is not turned away.
    assert table.choose("one more", (), reserved, rng) is not None


def test_overlap_prefers_what_somebody_else_has_judged() -> None:
    table = board(1, 6, 4)
    table.add("0/1/2", "0/4/2", "left", "first")
    chosen = table.choose("second", (), (), random.Random(0), overlap=True)
    assert set(chosen or ()) == {"0/1/2", "0/4/2"}
    chosen = table.choose("first", (), (), random.Random(0), overlap=True)
    assert chosen is not None and set(chosen) != {"0/1/2", "0/4/2"}


def test_the_board_follows_answers_bans_and_what_is_taken_back(
    store: Store, full_study: StudyInfo
) -> None:
    admin = command_line_admin()
    alice, bob = register_rater(store, "alice"), register_rater(store, "bob")

    def shown() -> int:
        with store.read() as session:
            return int(board_of(store, session, full_study.id).shown.sum()) // 2

    def judge(rater: str) -> None:
        pair = next_pair(store, full_study, rater)
        assert pair is not None
        answer_pair(store, pair.assignment_id, rater, "left")

    judge(alice), judge(alice), judge(bob)
    assert shown() == 3
    undo_last(store, full_study, alice)
    assert shown() == 2
    ban(store, full_study, admin, bob, "test")
    assert shown() == 1
    unban(store, full_study, admin, bob, "test")
    assert shown() == 2
    change_settings(store, full_study, admin, overlap_share=1.0)
    judge(alice)
    assert shown() == 3


def judged_at_random(count: int, agents: int) -> list[_Judged]:
    rng = random.Random(1)
    found = []
    for number in range(count):
        left, right = rng.sample(range(agents), 2)
        seed, winner = rng.randrange(2), rng.choice(["left", "right", "draw", "both_bad", "skip"])
        found.append(
            _Judged(str(number), f"0/{left}/{seed}", f"0/{right}/{seed}", winner, f"r{number % 5}")
        )
    return found


def assert_same(one: Board, other: Board) -> None:
    for name in ("mu", "variance", "shown"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    assert one.seen == other.seen


def test_judgments_at_once_and_one_by_one_give_the_same_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matchmaking, "_STEP", 16)
    judged = judged_at_random(100, 5)
    at_once, one_by_one = board(1, 5, 2), board(1, 5, 2)
    at_once.add_all(judged)
    for one in judged:
        one_by_one.add(*one[1:])
    assert_same(at_once, one_by_one)


@pytest.mark.parametrize("gone", [[99], [16, 17, 40], [*range(0, 100, 5)], [*range(100)]])
def test_a_board_is_as_if_what_was_taken_back_had_never_been_judged(
    monkeypatch: pytest.MonkeyPatch, gone: list[int]
) -> None:
    monkeypatch.setattr(matchmaking, "_STEP", 16)
    judged = judged_at_random(120, 5)
    followed, never = board(1, 5, 2), board(1, 5, 2)
    followed.add_all(judged[:100])
    followed.remove_all([judged[at] for at in gone])
    followed.add_all(judged[100:])
    never.add_all([one for at, one in enumerate(judged) if at not in gone])
    followed.seen = {rater: places for rater, places in followed.seen.items() if places}
    for places in (*never.seen.values(), *followed.seen.values()):
        places.sort()
    assert_same(followed, never)


def test_a_judgment_that_becomes_visible_late_is_counted(
    store: Store, full_study: StudyInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL a lower number may be committed after a higher one."""
    rater = register_rater(store, "alice")
    pair = next_pair(store, full_study, rater)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "left")
    with store.read() as session:
        behind = board_of(store, session, full_study.id)
        behind.read.judgments = 0  # as if it had not been there
        behind.shown[...] = 0
        monkeypatch.setattr(matchmaking, "COUNT_EVERY_S", -1.0)
        assert board_of(store, session, full_study.id).shown.sum() == 2


def test_no_rater_gets_a_pair_again_whose_judgment_the_board_has_not_seen(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "alice")
    given = set()
    while pair := next_pair(store, full_study, rater):
        given.add(pair.assignment_id)
        answer_pair(store, pair.assignment_id, rater, "left")
        with store.read() as session:
            board = board_of(store, session, full_study.id)
        board.seen.clear()  # as if it had become visible late
        assert len(given) <= 6
    assert len(given) == 6
