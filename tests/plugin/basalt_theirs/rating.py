"""A rating model: the share of wins, with a draw as half of one."""

from collections.abc import Sequence

import numpy as np

from basalt.core.comparisons import Comparison
from leaderboard.ratings.models import RatingModel, Ratings


class WinShare(RatingModel):
    """Share of wins of each agent, 0.5 if it was never compared."""

    name = "theirs"

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """Rate agents; see `RatingModel.fit`."""
        index = {name: k for k, name in enumerate(agents)}
        wins, played = np.zeros(len(agents)), np.zeros(len(agents))
        for one in comparisons:
            winner, loser = (index[name] for name in one.winner_loser)
            wins[winner] += 0.5 if one.winner == "draw" else 1
            wins[loser] += 0.5 if one.winner == "draw" else 0
            played[[winner, loser]] += 1
        value = (wins + 1) / (played + 2)
        error = np.sqrt(value * (1 - value) / (played + 3))
        return Ratings(value=value, error=error, score=value)


MODEL = WinShare()
