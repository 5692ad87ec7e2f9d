"""Nothing that users had at the first release's base is lost: it is still there, or the changelog names what took its place."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.support import ROOT
from tools.inventory import inventory

BEFORE = ROOT / "tests" / "golden" / "inventory-548b757.json"


def items(found: dict[str, Any]) -> Iterator[str]:
    """Each thing as one line; a setting that became a flag of the same name is the same thing."""
    for kind, things in found.items():
        if kind == "plain fields":  # records may hold other classes, and write their fields
            continue
        if kind == "commands":
            for command, options in things.items():
                yield command
                for option in options:
                    name = option.removeprefix("--").replace("_", "-")
                    yield f"{command} {name}"
        else:
            yield from (f"{kind}: {thing}" for thing in things)


@pytest.mark.long
def test_nothing_is_lost() -> None:
    found = inventory(ROOT)
    today = {*items(found), *(f"record fields: {field}" for field in found["plain fields"])}
    named = re.findall(r"`([^`\n]+)`", (ROOT / "CHANGELOG.md").read_text())
    lost = [item for item in items(json.loads(BEFORE.read_text())) if item not in today]
    assert not [item for item in lost if not any(fnmatchcase(item, name) for name in named)]
