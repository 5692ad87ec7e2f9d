"""``python -m tools.sites [SEEDS] [--task TASK]``: a Markdown table of what the search found.

Seeds that are not in the cache are searched first, which takes some seconds each.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from basalt.core.tasks import Task, get_task, parse_seeds
from basalt.io.errors import BasaltError
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import saved_world

Site = Mapping[str, Any]
"""What the search saved; lengths in nodes."""

Columns = Mapping[str, Callable[[Site], str]]


def _length(name: str) -> Callable[[Site], str]:
    return lambda site: f"{site[name]:.0f}"


def _searched(name: str) -> Callable[[Site], str]:
    return lambda site: f"{site['search'][name]:.0f}"


def _mouth_seen(site: Site) -> str:
    if site["mouth_visible_at_spawn"]:
        return "yes"
    return "no, but after turning" if site["mouth_unobstructed"] else "no"


_FIND_CAVE: Columns = {
    "way to the cave": lambda site: f"{site['path_length']:.0f} ({len(site['path'])} places)",
    "spawn to mouth": _length("mouth_distance"),
    "mouth in the first picture": _mouth_seen,
    "cave below spawn": lambda site: f"{site['spawn'][1] - site['cave'][1]:.0f}",
    "places to stand in the cave": _searched("cave_size"),
    "areas searched": _searched("areas"),
}

_MAKE_WATERFALL: Columns = {
    "way to the lip": _length("path_length"),
    "lip above spawn": lambda site: f"{site['pour'][1] - site['spawn'][1]:.0f}",
    "free fall": _length("fall_height"),
    "way on to the viewpoint": _length("view_path_length"),
    "viewpoint to the fall": _length("view_distance"),
    "lips in the area": _searched("lips"),
    "areas searched": _searched("areas"),
}


def _herds(site: Site) -> str:
    kinds = Counter(one["kind"] for one in site["creatures"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _count(name: str) -> Callable[[Site], str]:
    return lambda site: str(len(site[name]))


_VILLAGE: Columns = {
    "style": lambda site: str(site["style"]),
    "houses": _count("houses"),
    "farms": _count("farms"),
    "free plots": _count("plots"),
    "blocks of the village": lambda site: str(len(site["blocks"]) // 3),
    "animals and villagers": _herds,
    "heights in the land": _searched("range"),
    "areas searched": _searched("areas"),
}

COLUMNS: Mapping[str, Columns] = {
    "find_cave": _FIND_CAVE,
    "make_waterfall": _MAKE_WATERFALL,
    "create_village_animal_pen": _VILLAGE,
    "build_village_house": _VILLAGE,
}
"""By task: a column's title, and its text for a site. Other tasks show where the player starts."""

_ANY_TASK: Columns = {
    "spawn": lambda site: " ".join(f"{part:.0f}" for part in site["spawn"]),
    "areas searched": _searched("areas"),
}


def markdown_table(task: Task, sites: Iterable[tuple[int, Site]]) -> str:
    """The table of (seed, site), one line per seed, ending with a line break."""
    columns = COLUMNS.get(task.name, _ANY_TASK)
    rows = [["seed", *columns], ["---"] * (1 + len(columns))]
    rows += [[str(seed), *(text(site) for text in columns.values())] for seed, site in sites]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.sites")
    parser.add_argument("seeds", nargs="?", default="official", help="official, 1..9 or 1,2,3")
    parser.add_argument("--task", default="find_cave", help="name of the task")
    args = parser.parse_args(argv)
    try:
        task = get_task(args.task)
        seeds = parse_seeds(args.seeds, task)
        table = markdown_table(task, ((seed, saved_world(task, seed).site) for seed in seeds))
    except BasaltError as err:
        parser.exit(1, f"{err}\n")
    print(f"{task.name}, world {world_version(task)}, lengths in nodes\n\n{table}", end="")


if __name__ == "__main__":
    main()
