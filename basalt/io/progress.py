"""How far something is, on stderr."""

import sys

from tqdm import tqdm


def progress_bar(total: int, title: str, unit: str, shown: bool) -> tqdm:
    """A bar that moves on a terminal; in a log file a line now and then says as much."""
    interval = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(total=total, desc=title, unit=unit, disable=not shown, mininterval=interval)
