"""The version of a task's world."""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from basalt.core.tasks import Task
from basalt.worlds.base import DEFAULT_SIZE
from basalt.worlds.luanti import settings
from basalt.worlds.luanti.cursor import SHAPE
from basalt.worlds.luanti.engine import EPOCH_S, SCREEN, STEP_NS
from basalt.worlds.luanti.game import game_version
from basalt.worlds.luanti.items import FOUND_ITEMS, starting_inventory
from basalt.worlds.luanti.native import FLAGS, SHIM

WORLD_FORMAT = 1
"""Raise this by hand when a change of the Python code gives the same seed another world or other pictures."""

MOD = Path(__file__).parent / "mod"

TASK_FILES = ("terrain", "site", "play")
"""Lua files that the mod loads from the task's own folder."""

_STRING = r"""\"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_COMMENTS = {".lua": r"--\[(?P<level>=*)\[.*?\](?P=level)\]|--[^\n]*", ".c": r"/\*.*?\*/|//[^\n]*"}
_TOKEN = re.compile(rf"{_STRING}|^[ \t]*#[^\n]*|\w+|([-+&|<>=.:])\1+|\S", re.S | re.M)


@cache
def world_version(task: Task) -> str:
    """Return the version of a task's world, e.g. `luanti-5.6.1-1f2e3d4c`.

    It changes whenever the same seed may give another world or other pictures: with the game, with the code of
    the files that the task loads, with its inventory, with the settings of the game and with `WORLD_FORMAT`. It
    does not change with comments and whitespace, nor with other tasks.

    Raises:
        MissingDependencyError: The game is not installed.
        WorldError: The game does not print its version.
    """
    files = {name: code(MOD / name) for name in loaded_files(task.name)}
    files |= {
        str(path.relative_to(MOD)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(MOD.rglob("*"))
        if path.is_file() and path.suffix != ".lua"
    }
    facts: dict[str, Any] = {
        "format": WORLD_FORMAT,
        "task": task.name,
        "inventory": starting_inventory(task),
        "names": [(name, FOUND_ITEMS[name]) for name in sorted(FOUND_ITEMS)],
        "files": files,
        "shim": [code(SHIM), FLAGS],
        "clock": [EPOCH_S, STEP_NS, settings.AGE_S, settings.FLAMES_REPEAT_S],
        "search": [settings.WORLD_MT, settings.SEARCH_SETTINGS],
        "play": settings.play_settings(DEFAULT_SIZE),
        "input": [settings.KEYS, settings.MOUSE, settings.MOD_KEYS, settings.PITCH_LIMIT],
        "screen": [SCREEN, SHAPE],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"luanti-{game_version()}-{digest[:8]}"


def loaded_files(task: str) -> list[str]:
    """Return the paths, in the mod, of the Lua files that the mod loads for a task."""
    found: list[str] = []
    waiting = ["init", *(f"tasks/{task}/{name}" for name in TASK_FILES)]
    while waiting:
        name = f"{waiting.pop()}.lua"
        if name not in found:
            found.append(name)
            waiting += re.findall(r'basalt\.load\("([\w/]+)"\)', (MOD / name).read_text())
    return sorted(found)


def code(path: Path) -> str:
    """Return the tokens of a Lua or C file, one a line: what is left without comments and whitespace."""
    return "\n".join(_tokens(path.read_text(encoding="utf-8"), _COMMENTS[path.suffix]))


def _tokens(text: str, comment: str) -> Iterator[str]:
    bare = re.sub(rf"({_STRING})|{comment}", lambda match: match[1] or " ", text, flags=re.S)
    for match in _TOKEN.finditer(bare):
        token = match[0]
        # A line of the C preprocessor ends where it ends: its tokens stay together.
        yield " ".join(token.split()) if token.lstrip().startswith("#") else token
