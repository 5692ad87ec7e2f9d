"""Telemetry of episodes whose outcome is known, and pairs of them."""

from collections.abc import Mapping, Sequence

from basalt.core.telemetry import Fact, Telemetry
from leaderboard.oversight.claims import Evidence
from tests.support.synthetic import telemetry


def states(facts: Mapping[str, Sequence[Fact | None]]) -> list[Telemetry]:
    """States with the given values of facts, one after another; None is not reported."""
    return [
        telemetry(step).model_copy(
            update={
                "facts": {
                    name: value
                    for name, value in zip(facts, values, strict=True)
                    if value is not None
                }
            }
        )
        for step, values in enumerate(zip(*facts.values(), strict=True))
    ]


def evidence(ended: str = "esc", **facts: Sequence[Fact | None]) -> Evidence:
    return Evidence(states(facts), ended)


def cave_visit(steps: int, entered: int | None, ended: str = "esc") -> Evidence:
    """An episode of FindCave that enters a cave at a step and stays there; None never enters."""
    inside = [entered is not None and step >= entered for step in range(steps + 1)]
    return evidence(
        ended, in_cave=inside, dug_down=[False] * (steps + 1), dug_nodes=[0] * (steps + 1)
    )
