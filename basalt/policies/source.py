"""Open a policy from a run, a checkpoint, official files, or the name of a published model."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from basalt.io.errors import ConfigError
from basalt.policies.catalogue import PUBLISHED, policies_dir, published
from basalt.policies.checkpoint import Checkpoint, find_checkpoint, load_policy
from basalt.policies.official import load_official_policy
from basalt.policies.vpt import VPTPolicy


def open_policy(source: str | Path, device: torch.device, setting: str = "policy") -> VPTPolicy:
    """A policy in evaluation mode.

    Args:
        source: Folder of a run or a checkpoint; a `.weights` file with its `.model` beside it (or
            `MODEL,WEIGHTS`); or the name of a downloaded published model.
        device: Device of the policy.
        setting: Name of the setting that gave the source, for messages.

    Raises:
        ConfigError: The source is not a usable policy.
    """
    if str(source) == "idm":
        raise ConfigError(
            f"{setting}: idm is the inverse dynamics model, which labels videos; use a policy"
        )
    files = official_files(source, setting)
    if files is None:
        return load_policy(find_checkpoint(source, setting), device)[0]
    policy, _ = load_official_policy(*files)
    return policy.to(device)


def trained_on(source: str | Path, setting: str = "policy") -> frozenset[str]:
    """Groups (`Episode.split_group`) that a run or checkpoint was trained on; empty for a published policy.

    Args:
        source: See `open_policy`.
        setting: Name of the setting that gave the source, for messages.

    Raises:
        ConfigError: The source is not a usable policy.
    """
    if official_files(source, setting) is not None:
        return frozenset()
    file = find_checkpoint(source, setting) / "checkpoint.json"
    return frozenset(Checkpoint.read(file).train_places)


def official_files(source: str | Path, setting: str = "policy") -> tuple[Path, Path] | None:
    """Paths of the `.model` and `.weights` files that a source names; None if it is not official files.

    Args:
        source: See `open_policy`.
        setting: Name of the setting that gave the source, for messages.

    Raises:
        ConfigError: The files are missing.
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
                f"{weights}: {weights.stem}.model is not beside it; give both as MODEL,WEIGHTS"
            )
        model = beside[0]
    elif text in PUBLISHED and not Path(text).exists():
        model, weights = (policies_dir() / path for path in published(text).paths)
        if not (model.is_file() and weights.is_file()):
            raise ConfigError(
                f"{setting}: {text} is not in {policies_dir()}; run `basalt policy download {text}`"
            )
    else:
        return None
    return model, weights


def _known_model(weights: Path) -> list[Path]:
    """The published .model file of a published .weights file, if it is in the same folder."""
    for entry in PUBLISHED.values():
        if Path(entry.weights).name == weights.name:
            model = weights.with_name(Path(entry.model).name)
            return [model] if model.is_file() else []
    return []


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over all weights with their names; independent of the file that they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}:{list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
