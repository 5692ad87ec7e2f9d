"""The element for watching one episode, or two in sync, with a plot of their telemetry."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.telemetry import Telemetry
from eval_ui.components import component

MOST_POINTS = 600
"""Maximum number of points of a curve that are sent to the browser."""

_FIELDS = {
    "distance_walked": ("Distance walked", "nodes"),
    "ypos": ("Height", "nodes"),
    "light": ("Light at the head", "of 15"),
    "health": ("Health", "of 20"),
    "breath": ("Breath", ""),
    "under_roof": ("Under a roof", ""),
    "in_liquid": ("In a liquid", ""),
}

_watch = component("basalt_watch", frame="watch.html", styles=["watch.css"], scripts=["watch.js"])


@dataclass(frozen=True)
class Curve:
    """One signal over time, of one or two episodes.

    Attributes:
        label: Name of the signal.
        unit: Unit of the values.
        sides: Per episode: seconds between values, and the values.
    """

    label: str
    unit: str
    sides: tuple[tuple[float, list[float]], ...]


def curves(episodes: Sequence[Sequence[Telemetry]]) -> list[Curve]:
    """Signals that all episodes report: changing ones first, and of those the task's own first."""
    if not episodes or not all(episodes):
        return []
    facts = [
        name
        for name in episodes[0][0].facts
        if all(_is_number(one.facts.get(name)) for episode in episodes for one in episode)
    ]
    out = [
        Curve(
            name.replace("_", " ").capitalize(),
            "",
            tuple(thinned([one.facts[name] for one in episode]) for episode in episodes),
        )
        for name in facts
    ]
    for field, (label, unit) in _FIELDS.items():
        if all(episode[0].is_observed(field) for episode in episodes):
            sides = tuple(thinned([getattr(one, field) for one in episode]) for episode in episodes)
            out.append(Curve(label, unit, sides))
    # The sort is stable: both groups keep their order.
    return sorted(out, key=lambda curve: not any(len(set(values)) > 1 for _, values in curve.sides))


def watch(key: str, names: Sequence[str], urls: Sequence[str], shown: Sequence[Curve]) -> None:
    """Show one or two videos.

    Args:
        key: Identity of the videos; a new key loads new videos.
        names: Captions of the videos.
        urls: URLs of the videos.
        shown: Curves to choose from.
    """
    data = {"key": key, "names": list(names), "urls": list(urls)}
    _watch(key="watch", data=data | {"curves": [asdict(curve) for curve in shown]})


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float)


def thinned(values: Sequence[object]) -> tuple[float, list[float]]:
    """Seconds between values, and at most `MOST_POINTS` values."""
    every = max(1, -(-len(values) // MOST_POINTS))
    return every / STEPS_PER_SECOND, [round(float(value), 3) for value in values[::every]]  # type: ignore[arg-type]
