"""The rooms of the house, which way imports run between them, and what the repository may say."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS = (
    "benchmarks",
    "tools",
    "basalt.cli",
    "basalt.demo",
    "basalt.machine_checks",
    "eval_ui",
    "basalt.safety",
    "basalt.feedback",
    "basalt.probes.readout",
    "leaderboard.http",
    "leaderboard.bedd",
    "leaderboard.oversight",
    "leaderboard.judging",
    "leaderboard.submissions",
    "leaderboard.ratings",
    "leaderboard.studies",
    "leaderboard.store",
    "agents.hybrid",
    "agents.awr",
    "agents.best_of_n",
    "agents.cpl",
    "agents.filtered_bc",
    "agents.ppo",
    "agents.steer_vector",
    "agents.preferences",
    "agents.dagger",
    "agents.bc",
    "agents.ending",
    "agents.search",
    "agents.steered",
    "agents.reward",
    "agents.teachers",
    "agents.demonstrator",
    "agents.random",
    "agents.remote",
    "agents.noop",
    "agents.common",
    "basalt.testing",
    "basalt.hub",
    "basalt.probes",
    "basalt.play",
    "basalt.rollouts",
    "basalt.policies",
    "basalt.data",
    "basalt.worlds",
    "basalt.runners",
    "basalt.core",
    "basalt.io",
    "configs",
)
"""From the roof to the foundation: a module imports its own room and those below it, never one above."""

PACKAGES = ("basalt", "agents", "leaderboard", "eval_ui", "configs", "benchmarks", "tools")

LIGHT = (
    "leaderboard",
    "eval_ui",
    "basalt.core",
    "basalt.io",
    "basalt.probes.records",
    "basalt.probes.smoke_record",
    "basalt.probes.sae.config",
)
"""All packages that a rating server may load: it needs no torch and no engine."""


def modules():
    """The dotted name of each of our modules, and its file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


MODULES = {name.removesuffix(".__init__"): path for name, path in modules()}


def imports(path):
    """Dotted names that a file imports: our modules, and packages of others."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def room(name):
    """The room that a module is in; the packages' own `__init__` are in none."""
    return next((one for one in ROOMS if name == one or name.startswith(f"{one}.")), None)


def test_every_module_has_a_room():
    assert [name for name in MODULES if room(name) is None] == ["basalt", "agents", "leaderboard"]


def test_imports_run_downwards():
    upwards = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imports(path)
        if room(name) and room(other) and ROOMS.index(room(other)) < ROOMS.index(room(name))
    ]
    assert not upwards


@pytest.mark.parametrize("package", [one for one in LIGHT if one != "basalt.io"])
def test_a_rating_server_needs_no_torch(package):
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if f"{name}.".startswith(f"{package}.")
        for other in imports(path)
        if other.split(".")[0] == "torch"
        or (
            other.split(".")[0] in PACKAGES
            and other != "basalt"
            and not f"{other}.".startswith(tuple(f"{one}." for one in LIGHT))
        )
    ]
    assert not wrong


def test_no_import_circles():
    arrows = {
        name: {one for one in imports(path) if one in MODULES} for name, path in MODULES.items()
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(arrows[name] - {name}):
            visit(other)
        done.add(path.pop())

    for name in arrows:
        visit(name)


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
