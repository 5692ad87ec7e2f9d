"""``python -m basalt.worlds.luanti.sites [SEEDS]``: a Markdown table of what the search found.

Seeds that are not in the cache are searched first, which takes some seconds each.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from basalt.errors import BasaltError
from basalt.tasks import get_task, parse_seeds
from basalt.worlds.luanti.worldcache import saved_world, world_version

COLUMNS = (
    "seed",
    "way to the cave",
    "spawn to mouth",
    "mouth in the first picture",
    "cave below spawn",
    "places to stand in the cave",
    "areas searched",
)


def site_row(seed: int, site: dict[str, Any]) -> tuple[str, ...]:
    """A site's row of the table; lengths in nodes.

    Args:
        seed: the world's seed.
        site: what the search saved.
    """
    way = f"{site['path_length']:.0f} ({len(site['path'])} places)"
    if site["mouth_visible_at_spawn"]:
        seen = "yes"
    else:
        seen = "no, but after turning" if site["mouth_unobstructed"] else "no"
    depth = f"{site['spawn'][1] - site['cave'][1]:.0f}"
    distance = f"{site['mouth_distance']:.0f}"
    size, areas = (f"{site['search'][name]:.0f}" for name in ("cave_size", "areas"))
    return str(seed), way, distance, seen, depth, size, areas


def markdown_table(sites: Iterable[tuple[int, dict[str, Any]]]) -> str:
    """The table of (seed, site), one line per seed, ending with a line break."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(site_row(*found) for found in sites)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m basalt.worlds.luanti.sites")
    parser.add_argument("seeds", nargs="?", default="official", help="official, 1..9 or 1,2,3")
    args = parser.parse_args(argv)
    task = get_task("find_cave")
    try:
        seeds = parse_seeds(args.seeds, task)
        table = markdown_table((seed, saved_world(task, seed).site) for seed in seeds)
    except BasaltError as err:
        parser.exit(1, f"{err}\n")
    print(f"{task.name}, world luanti-{world_version()}, lengths in nodes\n\n{table}", end="")


if __name__ == "__main__":
    main()
