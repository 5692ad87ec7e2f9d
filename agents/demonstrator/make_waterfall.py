"""MakeWaterfall: climbs to the lip of a cliff, pours, walks to a viewpoint, frames the fall."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.demonstrator.body import Body, Routine

AIM = 2.0
"""Largest error of the view's direction, in degrees."""

WATCHES, FRAMES = 45, 500
"""Steps for which it watches the water run, and waits for the last frame at most."""

GROWS = 45
"""Steps without a deeper fall after which the water has reached the ground."""


def play(body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play one episode.

    Args:
        body: The player.
        site: Site of the episode: `path` leads from spawn to `pour_from`, from where the water is poured at
            `pour`; `view_path` leads on to a place that faces `fall`, the top of the free fall of `fall_height`
            nodes.
    """
    yield from body.look_around(int(body.rng.integers(24, 44)), 55.0)
    yield from body.walk(site["path"], close=0.45)
    yield from _pour(body, site)
    yield from body.walk(site["view_path"])
    yield from _frame(body, np.subtract(site["fall"], [0.0, 0.45 * site["fall_height"], 0.0]))
    yield from body.do(int(body.rng.integers(15, 30)))


def _pour(body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Pour the water onto the ground of the edge; the bucket is in the hand from the start."""
    edge = np.subtract(site["pour"], [0.0, 0.5, 0.0])
    nearer = edge + np.subtract(site["pour_from"], site["pour"]) / 2
    lower = [0.0, 0.4, 0.0]  # the ground may be lower than a whole node
    for aim in (edge, edge - lower, nearer, nearer - lower):
        yield from body.look_at(aim, AIM, start=AIM / 2)
        yield from body.click()
        if body.state.held != "water_bucket":
            break
    yield from body.watch(edge, WATCHES)


def _frame(body: Body, middle: np.ndarray) -> Routine[None]:
    """Look at the middle of the fall until it no longer grows."""
    height, grew = 0.0, 0
    for step in range(FRAMES):
        if float(body.state.facts["fall_height"]) > height:
            height, grew = float(body.state.facts["fall_height"]), step
        if step - grew >= GROWS and body.off(middle) < AIM:
            break
        yield from body.watch(middle, start=AIM)
