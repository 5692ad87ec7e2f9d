"""A policy from wherever it is: a run, a checkpoint, official files, or the name of a published model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from basalt.io.errors import ConfigError
from basalt.policies.catalogue import PUBLISHED, policies_dir, published
from basalt.policies.checkpoint import load_policy
from basalt.policies.official import LoadReport, load_official_policy
from basalt.policies.vpt import VPTPolicy


def open_policy(source: str | Path, device: torch.device) -> VPTPolicy:
    """A policy, ready to play.

    Args:
        source: a run's folder or a checkpoint; a ``.weights`` file with its ``.model`` beside it (or
            ``MODEL,WEIGHTS``); or the name of a published model that was downloaded.
        device: where it goes.

    Raises:
        ConfigError: nothing usable there.
    """
    if str(source) == "idm":
        raise ConfigError("policy: idm is the inverse dynamics model; it labels, it does not play")
    files = official_files(source)
    if files is None:
        return load_policy(source, device)[0]
    policy, _ = load_official_policy(*files)
    return policy.to(device)


def open_official(source: str | Path) -> tuple[VPTPolicy, LoadReport]:
    """Official files as a policy on the CPU, and what they lack or have too much.

    Raises:
        ConfigError: not official files, or unusable ones.
    """
    files = official_files(source)
    if files is None:
        raise ConfigError(
            f"{source}: neither a .weights file nor one of {', '.join(PUBLISHED)}; give one of them"
        )
    return load_official_policy(*files)


def official_files(source: str | Path) -> tuple[Path, Path] | None:
    """Paths of the ``.model`` and ``.weights`` that a source means; None where it means no such files.

    Raises:
        ConfigError: it does, but they are not there.
    """
    text = str(source)
    if "," in text:
        model, weights = map(Path, text.split(",", 1))
    elif text.endswith(".weights"):
        weights = Path(text)
        beside = [file for file in weights.parent.glob("*.model") if file.stem == weights.stem]
        beside = beside or _known_model(weights)
        if not beside:
            raise ConfigError(
                f"{weights}: no {weights.stem}.model beside it; name both, MODEL,WEIGHTS"
            )
        model = beside[0]
    elif text in PUBLISHED and not Path(text).exists():
        model, weights = (policies_dir() / path for path in published(text).paths)
        if not (model.is_file() and weights.is_file()):
            raise ConfigError(
                f"policy: {text} is not in {policies_dir()}; `basalt policy download {text}` gets it"
            )
    else:
        return None
    return model, weights


def _known_model(weights: Path) -> list[Path]:
    """The published .model that a published .weights shares with others, if it is there."""
    for entry in PUBLISHED.values():
        if Path(entry.weights).name == weights.name:
            model = weights.with_name(Path(entry.model).name)
            return [model] if model.is_file() else []
    return []


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over all weights with their names: which network this is, whatever file it came from."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}:{list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
