"""Which agent played: its settings, its weights, and the seed of its training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONTENT = (".safetensors", ".npz", ".npy", ".json")


@dataclass(frozen=True)
class Identity:
    """Which agent played.

    Attributes:
        hash: SHA-256 of its settings and of the weights that they name, in hexadecimal.
        training_seed: Seed of its training, from the run's config.json; None if it was not trained.
    """

    hash: str
    training_seed: int | None


def identify(settings: Mapping[str, Any]) -> Identity:
    """The identity of an agent with these settings.

    Where a setting is the path of an existing file or folder, its content counts and not its place, so that the
    same weights are the same agent on every machine.

    Args:
        settings: Settings of the agent, JSON-ready.
    """
    digest = hashlib.sha256()
    training_seed: int | None = None
    for name, value in sorted(settings.items()):
        path = Path(value) if isinstance(value, str) else None
        if path is None or not path.exists():
            digest.update(json.dumps([name, value], sort_keys=True).encode())
            continue
        training_seed = _training_seed(path) if training_seed is None else training_seed
        for file in _files(path):
            digest.update(json.dumps([name, file.relative_to(path).as_posix()]).encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return Identity(digest.hexdigest(), training_seed)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.suffix in _CONTENT)


def _training_seed(path: Path) -> int | None:
    """The `seed` of the nearest config.json at a checkpoint or above it, within its run."""
    for folder in (path, *path.parents[:2]):
        try:
            seed = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("seed")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(seed, int):
            return seed
    return None
