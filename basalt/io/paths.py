"""Folders of the package: its cache, and the sample recordings that it ships."""

import os
from pathlib import Path

from basalt.io.errors import BasaltError


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
    package = Path(__file__).resolve().parents[1]
    for path in (package / "sample", package.parent / "data" / "sample"):
        if path.is_dir():
            return path
    raise BasaltError(
        f"the sample recordings are missing from {package.parent / 'data' / 'sample'}; "
        "use data=folder data.source=DIR, or reinstall basalt-benchmark"
    )
