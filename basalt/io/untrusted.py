"""Values that strangers send or keep in files: how much is read, as JSON or by line, and what can be stored again.

Parsed JSON takes up to 35 times the memory of its text. So sizes are bounded before anything is parsed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import IO, Any

MAX_JSON_BYTES = 16 * 2**20
"""Largest file that is parsed as JSON where its reader names no other size, in bytes."""

MAX_DEPTH = 32
"""Largest number of lists and objects inside one another in a value that is stored."""


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; every fault of the text is a ValueError.

    Raises:
        ValueError: the text is not JSON, not UTF-8, or nested more deeply than Python's stack is high.
    """
    try:
        return json.loads(text)
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


def read_bounded(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """The content of a file, unless it is too large.

    Args:
        path: The file.
        limit: Largest size in bytes.

    Raises:
        ValueError: the file is larger.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        # A pipe has no size, so no more than the limit is read in any case.
        size = path.stat().st_size
        content = b"" if size > limit else file.read(limit + 1)
    if max(size, len(content)) > limit:
        raise ValueError(
            f"expected at most {limit:,} bytes, got {f'{size:,}' if size > limit else 'more'}"
        )
    return content


def bounded_lines(file: IO[bytes], limit: int) -> Iterator[bytes]:
    """Lines of a file with their line breaks, none of which is read further than the limit.

    Args:
        file: File that was opened for reading.
        limit: Largest size of a line in bytes.

    Raises:
        ValueError: a line is longer.
    """
    for number in count(1):
        line = file.readline(limit + 1)
        if len(line) > limit:
            raise ValueError(f"line {number}: expected at most {limit:,} bytes, got more")
        if not line:
            return
        yield line


def unfit(value: Any) -> str | None:
    """What keeps a JSON value from being stored and written again; None if nothing does.

    Neither UTF-8 nor a database holds half of a surrogate pair, PostgreSQL no NUL, and JSON neither NaN nor infinities.

    Args:
        value: Value as `json.loads` gives it.
    """
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, str):
                if "\0" in one:
                    return "expected a text without NUL characters; remove them"
                if not _is_unicode(one):
                    return "expected Unicode text, got half of a surrogate pair; remove it"
            elif isinstance(one, float):
                if not math.isfinite(one):
                    return f"expected a finite number, got {one}"
            elif isinstance(one, Mapping | list | tuple):
                if depth == MAX_DEPTH:
                    return f"expected at most {MAX_DEPTH} levels of nesting"
                below += [*one.keys(), *one.values()] if isinstance(one, Mapping) else one
        level = below
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
