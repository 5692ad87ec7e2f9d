"""Matchmaking: the next pair to judge is the one with the largest expected information gain.

For two agents of a task the **expected information gain** is the expected drop of the sum of their
variances, over the outcomes (win, loss, draw) that the rating model expects; the original benchmark
scheduled by the same measure, without draws. Reserved pairs count as judged, by their expected drop, so
raters who work at the same time get different pairs. Of the seeds that the chosen agents share, the least
judged is taken. Everything is computed in NumPy over all pairs at once.
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

from leaderboard.ratings.models import Floats, OnlineRatingModel
from leaderboard.ratings.trueskill import TRUESKILL
from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Judgment, count
from leaderboard.studies.events import banned_raters, withdrawn_answers

RATED = ("human", "bedd")
"""Sources of judgments that matchmaking counts: people."""

_TIE = 1e-9


@dataclass
class Board:
    """State of a study for matchmaking, kept up to date between requests.

    Attributes:
        episodes: Positions of the episodes in `ids`, int (tasks, agents, seeds); -1 where an agent has no
            episode.
        ids: Ids of the episodes.
        place: Indices of task, agent and seed by episode id.
        mu: Ratings by people's judgments, float64 (tasks, agents).
        variance: Variances of the same ratings, float64 (tasks, agents).
        shown: Number of times that each pair was judged, int (tasks, agents, agents, seeds); symmetric in the
            agents.
        seen: Pairs that each rater has judged or skipped, as indices (task, agent, agent, seed).
        judgments: Number of judgments counted, and the highest number of a judgment among them.
        stamp: State of the study that the board was made from; if it changes, the board is made again.
        model: Model of the ratings.
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
    model: OnlineRatingModel = TRUESKILL

    def add(self, left: str, right: str, winner: str, rater: str | None) -> None:
        """Count one judgment."""
        if left not in self.place or right not in self.place:
            return
        (task, one, seed), (_, other, _) = self.place[left], self.place[right]
        if rater is not None:
            self.seen.setdefault(rater, []).append((task, one, other, seed))
        if winner == "skip":  # nothing was learned about the pair: others are to see it
            return
        self.shown[task, one, other, seed] += 1
        self.shown[task, other, one, seed] += 1
        if winner in ("left", "right", "draw"):
            first, second = (other, one) if winner == "right" else (one, other)
            both = [first, second]
            mu, variance = self.mu[task, both, None], self.variance[task, both, None]
            drawn = np.array([winner == "draw"])
            mu[0], variance[0], mu[1], variance[1] = self.model.update(
                mu[0], variance[0], mu[1], variance[1], drawn
            )
            self.mu[task, both], self.variance[task, both] = mu[:, 0], variance[:, 0]

    def choose(
        self,
        rater: str,
        seen: Iterable[tuple[str, str]],
        reserved: Iterable[tuple[str, str]],
        rng: random.Random,
        *,
        overlap: bool = False,
    ) -> tuple[str, str] | None:
        """Ids of the two episodes that this rater should compare; None if no pair is left.

        Args:
            rater: Id of the rater; pairs that this rater has judged or skipped are not chosen.
            seen: Further pairs that the rater has seen, by episode ids.
            reserved: Pairs being judged by others, avoided while there are other pairs.
            rng: Random numbers that break ties.
            overlap: Whether to prefer pairs that one other rater has judged, to measure agreement.
        """
        tasks, agents, _ = self.episodes.shape
        exists = self.episodes >= 0
        free = exists[:, :, None, :] & exists[:, None, :, :]
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
            drops = self.model.expected_drops(
                self.mu[index], variance[index], ones[mine], others[mine]
            )
            gain[mine] = drops[0] + drops[1]
        # A rater who has judged two agents often gets others, so that no single rater decides a pair.
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
        """Variances that are expected once the reserved pairs are answered."""
        variance = self.variance.copy()
        for task, one, other, _ in pending:
            drops = self.model.expected_drops(
                self.mu[task], variance[task], np.array([one]), np.array([other])
            )
            variance[task, one] -= drops[0][0]
            variance[task, other] -= drops[1][0]
        return variance


_boards: WeakKeyDictionary[Store, dict[str, Board]] = WeakKeyDictionary()
_loading = threading.Lock()


def board_of(store: Store, session: Session, study_id: str) -> Board:
    """The board of a study, brought up to date within a transaction that has locked the study."""
    with _loading:
        boards = _boards.setdefault(store, {})
        stamp = _stamp(session, study_id)
        board = boards.get(study_id)
        if board is None or board.stamp != stamp:
            board = boards[study_id] = _empty(session, study_id, stamp)
        judged = count(session, Judgment.study_id == study_id, Judgment.source.in_(RATED))
        if not _catch_up(session, study_id, board, judged):
            # On PostgreSQL a lower number can become visible later than a higher one.
            board = boards[study_id] = _empty(session, study_id, stamp)
            _catch_up(session, study_id, board, judged)
        return board


def _stamp(session: Session, study_id: str) -> tuple[object, ...]:
    """State of the study's episodes, bans and withdrawn answers."""
    episodes = session.execute(
        sa.select(sa.func.count(), sa.func.sum(Episode.steps)).where(Episode.study_id == study_id)
    ).one()
    banned = frozenset(banned_raters(session, study_id))
    return (*episodes, banned, len(withdrawn_answers(session, study_id)))


def _catch_up(session: Session, study_id: str, board: Board, judged: int) -> bool:
    """Count new judgments; return whether the board then has as many as the study."""
    known, last = board.judgments
    if known == judged:
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
    return board.judgments[0] == judged


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
    mu, variance = Board.model.prior(shape[:2])
    return Board(
        episodes=episodes,
        ids=[row[0] for row in rows],
        place=place,
        mu=mu,
        variance=variance,
        shown=np.zeros((shape[0], shape[1], shape[1], shape[2]), np.int32),
        stamp=stamp,
    )
