"""How many episodes reached each milestone of their task."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from basalt.core.intervals import rate_interval
from basalt.core.scoring import furthest

Reached = Mapping[str, bool | None]
"""Whether an episode reached each milestone, in their order; None if it is not known."""


@dataclass(frozen=True)
class MilestoneShare:
    """Share of the episodes that reached a milestone.

    Attributes:
        name: Name of the milestone.
        reached: Number of episodes that reached it.
        known: Number of episodes of which it is known.
    """

    name: str
    reached: int
    known: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval [low, high]; 0 to 1 if nothing is known."""
        if not self.known:
            return (0.0, 1.0)
        low, high = rate_interval(self.reached, self.known)
        return (low, high)

    def text(self) -> str:
        """The share and its interval, for people."""
        if not self.known:
            return "not known"
        low, high = self.interval
        return f"{self.reached / self.known:.0%} ({low:.0%} to {high:.0%})"


def milestone_shares(episodes: Sequence[Reached]) -> list[MilestoneShare]:
    """The share of each milestone that any episode names, in order.

    Args:
        episodes: Milestones of each episode; one that does not name a milestone does not know it.
    """
    names = list(dict.fromkeys(name for one in episodes for name in one))
    found = {name: [one.get(name) for one in episodes] for name in names}
    return [
        MilestoneShare(name, values.count(True), len(values) - values.count(None))
        for name, values in found.items()
    ]


def milestone_lines(episodes: Sequence[Reached]) -> list[str]:
    """Shares and furthest milestones in words; nothing where no milestone is known."""
    found = milestone_shares(episodes)
    if not any(one.known for one in found):
        return []
    text = ["milestones, share of episodes (95% interval):"]
    for one in found:
        of = f", known in {one.known} of {len(episodes)}" if 0 < one.known < len(episodes) else ""
        text.append(f"  {one.name} {one.text()}{of}")
    counts = Counter(furthest(one) for one in episodes)
    order = [None, *(one.name for one in found)]
    far = ", ".join(f"{name or 'none'} {counts[name]}" for name in order if counts[name])
    return [*text, f"  furthest: {far}"]
