"""Values that strangers send or keep in files: what is read as JSON, and what can be stored and written again."""

import json
import math
from collections.abc import Mapping
from typing import Any

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
