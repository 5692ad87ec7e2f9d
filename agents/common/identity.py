"""Which agent played: its settings, its weights, and the seed of its training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from agents.common.registry import AGENTS, STOP, algorithm, parameters
from basalt.core.published import CARD, MANIFEST, local_copy
from basalt.core.registry import load
from basalt.io.untrusted import parse_json, read_bounded

_NOT_WEIGHTS = (
    *("config.json", "metrics.jsonl", "report.json", "training.safetensors"),
    *(CARD, MANIFEST),
)
"""Files of a run that do not change how it plays: they name its place, grow with it, only resume or describe it."""


@dataclass(frozen=True)
class Identity:
    """Which agent played.

    Attributes:
        hash: SHA-256 of its settings and of the weights that they name, in hexadecimal.
        learns: Whether it, or an agent inside it, learns.
        training_seed: Seed of its training, from the run's config.json; None if it does not learn or is unknown.
    """

    hash: str
    learns: bool
    training_seed: int | None


def identify(settings: Mapping[str, Any]) -> Identity:
    """The identity of an agent with these settings.

    Of a setting whose type admits a `Path`, the content counts and not the place: a copied checkpoint is the same
    agent. Of a run, only the newest checkpoint counts, which is the one that plays.

    Args:
        settings: Settings of the agent with its `name`, JSON-ready.

    Raises:
        ConfigError: There is no such agent.
    """
    digest = hashlib.sha256()
    learns, training_seed = _identify(settings, digest)
    return Identity(digest.hexdigest(), learns, training_seed)


def _identify(settings: Mapping[str, Any], digest: "hashlib._Hash") -> tuple[bool, int | None]:
    name = str(settings.get("name"))
    paths = {STOP}
    learns, training_seed = False, None
    if name in AGENTS:
        found = algorithm(name)
        learns = found.train is not None
        if found.trained_elsewhere:
            learns = bool(settings.get("learns", True))
            training_seed = settings.get("training_seed")
        paths |= {
            one.name
            for one in parameters(load(found.agent))
            if Path in (one.annotation, *get_args(one.annotation))
        }
    learns = learns or settings.get(STOP) is not None
    for key, value in sorted(settings.items()):
        if key == STOP and value is None:
            continue  # agents of before there was this setting are the same agents
        digest.update(json.dumps(key).encode())
        if isinstance(value, Mapping):
            inner_learns, inner_seed = _identify(value, digest)
            learns = learns or inner_learns
            training_seed = inner_seed if training_seed is None else training_seed
        elif key in paths and isinstance(value, str | Path) and local_copy(value).exists():
            place = local_copy(value)
            training_seed = training_seed_of(place) if training_seed is None else training_seed
            for file, named in _files(place):
                digest.update(json.dumps(named).encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
        else:
            digest.update(json.dumps(value, sort_keys=True).encode())
    return learns, training_seed


def _files(place: Path) -> Iterator[tuple[Path, str]]:
    """The files that hold the weights, and their names within them."""
    if place.is_file():
        yield place, ""
        return
    steps = [path for path in place.glob("checkpoints/step-*") if path.name[5:].isdecimal()]
    folder = max(steps, key=lambda path: int(path.name[5:]), default=place)
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") or part == "tensorboard" for part in name.parts)
        if file.is_file() and not hidden and name.as_posix() not in _NOT_WEIGHTS:
            yield file, name.as_posix()


def training_seed_of(place: Path) -> int | None:
    """The `seed` in the config.json of a run or of the run that a checkpoint is in; None if it is not known."""
    for folder in (place, *place.parents[:2]):
        try:
            seed = parse_json(read_bounded(folder / "config.json")).get("seed")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(seed, int):
            return seed
    return None
