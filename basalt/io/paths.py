"""Where the project keeps what it can make again, and what it ships."""

import os
from pathlib import Path

from basalt.io.errors import BasaltError


def cache_dir() -> Path:
    """Folder of caches (saved worlds, the compiled shim, decoded frames); ``$BASALT_CACHE`` moves it.

    Raises:
        BasaltError: the folder cannot be made.
    """
    path = Path(os.environ.get("BASALT_CACHE") or Path.home() / ".cache" / "basalt")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise BasaltError(
            f"cache folder {path} cannot be made ({err.strerror}); "
            "set BASALT_CACHE to a folder that can be written"
        ) from err
    return path


def sample_dir() -> Path:
    """Folder of the shipped sample recordings: inside an installed wheel, or ``data/sample`` of a clone.

    Raises:
        BasaltError: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for path in (package / "sample", package.parent / "data" / "sample"):
        if path.is_dir():
            return path
    raise BasaltError(
        f"the sample recordings are not at {package.parent / 'data' / 'sample'}; "
        "give data=FOLDER of recordings, or install basalt-benchmark again"
    )
