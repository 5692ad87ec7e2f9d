"""Matchmaking: the next pair to judge is the one with the largest expected information gain.

For two agents of a task the **expected information gain** is the expected drop of the sum of their
variances, over the outcomes (win, loss, draw) that the rating model expects; the original benchmark
scheduled by the same measure, without draws. Reserved pairs count as judged, by their expected drop, so
raters who work at the same time get different pairs. Of the seeds that the chosen agents share, the least
judged is taken. Everything is computed in NumPy over all pairs at once.
"""

import random
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from leaderboard.ratings.models import Booleans, Floats, Integers, OnlineRatingModel
from leaderboard.ratings.trueskill import TRUESKILL
from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Event, Judgment, count
from leaderboard.studies.events import banned_raters, withdrawn_answers

RATED = ("human", "bedd")
"""Sources of judgments that matchmaking counts: people."""

COUNT_EVERY_S = 60.0
"""Seconds after which a board's judgments are counted against the study's, which takes as long as there are many."""

_JUDGED = (
    Judgment.id,
    Judgment.left_episode_id,
    Judgment.right_episode_id,
    Judgment.winner,
    Judgment.rater_id,
)

_STEP = 1024
"""Judgments between two copies of the ratings."""

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
        played: Judgments that the ratings are made of.
        read: State of the study's judgments and events when they were last read.
        stamp: State of the study's episodes that the board was made for; if it changes, the board is made again.
        model: Model of the ratings.
    """

    episodes: NDArray[np.int64]
    ids: list[str]
    place: dict[str, tuple[int, int, int]]
    mu: Floats
    variance: Floats
    shown: NDArray[np.int32]
    seen: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    played: "_Played" = field(default_factory=lambda: _Played([], [], [], []))
    read: "_Read" = field(default_factory=lambda: _Read())
    stamp: tuple[object, ...] = ()
    model: OnlineRatingModel = TRUESKILL

    def add(self, left: str, right: str, winner: str, rater: str | None) -> None:
        """Count one judgment."""
        self.add_all([_Judged("", left, right, winner, rater)])

    def add_all(self, judged: Iterable["_Judged"]) -> None:
        """Count judgments, in order of time."""
        for one, place in self._placed(judged):
            if one.rater is not None:
                self.seen.setdefault(one.rater, []).append(place)
            if one.winner == "skip":  # nothing was learned about the pair: others are to see it
                continue
            self._show(place, 1)
            if one.winner in ("left", "right", "draw"):
                task, left, right, _ = place
                first, second = (right, left) if one.winner == "right" else (left, right)
                base = task * self.mu.shape[1]
                self.played.append(one.id, base + first, base + second, one.winner == "draw")
        self._play()

    def remove_all(self, judged: Iterable["_Judged"]) -> None:
        """Take back judgments that were counted: the board is as if they had never been made."""
        gone = set()
        for one, place in self._placed(judged):
            own = self.seen.get(one.rater or "", [])
            if place in own:
                own.remove(place)
            if one.winner != "skip":
                self._show(place, -1)
            gone.add(one.id)
        if (states := self.played.remove(gone)) is not None:
            self.mu[...], self.variance[...] = states
            self._play()

    def _placed(
        self, judged: Iterable["_Judged"]
    ) -> Iterator[tuple["_Judged", tuple[int, int, int, int]]]:
        """Judgments of the board's episodes, with their task, agents and seed."""
        for one in judged:
            if one.left in self.place and one.right in self.place:
                (task, left, seed), (_, right, _) = self.place[one.left], self.place[one.right]
                yield one, (task, left, right, seed)

    def _show(self, place: tuple[int, int, int, int], times: int) -> None:
        task, left, right, seed = place
        self.shown[task, left, right, seed] += times
        self.shown[task, right, left, seed] += times

    def _play(self) -> None:
        """Update the ratings by what was added since the last time."""
        mu, variance = self.mu.reshape(-1), self.variance.reshape(-1)  # views
        while (block := self.played.next_block(self.mu, self.variance)) is not None:
            self.model.play(mu, variance, *block)

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


class _Judged(NamedTuple):
    """A judgment: its id, the episodes, the answer, and the rater's id."""

    id: str
    left: str
    right: str
    winner: str
    rater: str | None


@dataclass
class _Played:
    """Judgments that ratings are made of, in order, with the ratings before every `_STEP`th of them.

    Ratings depend on the order, so to take one back all after it are played again, from the state before it.

    Attributes:
        ids: Ids of the judgments.
        pairs: Positions of winner and loser among all ratings.
        drawn: Whether each was a draw.
        before: Copies of values and variances before the judgments 0, `_STEP`, 2 `_STEP`, ...
        done: Number of judgments that the ratings include.
    """

    ids: list[str]
    pairs: list[tuple[int, int]]
    drawn: list[bool]
    before: list[tuple[Floats, Floats]]
    done: int = 0

    def append(self, judgment: str, first: int, second: int, drawn: bool) -> None:
        self.ids.append(judgment)
        self.pairs.append((first, second))
        self.drawn.append(drawn)

    def next_block(self, mu: Floats, variance: Floats) -> tuple[Integers, Booleans] | None:
        """Pairs and draws to be played next, at most up to the next copy; None if there are none."""
        start, stop = self.done, min(len(self.ids), (self.done // _STEP + 1) * _STEP)
        if start == stop:
            return None
        if start % _STEP == 0:
            self.before.append((mu.copy(), variance.copy()))
        self.done = stop
        return np.array(self.pairs[start:stop]), np.array(self.drawn[start:stop])

    def remove(self, gone: Collection[str]) -> tuple[Floats, Floats] | None:
        """Leave out judgments; the values and variances to continue from, None if none of them was here."""
        at = [number for number, one in enumerate(self.ids) if one in gone]
        if not at:
            return None
        for number in reversed(at):
            del self.ids[number], self.pairs[number], self.drawn[number]
        block = at[0] // _STEP
        states = self.before[block]
        del self.before[block:]
        self.done = block * _STEP
        return states


@dataclass
class _Read:
    """How much of a study a board has read.

    Attributes:
        last: Highest number of a judgment.
        judgments: Number of judgments.
        events: Number of bans, of their ends, and of withdrawn answers.
        banned: Raters who are banned.
        gone: Judgments that were withdrawn.
        counted: When the judgments were last counted, by `time.monotonic`.
    """

    last: int = 0
    judgments: int = 0
    events: int = 0
    banned: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    counted: float = 0.0


_boards: WeakKeyDictionary[Store, dict[str, Board]] = WeakKeyDictionary()
_loading = threading.Lock()


def prepare_board(store: Store, study_id: str) -> None:
    """Make a study's board if this process has none, before a transaction that keeps others waiting."""
    if study_id not in _boards.get(store, {}):
        with store.read() as session:
            board_of(store, session, study_id)


def board_of(store: Store, session: Session, study_id: str) -> Board:
    """The board of a study, brought up to date."""
    with _loading:
        boards = _boards.setdefault(store, {})
        stamp, events = _state(session, study_id)
        board = boards.get(study_id)
        if board is None or board.stamp != stamp or not _catch_up(session, study_id, board, events):
            board = boards[study_id] = _empty(session, study_id, stamp)
            _catch_up(session, study_id, board, events)
        return board


def _state(session: Session, study_id: str) -> tuple[tuple[object, ...], int]:
    """State of the study's episodes, and the number of its bans, of their ends, and of withdrawn answers."""
    events = (
        sa.select(sa.func.count())
        .where(Event.study_id == study_id, Event.kind.in_(("ban", "unban", "withdraw")))
        .scalar_subquery()
    )
    *stamp, number = session.execute(
        sa.select(sa.func.count(), sa.func.sum(Episode.steps), events).where(
            Episode.study_id == study_id
        )
    ).one()
    return tuple(stamp), number


def _catch_up(session: Session, study_id: str, board: Board, events: int) -> bool:
    """Count what is new, with the number of events of `_state`; return whether the board need not be made again."""
    read = board.read
    rated = (Judgment.study_id == study_id, Judgment.source.in_(RATED))
    if events != read.events:
        banned, gone = banned_raters(session, study_id), withdrawn_answers(session, study_id)
        if read.banned - banned:
            return False
        if read.last:
            board.remove_all(_newly_out(session, rated, read, banned, gone))
        read.events, read.banned, read.gone = events, banned, gone
    judged = None
    if read.last and time.monotonic() - read.counted > COUNT_EVERY_S:
        judged = count(session, *rated)
    rows = session.execute(
        sa.select(Judgment.number, *_JUDGED)
        .where(*rated, Judgment.number > read.last)
        .order_by(Judgment.number)
    ).all()
    found = (_Judged(*row[1:]) for row in rows)
    board.add_all(one for one in found if one.rater not in read.banned and one.id not in read.gone)
    if judged is not None or not read.last:
        read.counted = time.monotonic()
    read.judgments += len(rows)
    read.last = rows[-1][0] if rows else read.last
    # On PostgreSQL a lower number can become visible later than a higher one.
    return judged is None or read.judgments >= judged


def _newly_out(
    session: Session, rated: Sequence[Any], read: _Read, banned: set[str], gone: set[str]
) -> list[_Judged]:
    """Judgments that were read and count no more."""
    out = []
    for column, new in ((Judgment.rater_id, banned - read.banned), (Judgment.id, gone - read.gone)):
        for some in [[*new][at : at + 500] for at in range(0, len(new), 500)]:
            rows = session.execute(
                sa.select(*_JUDGED).where(*rated, Judgment.number <= read.last, column.in_(some))
            )
            out += [_Judged(*row) for row in rows]
    return [
        one
        for one in {one.id: one for one in out}.values()
        if one.id not in read.gone and one.rater not in read.banned
    ]


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
