"""Teachers after B-Pref (Lee et al. 2021, arXiv 2111.03026), without the bugs of its code.

Differences between scores are measured in units of their spread over random pairs, so that a teacher errs as often
whatever the scores' scale. B-Pref scales by a policy's return, which drifts while it learns, and by the error rate
twice from the second session on.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from basalt.core.comparisons import Winner
from basalt.core.settings import Positive, settings
from basalt.io.errors import ConfigError

Chance = Annotated[float, Field(ge=0, le=1)]

MAX_LOGIT = 50.0
"""Bound of a logit: `exp` neither overflows nor does the answer change."""


@settings
class Teacher:
    """How a synthetic teacher answers; without settings it always names the better clip, and a draw for equal ones.

    The steps in their order: skip, draw, discount, choice, flip.

    Attributes:
        beta: Rationality: chance to choose left is 1 / (1 + exp(-beta * difference / spread)). null never errs.
        discount: Weight of a step in units of the next one's; below 1 the teacher forgets how the clip began.
        flip: Chance to answer the opposite.
        tie: Size of a difference, in units of the spread, below which clips are equally good.
        skip_below: Score that one clip has to exceed, in units of the spread, or the pair is skipped. null skips none.
        skip: Chance to skip a pair for no reason.
    """

    beta: Positive | None = None
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    flip: Chance = 0.0
    tie: Annotated[float, Field(ge=0)] = 0.0
    skip_below: float | None = None
    skip: Chance = 0.0

    def answer(
        self,
        left: Sequence[ArrayLike],
        right: Sequence[ArrayLike],
        spread: float,
        rng: np.random.Generator,
    ) -> list[Winner]:
        """Answer pairs of clips.

        Every pair takes the same number of random numbers, so equal seeds give equal errors.

        Args:
            left: What each left clip scores at each of its steps, float [steps].
            right: The same for the right clips.
            spread: Spread of the differences over random pairs, see `difference_spread`.
            rng: Source of the errors.
        """
        pairs = list(zip(map(_array, left), map(_array, right), strict=True))
        skipped, chosen, flipped = rng.random((len(pairs), 3)).T
        answers: list[Winner] = []
        for n, (a, b) in enumerate(pairs):
            best = max(a.sum(), b.sum()) / spread
            difference = (self._score(a) - self._score(b)) / spread
            if skipped[n] < self.skip or (self.skip_below is not None and best <= self.skip_below):
                answers.append("skip")
            elif abs(a.sum() - b.sum()) / spread < self.tie or (
                self.beta is None and difference == 0
            ):
                answers.append("draw")
            else:
                is_left = chosen[n] < self._chance(difference)
                answers.append("left" if is_left != (flipped[n] < self.flip) else "right")
        return answers

    def _score(self, changes: NDArray[np.float64]) -> float:
        weights = self.discount ** np.arange(len(changes) - 1, -1, -1)
        return float(weights @ changes)

    def _chance(self, difference: float) -> float:
        if self.beta is None:
            return float(difference > 0)
        logit = np.clip(self.beta * difference, -MAX_LOGIT, MAX_LOGIT)
        return float(1 / (1 + np.exp(-logit)))


TEACHERS: dict[str, Teacher] = {
    "oracle": Teacher(),
    "mistake": Teacher(flip=0.1),
    "noisy": Teacher(beta=1.0),
    "equal": Teacher(tie=0.2),
    "skip": Teacher(skip_below=0.0),
    "myopic": Teacher(discount=0.9),
    "mixed": Teacher(beta=3.0, tie=0.2, flip=0.05, skip=0.05),
}
"""Teachers by name: B-Pref's six, each with one error, and one with about as many errors of all kinds as people."""


def difference_spread(left: ArrayLike, right: ArrayLike) -> float:
    """Standard deviation of the difference of scores over random pairs: the unit of a teacher's errors.

    Args:
        left: Score of each left clip.
        right: Score of each right clip.

    Raises:
        ConfigError: All differences are equal, so no answer means anything.
    """
    spread = float(np.std(_array(left) - _array(right)))
    if not spread > 0:
        raise ConfigError(
            "expected clips of different scores, got pairs of equal ones only; use more or other recordings"
        )
    return spread


def _array(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
