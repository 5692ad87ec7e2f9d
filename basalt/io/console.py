"""What a command shows while it works, on stderr; results alone go to stdout, so `--json` stays JSON."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

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
    seen = sys.stderr.isatty()
    # leave=None: a bar inside another one is cleared when it is done.
    return _Bar(
        iterable, total=total, desc=title, unit=unit, disable=not shown, initial=initial,
        mininterval=0.2 if seen else 15.0, leave=None, file=sys.stderr if seen else _Lines(sys.stderr),
    )  # fmt: skip


class _Bar(tqdm):  # type: ignore[type-arg]
    """A bar whose figures are drawn with its next step, not whenever they change."""

    def set_postfix(
        self, ordered_dict: Any = None, refresh: bool | None = False, **kwargs: Any
    ) -> None:
        super().set_postfix(ordered_dict, refresh=refresh, **kwargs)


class _Lines:
    """A log: each state of a bar is a line of its own, since nothing there can be drawn over."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        if text.strip():
            self._file.write(text.strip() + "\n")

    def flush(self) -> None:
        self._file.flush()


def note(text: str) -> None:
    """Print a line on stderr, above any progress bar."""
    tqdm.write(text, file=sys.stderr)
