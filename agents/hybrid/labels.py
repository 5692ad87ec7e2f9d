"""What heads learn: yes-or-no facts about each frame, from the telemetry of its recording.

A label is the name of a fact, such as `in_cave`, or `soon_` and such a name: the fact does not hold yet, and will
within `AHEAD` steps. Where water would fall if it were poured, and where the player would fall, telemetry does not say:
that is worked out on the land of the recording's world, from where the player stood and looked.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import Recording
from basalt.core.registry import did_you_mean
from basalt.core.tasks import get_task
from basalt.core.tasks.make_waterfall import MIN_FALL
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError
from basalt.probes.suite.concepts import CONCEPTS
from basalt.worlds.luanti.drops import drop_ahead
from basalt.worlds.luanti.land import Land, read_land
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.water import Pours
from basalt.worlds.luanti.worldcache import saved_world

AHEAD = 40
"""Number of steps that labels look ahead: two seconds."""

STUCK_BELOW = 0.5
"""A player that moves fewer horizontal nodes in `AHEAD` steps, and holds forward in most of them, is stuck."""

SOON = "soon_"

Flags = NDArray[np.bool_]


class Label(NamedTuple):
    """A label at each of n frames.

    Attributes:
        holds: bool [n]; False where it is not known.
        known: bool [n]; near the end of an episode, what is ahead is not.
    """

    holds: Flags
    known: Flags


def _fact(name: str, least: float = 1.0) -> Callable[[Sequence[Telemetry]], Flags | None]:
    def flags(states: Sequence[Telemetry]) -> Flags | None:
        if name not in states[0].facts:
            return None
        return np.array([float(state.facts[name]) >= least for state in states[:-1]])

    return flags


FACTS: dict[str, Callable[[Sequence[Telemetry]], Flags | None]] = {
    "mouth_in_view": _fact("mouth_in_view"),
    "water_poured": _fact("water_poured"),
    "water_in_view": _fact("water_in_view"),
    "water_falling_in_view": _fact("water_falling_in_view"),
    "fall_is_high": _fact("fall_height", MIN_FALL),
    "dead": lambda states: np.array([state.dead for state in states[:-1]]),
}
"""Facts that are labels besides `basalt.probes.suite.concepts.CONCEPTS`: flags of n frames from n + 1 states, or None
where the world does not report the fact."""

STUCK = "stuck"

POURS = {"edge_ahead": 40.0, "wall_ahead": -50.0}
"""Labels of where water that is poured at a pitch, in degrees, would make a waterfall, as long as the player has poured none."""


DROP = "drop_ahead"

DEEP, WAY = 6, 4.0
"""Nodes of free fall that are a drop, since shorter ones seldom hurt; length of the way ahead on which it is looked for."""


def names() -> list[str]:
    """Names of all labels, without those that look ahead."""
    return [*dict.fromkeys((*CONCEPTS, *FACTS)), STUCK, *POURS, DROP]


def check_name(name: str, setting: str) -> None:
    """Refuse a name that is not a label's.

    Raises:
        ConfigError: There is no such label.
    """
    if name.removeprefix(SOON) not in names():
        raise ConfigError(
            f"{setting}: unknown head {name!r}; {did_you_mean(name.removeprefix(SOON), names())}available: "
            f"{', '.join(names())}, and each of them with {SOON} before it"
        )


def label(name: str, recording: Recording) -> Label | None:
    """A label at each frame of a recording; None where its telemetry does not show it.

    Args:
        name: Name of the label.
        recording: Recording with telemetry and metadata.

    Raises:
        ConfigError: The label needs the land of another version of the world.
    """
    found = _present(name.removeprefix(SOON), recording)
    return _soon(found.holds) if found and name.startswith(SOON) else found


def _present(fact: str, recording: Recording) -> Label | None:
    """Where a fact holds now."""
    assert recording.meta is not None
    states = recording.telemetry()
    if fact == STUCK:
        return _stuck(recording, states)
    if fact in POURS:
        return _pours(recording, states, POURS[fact])
    if fact == DROP:
        return _drops(recording, states)
    holds = FACTS[fact](states) if fact in FACTS else CONCEPTS[fact](states, recording.meta.ended)
    return None if holds is None else Label(holds, np.ones(len(holds), bool))


def _soon(now: Flags) -> Label:
    """Where a fact does not hold yet but will within `AHEAD` frames."""
    steps = np.arange(len(now))
    times = np.flatnonzero(now)
    following = np.append(times, np.iinfo(np.int64).max)[np.searchsorted(times, steps)]
    holds = ~now & (following - steps <= AHEAD)
    return Label(holds, now | holds | (steps + AHEAD < len(now)))


def _stuck(recording: Recording, states: Sequence[Telemetry]) -> Label:
    """Where the player does not get anywhere in the next `AHEAD` frames, although it walks forward."""
    places = np.array([(state.xpos, state.zpos) for state in states])
    held = np.concatenate([[0], np.cumsum(recording.actions().column("forward"), dtype=np.int64)])
    n = len(states) - 1
    whole = max(n + 1 - AHEAD, 0)  # frames with as many behind them
    moved = np.linalg.norm(places[AHEAD:] - places[:whole], axis=1)
    holds, known = np.zeros(n, bool), np.arange(n) < whole
    holds[:whole] = (moved < STUCK_BELOW) & (held[AHEAD:] - held[:whole] > AHEAD / 2)
    return Label(holds, known)


def _pours(recording: Recording, states: Sequence[Telemetry], pitch: float) -> Label | None:
    """Where water would fall `MIN_FALL` nodes or more if the player poured it at a pitch, in the direction of its view."""
    land = _land(recording, states[0])
    if land is None or "water_poured" not in states[0].facts:
        return None
    pours = Pours(land)
    known = np.array([not state.facts["water_poured"] for state in states[:-1]])
    holds = np.zeros(len(known), bool)
    for n in np.flatnonzero(known).tolist():
        holds[n] = pours.height(_feet(states[n]), states[n].yaw, pitch) >= MIN_FALL
    return Label(holds, known)


def _drops(recording: Recording, states: Sequence[Telemetry]) -> Label | None:
    """Where the player would fall `DEEP` nodes or more if it walked `WAY` nodes straight ahead."""
    land = _land(recording, states[0])
    if land is None:
        return None
    deepest = [drop_ahead(land, _feet(state), state.yaw, WAY) for state in states[:-1]]
    return Label(np.array(deepest) >= DEEP, np.ones(len(deepest), bool))


def _feet(state: Telemetry) -> tuple[float, float, float]:
    return state.xpos, state.ypos, state.zpos


def _land(recording: Recording, start: Telemetry) -> Land | None:
    """The land of a recording as the map generator left it; None in a world whose land cannot be read."""
    meta = recording.meta
    assert meta is not None
    if meta.world != "luanti":
        return None
    task = get_task(meta.task)
    if meta.world_version != (version := world_version(task)):
        raise ConfigError(
            f"{recording.stem}: expected a recording of the installed world, {version}, whose land is known, got one of "
            f"{meta.world_version}; record it again, or leave {', '.join((*POURS, DROP))} out of the heads"
        )
    return read_land(saved_world(task, meta.seed).folder, round(start.xpos), round(start.zpos))
