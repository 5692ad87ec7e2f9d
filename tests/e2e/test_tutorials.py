"""The tutorials do what they say: their files are written, and their commands run, in the order of the page."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
INSTALL = (
    "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check --target lib ."
)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Title and text of each code block; commands have no title."""
    found = re.findall(
        r'^```(?:\w+)?(?: title="([^"]+)")?\n(.*?)^```', page.read_text(), re.M | re.S
    )
    yield from found


def follow(page: Path, folder: Path) -> dict[str, str]:
    """Do what a page says.

    Args:
        page: The page.
        folder: Empty folder to work in.

    Returns:
        What each command printed.
    """
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "lib"), str(ROOT)])}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr[-3000:])
        return done.stdout

    said = {}
    for title, text in blocks(page):
        if title:
            (folder / title).write_text(text)
            if title == "pyproject.toml":
                continue
            if title.startswith("check"):
                said[title] = run(sys.executable, title)
            elif (folder / "pyproject.toml").is_file():
                run(sys.executable, "-m", "pip", "install", *INSTALL.split())
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                assert words[0] == "basalt", line
                said[line] = run(str(Path(sys.executable).with_name("basalt")), *words[1:])
    return said


@pytest.mark.long
@pytest.mark.engine
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_can_be_followed(page: Path, tmp_path: Path) -> None:
    said = follow(page, tmp_path)
    assert said


def test_the_agent_of_the_tutorial_learns_and_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a world."""
    files = dict(blocks(ROOT / "docs/tutorials/agent.md"))
    (tmp_path / "nearest_frame.py").write_text(files["nearest_frame.py"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import nearest_frame  # type: ignore[import-not-found]

    result = nearest_frame.train(nearest_frame.Config(out="runs/mine", frames=50))
    assert result.lines() == ["50 frames in runs/mine"]
    exec(compile(files["check.py"], "check.py", "exec"), {})
