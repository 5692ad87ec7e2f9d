"""Checkpoints of a policy: a folder of safetensors and JSON, no pickle.

    RUN/checkpoints/step-00000200/
        checkpoint.json       format, step, the policy's sizes, what it was trained on
        model.safetensors     the policy's weights
        training.safetensors  what going on needs: optimizer state, the memory of each row

A folder appears under its final name only when it is whole, so the newest one can always be read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from basalt.io.errors import ConfigError
from basalt.io.tensors import write_tensors
from basalt.policies.vpt import VPTConfig, VPTPolicy

FORMAT = "basalt-checkpoint"
VERSION = 1
KEPT = 2
_NAME = re.compile(r"step-(\d{8})")


def choose_device(name: str) -> torch.device:
    """`auto` is a CUDA GPU where there is one, else the CPU; other names as in torch.

    Raises:
        ConfigError: not a device name, or no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as err:
        reason = str(err).splitlines()[0]
        raise ConfigError(f"device: {name!r} cannot be used here ({reason}); try auto") from err
    return device


def save_checkpoint(
    run: Path,
    step: int,
    policy: VPTPolicy,
    training: Mapping[str, Tensor],
    info: Mapping[str, Any],
) -> Path:
    """Write a checkpoint and remove all but the newest two.

    Args:
        run: the run's folder.
        step: training steps done.
        policy: whose weights and sizes to keep.
        training: tensors that going on needs.
        info: JSON-ready facts, e.g. the task.

    Returns:
        The checkpoint's folder.
    """
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".partial-*"):
        shutil.rmtree(leftover)
    partial = folder / f".partial-{os.getpid()}"
    partial.mkdir()
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "policy": policy.config.to_dict(),
        **info,
    }
    try:
        text = json.dumps(facts, indent=1) + "\n"
        (partial / "checkpoint.json").write_text(text, encoding="utf-8")
        for name, tensors in (("model", policy.state_dict()), ("training", training)):
            # Rows of a memory may share storage, which safetensors refuses.
            whole = {key: x.detach().cpu().contiguous().clone() for key, x in tensors.items()}
            write_tensors(partial / f"{name}.safetensors", whole)
    except OSError:
        shutil.rmtree(partial)
        raise
    final = folder / f"step-{step:08d}"
    if final.exists():
        shutil.rmtree(final)
    partial.replace(final)
    for old in _checkpoints(run)[:-KEPT]:
        shutil.rmtree(old)
    return final


def has_checkpoint(run: Path) -> bool:
    """Whether a run's folder holds a whole checkpoint."""
    return bool(_checkpoints(run))


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint folder that `path` is or, for a run's folder, the newest in it.

    Raises:
        ConfigError: neither is there.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return path
    found = _checkpoints(path)
    if not found:
        raise ConfigError(
            f"checkpoint: {path} is neither a checkpoint nor a run with checkpoints/step-*; "
            "train one with `basalt train`"
        )
    return found[-1]


def load_policy(path: str | Path, device: torch.device) -> tuple[VPTPolicy, dict[str, Any]]:
    """The policy of a checkpoint or run, ready to play, and the checkpoint's facts.

    Raises:
        ConfigError: no checkpoint there, or one that is damaged or of another format.
    """
    folder = find_checkpoint(path)
    file = folder / "checkpoint.json"
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as err:
        raise ConfigError(f"{file}: not JSON ({err}); take another checkpoint") from err
    if not isinstance(info, dict):
        raise ConfigError(f"{file}: holds no facts of a checkpoint; take another one")
    if (info.get("format"), info.get("version")) != (FORMAT, VERSION):
        raise ConfigError(
            f"{file}: format {info.get('format')!r} version {info.get('version')!r}; "
            f"this program reads {FORMAT} version {VERSION}"
        )
    try:
        policy = VPTPolicy(VPTConfig(**info["policy"]))
    except (ConfigError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise ConfigError(f"{file}: policy: no sizes of one ({err}); take another") from err
    try:
        policy.load_state_dict(_load(folder / "model.safetensors"))
    except RuntimeError as err:
        # torch lists every difference on a line of its own; one is enough to know.
        told = [line.strip() for line in str(err).splitlines()][1:2]
        raise ConfigError(
            f"{folder / 'model.safetensors'}: weights do not fit {file.name} ({''.join(told)}); "
            "take another checkpoint"
        ) from err
    return policy.to(device).eval(), info


def load_training(checkpoint: Path) -> dict[str, Tensor]:
    """The tensors that `save_checkpoint` got as `training`, on the CPU.

    Raises:
        ConfigError: the file is damaged.
    """
    return _load(checkpoint / "training.safetensors")


def _load(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); take another checkpoint") from err


def _checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(
        folder
        for folder in (run / "checkpoints").glob("step-*")
        if _NAME.fullmatch(folder.name) and (folder / "checkpoint.json").is_file()
    )
