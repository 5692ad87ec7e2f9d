"""What a command shows while it works, on stderr; results alone go to stdout, so `--json` stays JSON."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    total: float | None = None,
    title: str,
    unit: str,
    shown: bool = True,
    initial: int = 0,
) -> "tqdm[Any]":
    """A progress bar on stderr; where stderr is not a terminal, one line every 15 s.

    Args:
        iterable: What to iterate over; None for a bar that the caller updates.
        total: Units in all; None takes the iterable's length.
        title: Text before the bar.
        unit: Singular name of what is counted.
        shown: False for a bar that is never drawn.
        initial: Units that were done before, when work is resumed.
    """
    # leave=None: a bar inside another one is cleared when it is done.
    interval = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(
        iterable, total=total, desc=title, unit=unit, disable=not shown, initial=initial,
        mininterval=interval, leave=None, file=sys.stderr,
    )  # fmt: skip


def note(text: str) -> None:
    """Print a line on stderr, above any progress bar."""
    tqdm.write(text, file=sys.stderr)
