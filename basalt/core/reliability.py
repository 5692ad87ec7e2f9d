"""How far raters may be believed: agreement with themselves and each other, bias to a side, right answers to gold."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from basalt.core.comparisons import MIRRORED, Comparison, Side
from basalt.core.intervals import rate_interval


@dataclass(frozen=True)
class Proportion:
    """Hits among trials.

    Attributes:
        hits: Number of hits.
        trials: Number of trials.
    """

    hits: int
    trials: int

    @property
    def share(self) -> float | None:
        """Hits by trials; None without trials."""
        return self.hits / self.trials if self.trials else None

    def __str__(self) -> str:
        if not self.trials:
            return "not known"
        low, high = rate_interval(self.hits, self.trials)
        return f"{self.hits / self.trials:.1%} of {self.trials} (95% {low:.1%} to {high:.1%})"


@dataclass(frozen=True)
class Reliability:
    """Reliability of the answers in a file.

    Attributes:
        left: Left among answers that name a side; all or none is a rater who does not look.
        itself: Repeats that a rater answered as the first time, sides considered. Another rater's answer, or one about
            another pair, is not a repeat.
        others: Pairs of answers by two raters to the same pair and question that are the same.
        gold: Right answers to gold pairs.
    """

    left: Proportion
    itself: Proportion
    others: Proportion
    gold: Proportion

    @property
    def ceiling(self) -> float | None:
        """Largest accuracy that a model can reach on these answers, from agreement between raters."""
        return None if self.others.share is None else accuracy_ceiling(self.others.share)


def accuracy_ceiling(agreement: float) -> float | None:
    """Chance that an answer is right if two answers agree with a given chance and err independently.

    With two possible answers: agreement = q^2 + (1 - q)^2, solved for q. Held-out accuracy above it is a leak.

    Args:
        agreement: Share of equal answers.

    Returns:
        q, from 0.5 to 1; None where the answers agree less often than by chance.
    """
    return (1 + math.sqrt(2 * agreement - 1)) / 2 if agreement >= 0.5 else None


def reliability(comparisons: Iterable[Comparison]) -> Reliability:
    """Reliability of answers. Skipped pairs enter nothing but gold, where they are not right."""
    everything = list(comparisons)
    answered = [one for one in everything if one.winner != "skip"]
    first = {one.comparison_id: one for one in answered if not one.is_check}
    sides = [one.winner for one in answered if one.winner in ("left", "right")]
    repeats = [
        same_answer(first[one.pair_of], one)
        for one in answered
        if one.pair_of in first and _repeats(first[one.pair_of], one)
    ]
    gold = [one.winner == one.gold for one in everything if one.gold is not None]
    return Reliability(
        left=Proportion(sides.count("left"), len(sides)),
        itself=Proportion(sum(repeats), len(repeats)),
        others=_between_raters(list(first.values())),
        gold=Proportion(sum(gold), len(gold)),
    )


def same_answer(one: Comparison, other: Comparison) -> bool:
    """Whether two answers to the same pair mean the same, whichever side each clip was on."""
    swapped = (one.left, one.right) == (other.right, other.left) and one.left != one.right
    return one.winner == (MIRRORED[other.winner] if swapped else other.winner)


def _repeats(first: Comparison, again: Comparison) -> bool:
    """Whether the same rater answered the same question about the same pair."""
    return (first.rater, first.question, {first.left, first.right}) == (
        again.rater, again.question, {again.left, again.right}
    )  # fmt: skip


def _between_raters(answers: Sequence[Comparison]) -> Proportion:
    groups: dict[tuple[str, frozenset[Side]], dict[str, Comparison]] = defaultdict(dict)
    for one in answers:
        if one.rater is not None and one.decisive:
            groups[one.question, frozenset((one.left, one.right))].setdefault(one.rater, one)
    same = [
        same_answer(*two) for group in groups.values() for two in combinations(group.values(), 2)
    ]
    return Proportion(sum(same), len(same))
