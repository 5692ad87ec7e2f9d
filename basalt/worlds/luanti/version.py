"""The version of a task's world."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from basalt.core.actions import FRAME_SIZE
from basalt.core.tasks import Task
from basalt.io.errors import ConfigError
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
"""Lua files that every task's own folder has."""

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
        ConfigError: The task has no Lua files, so it cannot be played in this world.
        MissingDependencyError: The game is not installed.
        WorldError: The game does not print its version.
    """
    files = {name: code(path) for name, path in loaded_files(task).items()}
    files |= {
        f"{name}{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, folder in (("", MOD), (f"tasks/{task.name}/", _folder(task)))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lua", ".py", ".pyc")
    }
    facts: dict[str, Any] = {
        "format": WORLD_FORMAT,
        "inventory": starting_inventory(task),
        "names": [(name, FOUND_ITEMS[name]) for name in sorted(FOUND_ITEMS)],
        "files": files,
        "shim": [code(SHIM), FLAGS],
        "clock": [EPOCH_S, STEP_NS, settings.AGE_S, settings.FLAMES_REPEAT_S],
        "search": [settings.WORLD_MT, settings.SEARCH_SETTINGS],
        "play": settings.play_settings(FRAME_SIZE, game_version()),
        "input": [settings.KEYS, settings.MOUSE, settings.MOD_KEYS, settings.PITCH_LIMIT],
        "screen": [SCREEN, SHAPE],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"luanti-{game_version()}-{digest[:8]}"


def loaded_files(task: Task) -> dict[str, Path]:
    """Return the task's Lua files and those that the mod loads for it, by the name under which it loads them.

    Raises:
        ConfigError: The task has no Lua files.
    """
    found: dict[str, Path] = {}
    own = (path.relative_to(_folder(task)) for path in _folder(task).rglob("*.lua"))
    waiting = ["init", *(f"tasks/{task.name}/{path.with_suffix('').as_posix()}" for path in own)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _lua_file(task, name)
            text = found[name].read_text(encoding="utf-8")
            waiting += re.findall(r'basalt\.load\("([\w/]+)"\)', text)
    return dict(sorted(found.items()))


def install_mod(task: Task, world: Path) -> None:
    """Copy the mod and the task's own Lua files into a world's folder."""
    mod = world / "worldmods" / "basalt_world"
    shutil.copytree(MOD, mod)
    no_python = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(_folder(task), mod / "tasks" / task.name, ignore=no_python, dirs_exist_ok=True)


def _folder(task: Task) -> Path:
    files = [f"{name}.lua" for name in TASK_FILES]
    if task.folder is None or not all((task.folder / file).is_file() for file in files):
        raise ConfigError(
            f"task: {task.name} cannot be played in the Luanti world: "
            f"expected {', '.join(files)} in {task.folder}"
        )
    return task.folder


def _lua_file(task: Task, name: str) -> Path:
    own = name.removeprefix(f"tasks/{task.name}/")
    return (MOD if own == name else _folder(task)) / f"{own}.lua"


def code(path: Path) -> str:
    """Return the tokens of a Lua or C file, one a line: what is left without comments and whitespace."""
    return "\n".join(_tokens(path.read_text(encoding="utf-8"), _COMMENTS[path.suffix]))


def _tokens(text: str, comment: str) -> Iterator[str]:
    bare = re.sub(rf"({_STRING})|{comment}", lambda match: match[1] or " ", text, flags=re.S)
    for match in _TOKEN.finditer(bare):
        token = match[0]
        # A line of the C preprocessor ends where it ends: its tokens stay together.
        yield " ".join(token.split()) if token.lstrip().startswith("#") else token
