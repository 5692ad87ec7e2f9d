"""Which pair to judge next: the one from which most is to be learned.

For each two agents of a task the **expected information gain** is the expected drop of the sum of both
variances, over the outcomes (win, loss, draw) that TrueSkill expects; the original benchmark scheduled by
the same measure, without draws. Pairs that are reserved count as judged already, by their expected drop,
so raters at work at once are sent to different places. Of the seeds that the chosen two have in common the
least judged is taken. All of it in NumPy over all pairs at once.
"""

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from leaderboard.ratings.trueskill import ENVIRONMENT
from leaderboard.ratings.vector_trueskill import DRAW_MARGIN, cdf, update
from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Judgment
from leaderboard.studies.events import banned_raters, withdrawn_answers

Floats = NDArray[np.float64]

RATED = ("human", "bedd")
"""Sources whose judgments say what is known already: people's."""

_TIE = 1e-9


def expected_drops(
    mu: Floats, variance: Floats, one: NDArray, other: NDArray
) -> tuple[Floats, Floats]:
    """By how much a comparison of two agents is expected to lower each one's variance.

    Args:
        mu, variance: (agents,) float64, present ratings.
        one, other: (pairs,) int, indices of the agents.

    Returns:
        Expected drop of ``one``'s and of ``other``'s variance, each (pairs,) float64. TrueSkill's drift
        (tau) is in neither of them: it is the same for all pairs.
    """
    drift = ENVIRONMENT.tau**2
    m1, v1, m2, v2 = mu[one], variance[one], mu[other], variance[other]
    spread = np.sqrt(v1 + v2 + 2 * drift + 2 * ENVIRONMENT.beta**2)
    first_wins = cdf((m1 - m2 - DRAW_MARGIN) / spread)
    second_wins = cdf((m2 - m1 - DRAW_MARGIN) / spread)
    drop_one, drop_other = np.zeros(len(m1)), np.zeros(len(m1))
    no, yes = np.zeros(len(m1), bool), np.ones(len(m1), bool)
    outcomes = (
        (first_wins, False, no),
        (second_wins, True, no),
        (np.clip(1 - first_wins - second_wins, 0, 1), False, yes),
    )
    for chance, swapped, drawn in outcomes:
        if swapped:
            _, after_other, _, after_one = update(m2, v2, m1, v1, drawn)
        else:
            _, after_one, _, after_other = update(m1, v1, m2, v2, drawn)
        drop_one += chance * (v1 + drift - after_one)
        drop_other += chance * (v2 + drift - after_other)
    return drop_one, drop_other


@dataclass
class Board:
    """What is known of a study for matchmaking, kept up to date between requests.

    Attributes:
        episodes: (tasks, agents, seeds) int, position in ``ids``, -1 where an agent has no episode.
        ids: the episodes' ids.
        place: by episode's id: task, agent, seed as indices.
        mu, variance: (tasks, agents) float64, ratings by people's judgments.
        shown: (tasks, agents, agents, seeds) int, how often a pair was judged or skipped; symmetric.
        seen: by rater, what they have judged or skipped: (task, agent, agent, seed).
        judgments: how many went into it, and the highest number.
        stamp: what made it: another one means that it must be made anew.
    """

    episodes: NDArray[np.int64]
    ids: list[str]
    place: dict[str, tuple[int, int, int]]
    mu: Floats
    variance: Floats
    shown: NDArray[np.int32]
    seen: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    judgments: tuple[int, int] = (0, 0)
    stamp: tuple[object, ...] = ()

    def add(self, left: str, right: str, winner: str, rater: str | None) -> None:
        """Take in one judgment."""
        if left not in self.place or right not in self.place:
            return
        (task, one, seed), (_, other, _) = self.place[left], self.place[right]
        self.shown[task, one, other, seed] += 1
        self.shown[task, other, one, seed] += 1
        if rater is not None:
            self.seen.setdefault(rater, []).append((task, one, other, seed))
        if winner in ("left", "right", "draw"):
            first, second = (other, one) if winner == "right" else (one, other)
            index = np.array([first]), np.array([second])
            mu, variance = self.mu[task], self.variance[task]
            mu[index[0]], variance[index[0]], mu[index[1]], variance[index[1]] = update(
                mu[index[0]], variance[index[0]], mu[index[1]], variance[index[1]],
                np.array([winner == "draw"]),
            )  # fmt: skip

    def choose(
        self,
        rater: str,
        seen: Iterable[tuple[str, str]],
        reserved: Iterable[tuple[str, str]],
        rng: random.Random,
        *,
        overlap: bool = False,
    ) -> tuple[str, str] | None:
        """Ids of the two episodes from which most is to be learned by asking this rater.

        Args:
            rater: the rater's id; never a pair this rater has judged or skipped.
            seen: further pairs that the rater has seen, by episodes' ids.
            reserved: pairs that others have before them, avoided while there are other ones.
            rng: decides between equals.
            overlap: prefer pairs that somebody else has judged, so that agreement can be measured.
        """
        tasks, agents, _ = self.episodes.shape
        there = self.episodes >= 0
        free = there[:, :, None, :] & there[:, None, :, :]
        free &= np.triu(np.ones((agents, agents), bool), 1)[None, :, :, None]
        asked = np.zeros((tasks, agents, agents))
        for task, one, other, seed in self.seen.get(rater, ()):
            free[task, min(one, other), max(one, other), seed] = False
            asked[task, min(one, other), max(one, other)] += 1
        for pair in self._places(seen):
            free[pair] = False
        if not free.any():
            return None
        pending = list(self._places(reserved))
        unreserved = free.copy()
        for pair in pending:
            unreserved[pair] = False
        free = unreserved if unreserved.any() else free
        if overlap and (shared := free & (self.shown == 1)).any():
            free = shared
        variance = self._as_if_judged(pending)
        task_of, ones, others = np.nonzero(free.any(-1))
        gain = np.empty(len(task_of))
        for index in range(tasks):
            mine = task_of == index
            drops = expected_drops(self.mu[index], variance[index], ones[mine], others[mine])
            gain[mine] = drops[0] + drops[1]
        # A rater who has judged two agents often is sent to others: no one's taste decides a pair alone.
        gain /= 1 + asked[task_of, ones, others]
        best = rng.choice(np.flatnonzero(gain >= gain.max() * (1 - _TIE)).tolist())
        task, first, second = int(task_of[best]), int(ones[best]), int(others[best])
        shown = self.shown[task, first, second].astype(np.float64)
        for pair in pending:
            if pair[:3] == (task, first, second):
                shown[pair[3]] += 1
        # Least judged for these two, then for all agents of the task.
        total = self.shown[task].sum((0, 1))
        cost = np.where(free[task, first, second], shown * (1 + total.max()) + total, np.inf)
        seed = rng.choice(np.flatnonzero(cost == cost.min()).tolist())
        return (
            self.ids[self.episodes[task, first, seed]],
            self.ids[self.episodes[task, second, seed]],
        )

    def _places(self, pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[int, int, int, int]]:
        for left, right in pairs:
            if left in self.place and right in self.place and left != right:
                (task, one, seed), (_, other, _) = self.place[left], self.place[right]
                yield task, min(one, other), max(one, other), seed

    def _as_if_judged(self, pending: Iterable[tuple[int, int, int, int]]) -> Floats:
        """Variances as they are expected to be once the reserved pairs are answered."""
        variance = self.variance.copy()
        for task, one, other, _ in pending:
            drops = expected_drops(
                self.mu[task], variance[task], np.array([one]), np.array([other])
            )
            variance[task, one] -= drops[0][0]
            variance[task, other] -= drops[1][0]
        return variance


_boards: WeakKeyDictionary[Store, dict[str, Board]] = WeakKeyDictionary()
_loading = threading.Lock()


def board_of(store: Store, session: Session, study_id: str) -> Board:
    """The study's board, brought up to date within a transaction that has locked the study."""
    with _loading:
        boards = _boards.setdefault(store, {})
        stamp = _stamp(session, study_id)
        board = boards.get(study_id)
        if board is None or board.stamp != stamp:
            board = boards[study_id] = _empty(session, study_id, stamp)
        count = _count(session, study_id)
        if not _catch_up(session, study_id, board, count):
            # On PostgreSQL a lower number can become visible later than a higher one.
            board = boards[study_id] = _empty(session, study_id, stamp)
            _catch_up(session, study_id, board, count)
        return board


def _stamp(session: Session, study_id: str) -> tuple[object, ...]:
    """Changes with the study's episodes, bans and withdrawals."""
    episodes = session.execute(
        sa.select(sa.func.count(), sa.func.sum(Episode.steps)).where(Episode.study_id == study_id)
    ).one()
    banned = frozenset(banned_raters(session, study_id))
    return (*episodes, banned, len(withdrawn_answers(session, study_id)))


def _count(session: Session, study_id: str) -> int:
    return (
        session.scalar(
            sa.select(sa.func.count())
            .select_from(Judgment)
            .where(Judgment.study_id == study_id, Judgment.source.in_(RATED))
        )
        or 0
    )


def _catch_up(session: Session, study_id: str, board: Board, count: int) -> bool:
    """Take in what was judged since; whether the board then holds as many judgments as the study."""
    known, last = board.judgments
    if known == count:
        return True
    banned, gone = banned_raters(session, study_id), withdrawn_answers(session, study_id)
    rows = session.execute(
        sa.select(
            Judgment.number,
            Judgment.id,
            Judgment.left_episode_id,
            Judgment.right_episode_id,
            Judgment.winner,
            Judgment.rater_id,
        )
        .where(Judgment.study_id == study_id, Judgment.source.in_(RATED), Judgment.number > last)
        .order_by(Judgment.number)
    ).all()
    for number, judgment, left, right, winner, rater in rows:
        if rater not in banned and judgment not in gone:
            board.add(left, right, winner, rater)
        last = number
    board.judgments = (known + len(rows), last)
    return board.judgments[0] == count


def _empty(session: Session, study_id: str, stamp: tuple[object, ...]) -> Board:
    rows = session.execute(
        sa.select(Episode.id, Episode.task, Episode.agent_id, Episode.seed)
        # Episodes of the published evaluation have no video unless it was imported too.
        .where(Episode.study_id == study_id, Episode.steps > 0)
        .order_by(Episode.task, Episode.agent_id, Episode.seed)
    ).all()
    tasks, agents, seeds = (
        {name: number for number, name in enumerate(sorted({row[column] for row in rows}))}
        for column in (1, 2, 3)
    )
    shape = len(tasks), len(agents), len(seeds)
    episodes = np.full(shape, -1, np.int64)
    place = {}
    for number, (episode, task, agent, seed) in enumerate(rows):
        place[episode] = tasks[task], agents[agent], seeds[seed]
        episodes[place[episode]] = number
    return Board(
        episodes=episodes,
        ids=[row[0] for row in rows],
        place=place,
        mu=np.full(shape[:2], ENVIRONMENT.mu),
        variance=np.full(shape[:2], ENVIRONMENT.sigma**2),
        shown=np.zeros((shape[0], shape[1], shape[1], shape[2]), np.int32),
        stamp=stamp,
    )
