"""Print a Markdown table of the sites that the search found: `python -m tools.sites [SEEDS] [--task TASK]`.

Seeds that are not in the cache are searched first, which takes some seconds each.
"""

import argparse
from collections.abc import Iterable

from basalt.core.tasks import Site, Task, get_task, parse_seeds
from basalt.core.tasks.contract import site_length
from basalt.io.errors import BasaltError
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import saved_world


def _spawn(site: Site) -> str:
    return " ".join(f"{part:.0f}" for part in site["spawn"])


ANY_TASK = (("spawn", _spawn), ("areas searched", site_length("search", "areas")))
"""Columns of a task that names none."""


def markdown_table(task: Task, sites: Iterable[tuple[int, Site]]) -> str:
    """Return the table of sites, one line per seed, ending with a line break.

    Args:
        task: The task whose columns are shown.
        sites: Seeds and their sites.
    """
    columns = task.site_columns or ANY_TASK
    rows = [["seed", *(title for title, _ in columns)], ["---"] * (1 + len(columns))]
    rows += [[str(seed), *(text(site) for _, text in columns)] for seed, site in sites]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.sites", description=__doc__)
    parser.add_argument("seeds", nargs="?", default="official", help="official, 1..9 or 1,2,3")
    parser.add_argument("--task", default="find_cave", help="name of the task")
    args = parser.parse_args(argv)
    try:
        task = get_task(args.task)
        seeds = parse_seeds(args.seeds, task)
        table = markdown_table(task, ((seed, saved_world(task, seed).site) for seed in seeds))
        print(f"{task.name}, world {world_version(task)}, lengths in nodes\n\n{table}", end="")
    except BasaltError as err:
        parser.exit(1, f"{err}\n")


if __name__ == "__main__":
    main()
