"""Which command installs a missing Python package."""

import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, requires

DISTRIBUTION = "basalt-benchmark"

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "hydra": "hydra-core",
    "lightning_fabric": "lightning-fabric",
    "pygame": "pygame-ce",
    "Xlib": "python-xlib",
    "elftools": "pyelftools",
    "argon2": "argon2-cffi",
}
"""Distributions whose module has another name."""


def requirements() -> dict[str, list[str]]:
    """Distributions that this package requires, with the extras that each belongs to; none for all."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # a checkout that is not installed
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        name = re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]
        found.setdefault(name, []).extend([extra[1]] if extra else [])
    return found


def how_to_install(module: str, extra: str = "") -> str:
    """The command that installs a module's package.

    Args:
        module: Name of the missing module, e.g. `omegaconf`.
        extra: Extra of the command that misses it.
    """
    name = _DISTRIBUTIONS.get(module, module)
    known = requirements()
    if name in known and extra not in known[name]:
        size = Counter(one for extras in known.values() for one in extras)
        extra = min(known[name], key=size.__getitem__, default="")
    elif not extra:
        return f"pip install {name}"
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"
