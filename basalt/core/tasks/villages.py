"""What the tasks in a village share."""

from collections import Counter
from collections.abc import Callable

from basalt.core.tasks.contract import Site, milestone, site_length

BESIDE_HOUSE = 4
"""Nodes from a house at which something is beside it; `create_village_animal_pen/pens.lua` uses the same number."""

VILLAGE_REACHED = milestone(
    "village_reached",
    f"the player was within {BESIDE_HOUSE} nodes of a house of the village",
    "distance_to_house",
    shown=lambda facts: float(facts["distance_to_house"]) <= BESIDE_HOUSE,
)


def _count(name: str) -> Callable[[Site], str]:
    return lambda site: str(len(site[name]))


def _style(site: Site) -> str:
    return str(site["style"])


def _blocks(site: Site) -> str:
    return str(len(site["blocks"]) // 3)


def _herds(site: Site) -> str:
    kinds = Counter(one["kind"] for one in site["creatures"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


VILLAGE_COLUMNS: tuple[tuple[str, Callable[[Site], str]], ...] = (
    ("style", _style),
    ("houses", _count("houses")),
    ("farms", _count("farms")),
    ("free plots", _count("plots")),
    ("blocks of the village", _blocks),
    ("animals and villagers", _herds),
    ("heights in the land", site_length("search", "range")),
    ("areas searched", site_length("search", "areas")),
)
