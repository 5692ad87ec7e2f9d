"""FindCave: looks around, walks the site's path into the cave, looks around in it."""

from collections.abc import Mapping
from typing import Any

from agents.demonstrator.body import Body, Routine


def play(body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play one episode.

    Args:
        body: The player.
        site: Site of the episode; `path` is a list of [x, y, z] nodes from spawn to cave.
    """
    yield from body.look_around(int(body.rng.integers(14, 30)), 45.0)
    yield from body.walk(site["path"])
    yield from body.look_around(int(body.rng.integers(20, 40)), 35.0)
