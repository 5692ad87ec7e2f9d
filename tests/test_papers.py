"""The page of papers: each claim has a row, each row a status, each figure its page, each command exists."""

import re

from tests.support import ROOT
from tests.support.command_lines import fault

PAGE = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
STATUS = {"reproduced", "differs", "in part", "not yet", "does not apply"}
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for section in SECTIONS
    for line in re.sub(r"\|(?= *\|)", "| ", section).splitlines()
    if line.startswith("| ") and not line.startswith("| claim")
]


def test_every_row_says_how_it_stands_and_why() -> None:
    assert len(SECTIONS) == 11 and len(ROWS) >= 35
    for row in ROWS:
        assert len(row) == 6, row
        claim, _, command, result, status, why = row
        assert claim and why and status in STATUS, row
        if status in ("reproduced", "differs", "in part"):
            assert command and re.search(r"\]\([a-z-]+\.md(#[\w-]+)?\)", result), row
        else:
            assert not result, row


def test_every_command_exists() -> None:
    commands = {row[2].strip("`") for row in ROWS if row[2]}
    assert not [found for command in sorted(commands) if (found := fault(command))]
