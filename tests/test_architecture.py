"""The arrows between packages, and the rules about what the repository says."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

OURS = {"basalt", "agents", "leaderboard", "eval_ui", "configs"}

MAY_IMPORT = {
    "basalt": set(),
    "agents": {"basalt"},
    "leaderboard": {"basalt"},
    "eval_ui": {"basalt", "leaderboard"},
    "configs": set(),
}

COMMAND_LINE = {"basalt/cli.py", "basalt/demo.py", "basalt/references.py"}
"""The layer that knows all packages."""

NO_TORCH = {"leaderboard", "eval_ui"}

BASALT_FOR_LEADERBOARD = {
    "actions", "tasks", "recording", "video", "scoring", "telemetry", "comparisons", "errors", "paths", "files",
    "intervals", "replay", "lines",
}  # fmt: skip


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_they_may(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        if str(path.relative_to(ROOT)) not in COMMAND_LINE
        for name in imports(path)
        if (top := name.split(".")[0]) in OURS - {package} and top not in MAY_IMPORT[package]
    ]
    assert not wrong


@pytest.mark.parametrize("package", sorted(NO_TORCH))
def test_a_rating_server_needs_no_torch(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] == "torch"
        or (name.startswith("basalt.") and name.split(".")[1] not in BASALT_FOR_LEADERBOARD)
    ]
    assert not wrong


def test_the_repository_speaks_of_the_project_alone():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    # Spelt so that this file does not find itself.
    words = re.compile(
        "/w(?:ork)/|/f(?:arm)/|/r(?:oot)/|pypi\\.o(?:rg)|f(?:arm)-(studio|bench)", re.I
    )
    wrong = []
    for name in filter(None, tracked):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        wrong += [f"{name}: {match[0]}" for match in words.finditer(text)]
    assert not wrong
