"""Follow a demonstration until it no longer fits, then search for another (UniTeam 2022; ZIP, arXiv 2401.16398).

Differences from UniTeam: a demonstration is never followed into the next episode, the absolute threshold is in units
of the index's own latents, a player may give up a demonstration after 8 steps instead of 64, and the places of the
last matches are not matched again at once. A player that no longer moves matches only frames from which the
demonstration soon turns away.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.search.index import LatentIndex


@dataclass(frozen=True)
class FollowRule:
    """When a demonstration is given up.

    Attributes:
        longest: Number of steps after which one is given up in any case.
        shortest: Number of steps before which one is not given up because of its distance.
        ratio: It diverges where its distance is this many times that at the match.
        floor: Distance below which it never diverges.
        patience: Number of diverging steps, less those that do not diverge, after which it is given up.
        apart: A frame is not matched again within this many frames of the last matches.
        remembered: Number of last matches.
        candidates: Number of frames that a search ranks on the full latents.
        last: Number of frames at a demonstration's end that are not matched: the demonstrator only waits there.
        turn_within: A player that no longer moves follows demonstrations that turn within this many frames...
        turn_degrees: ... by at least this much.
    """

    longest: int = 128
    shortest: int = 8
    ratio: float = 2.0
    floor: float = 0.0
    patience: int = 8
    apart: int = 64
    remembered: int = 3
    candidates: int = 50
    last: int = 20
    turn_within: int = 20
    turn_degrees: float = 60.0


@dataclass
class Follower:
    """The state of one episode's player.

    Attributes:
        index: Demonstrations.
        rule: When a demonstration is given up.
        frame: Frame of the index whose action is taken now; None before the first search.
        searches: Number of searches in this episode.
    """

    index: LatentIndex
    rule: FollowRule
    frame: int | None = None
    searches: int = 0
    _followed: int = 0
    _diverging: int = 0
    _distance_at_match: float = 0.0
    _matches: "deque[int]" = field(init=False)
    _joined: NDArray[np.bool_] = field(init=False)
    _turning: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        rule, index = self.rule, self.index
        self._matches = deque(maxlen=rule.remembered)
        self._joined = ~index.ends_within(rule.last)
        self._turning = self._joined & index.turns_within(rule.turn_within, rule.turn_degrees)

    def begin(self) -> None:
        """Forget the episode; the next step searches."""
        self.frame, self.searches = None, 0
        self._matches.clear()

    def step(self, latent: NDArray[np.floating[Any]], stuck: bool = False) -> int:
        """The frame of the index whose action to take.

        Args:
            latent: What the player sees, float [width].
            stuck: Whether the player no longer moves; it gives up the demonstration and looks for one that turns away.
        """
        if stuck and self.frame is not None:
            return self._search(latent, turning=True)
        following = None if self.frame is None else self.frame + 1
        if (
            following is None
            or self._followed + 1 >= self.rule.longest
            or following >= self.index.episode_end(following - 1)
            or self._gives_up(latent, following)
        ):
            return self._search(latent)
        self.frame = following
        self._followed += 1
        return following

    def _gives_up(self, latent: NDArray[np.floating[Any]], following: int) -> bool:
        distance = float(self.index.distance(latent, following))
        diverges = distance >= max(self.rule.ratio * self._distance_at_match, self.rule.floor)
        self._diverging = max(0, self._diverging + (1 if diverges else -1))
        return self._followed + 1 >= self.rule.shortest and self._diverging >= self.rule.patience

    def _search(self, latent: NDArray[np.floating[Any]], turning: bool = False) -> int:
        rule = self.rule
        apart = rule.apart
        forbidden = [(match - apart, match + apart + 1) for match in self._matches]
        among = self._turning if turning else self._joined
        frames, distances = self.index.nearest(
            latent, candidates=rule.candidates, forbidden=forbidden, among=among
        )
        if not len(frames):  # fewer demonstrations than may be forbidden, or none that turns
            frames, distances = self.index.nearest(latent, candidates=rule.candidates)
        self.frame, self._distance_at_match = int(frames[0]), float(distances[0])
        self._followed = self._diverging = 0
        self._matches.append(self.frame)
        self.searches += 1
        return self.frame
