"""Folders of the package: its cache, and the sample recordings and trained policies that it ships."""

import os
from pathlib import Path

from basalt.io.errors import BasaltError

_PACKAGE = Path(__file__).resolve().parents[1]
_SAMPLES = (_PACKAGE / "shipped" / "sample", _PACKAGE.parent / "data" / "sample")
_POLICIES = tuple(folder.with_name("policies") for folder in _SAMPLES)


def cache_dir() -> Path:
    """Folder of caches: saved worlds, the compiled shim, decoded frames.

    It is `$BASALT_CACHE`, or `~/.cache/basalt`.

    Raises:
        BasaltError: the folder cannot be created.
    """
    path = Path(os.environ.get("BASALT_CACHE") or Path.home() / ".cache" / "basalt")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise BasaltError(
            f"cannot create the cache folder {path} ({err.strerror}); "
            "set BASALT_CACHE to a writable folder"
        ) from err
    return path


def sample_dir() -> Path:
    """Folder of the shipped sample recordings: in the installed package, or `data/sample` of a clone.

    Raises:
        BasaltError: neither exists.
    """
    return _first(_SAMPLES, "use data=folder data.source=DIR")


def shipped_policies() -> Path:
    """Folder of the shipped policies: in the installed package, or `data/policies` of a clone.

    Raises:
        BasaltError: neither exists.
    """
    return _first(_POLICIES, "train one with basalt train")


def _first(folders: tuple[Path, ...], otherwise: str) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    raise BasaltError(f"{folders[-1]} is missing; {otherwise}, or reinstall basalt-benchmark")


def is_shipped(path: Path) -> bool:
    """Whether a path is part of the installed package or of the data that it ships, where nothing is written."""
    return any(
        path.resolve().is_relative_to(folder) for folder in (_PACKAGE, *_SAMPLES, *_POLICIES)
    )
