"""The README fits a screen, and every command that it or another page shows would be accepted."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.command_lines import fault, shown_in

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = shown_in(page)
    assert not [found for line in dict.fromkeys(lines) if (found := fault(line))]
    assert lines or page.stem not in ("README", "agents", "papers", "probes", "results")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert not [link for link in local if not (page.parent / link).is_file()]


def test_targets_of_make_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES[:2])
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_short() -> None:
    words = re.sub(r"\|.*", "", (ROOT / "README.md").read_text()).split()
    assert len(words) < 450


@pytest.mark.parametrize(
    "line",
    [
        "basalt fly",
        "basalt leaderboard sink",
        "basalt leaderboard show --upside-down",
        "basalt train agent=bc learning_rat=3",
        "basalt rollout agent=nobody",
    ],
)
def test_what_does_not_exist_is_found(line: str) -> None:
    assert fault(line)
