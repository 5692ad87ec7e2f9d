"""Claims on folders: what a folder was made for, so that other work never mixes with it.

A command that writes a folder calls `make_folder` (or `basalt.io.locks.sole_writer`, which does) and, if the
folder can be resumed, `claim`.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from basalt.io.atomic import new_folder, write_json
from basalt.io.errors import ConfigError
from basalt.io.paths import is_shipped
from basalt.io.untrusted import parse_json, read_bounded

_KINDS = {
    "rollout.json": "rollout",
    "config.json": "training run",
    "embeddings.json": "folder of embeddings",
    "store.json": "activation store",
    "twins.json": "library of twins",
    "grok.json": "folder of grokking runs",
    "labels.json": "folder of labels",
    "scores.json": "folder of scores",
    "loop.json": "loop",
    "oversight.json": "oversight run",
    "safety.json": "safety run",
}
"""Kind of a folder by the name of its claim."""

_ONLY_IN_A_SUITE = "training_frames"
"""Key of a suite's `config.json`, which has the name of a training run's."""

_IN_A_RUN = ({"out", "data"}, {"out", "comparisons"}, {"out", "reward"})
"""Keys of a training run's `config.json`, one of the three; other programs' files have the same name."""


def make_folder(folder: Path, kind: str) -> None:
    """Make a folder for results, or check that an existing one may take them.

    Args:
        folder: Folder to write in.
        kind: What it is to hold, for the message.

    Raises:
        ConfigError: the folder holds results of another kind, or is part of the installed package.
        WriteError: the path is a file, or below one.
    """
    if is_shipped(folder):
        raise ConfigError(
            f"{folder}: expected a folder of your own, got one of the package; use another out=FOLDER"
        )
    if (found := _kind_of(folder)) not in (None, kind):
        raise ConfigError(
            f"{folder}: expected a new folder or a {kind}, got a {found}; use another out=FOLDER"
        )
    new_folder(folder)


def _kind_of(folder: Path) -> str | None:
    for name, kind in _KINDS.items():
        if (folder / name).is_file():
            if name != "config.json":
                return kind
            try:
                keys = read_claim(folder / name, kind).keys()
            except ConfigError:
                continue  # not ours; a run that is resumed reads it and reports the fault
            if _ONLY_IN_A_SUITE in keys:
                return "suite"
            if any(keys >= own for own in _IN_A_RUN):
                return kind
    return None


def claim(
    file: Path,
    kind: str,
    facts: Mapping[str, Any],
    *,
    may_change: Collection[str] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
    header: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write what a folder is for, or check that it was made for the same.

    Args:
        file: The claim, e.g. `out/rollout.json`; its folder is made if it is missing.
        kind: What the folder holds, for the message: "rollout", "training run".
        facts: JSON-ready settings that all work in this folder shares.
        may_change: Keys of `facts` whose values may differ from the first time; the new values are
            written.
        settings: Names of settings that differ from the keys of `facts`, by key, for the message.
        header: Further content of the file that is not compared, e.g. format and version.

    Returns:
        The content of the file.

    Raises:
        ConfigError: the folder was made with other facts or for another kind of work, or the file is
            damaged; the message names the first difference.
        WriteError: the file cannot be written.
    """
    make_folder(file.parent, kind)
    wanted: dict[str, Any] = parse_json(json.dumps(dict(facts)))
    content = {**(header or {}), **wanted}
    if file.is_file():
        found = read_claim(file, kind)
        for key, value in wanted.items():
            if key not in may_change and found.get(key) != value:
                name = settings.get(key, key)
                raise ConfigError(
                    f"{file}: this {kind} was made with {_short(name, found.get(key))}, not "
                    f"{_short(name, value)}; use the same setting to resume it, or another out=FOLDER"
                )
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
        content = found | wanted
    write_json(file, content)
    return content


def read_claim(file: Path, kind: str) -> dict[str, Any]:
    """The content of a claim.

    Raises:
        ConfigError: the file is not a JSON object.
    """
    try:
        found = parse_json(read_bounded(file))
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"{file}: expected the settings of a {kind} as JSON ({err}); use another out=FOLDER"
        ) from err
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: expected a JSON object; use another out=FOLDER")
    return found


def _short(key: str, value: Any) -> str:
    text = repr(value)
    return f"{key}={text}" if len(text) <= 100 else f"{key}={text[:97]}..."
