"""Checkpoints of a policy: a folder of safetensors and JSON, no pickle.

    RUN/checkpoints/step-00000200/
        checkpoint.json       format, step, the policy's sizes, what it was trained on
        model.safetensors     the policy's weights
        training.safetensors  what resuming needs: optimizer state, the policy's memory

A folder appears under its final name only when it is complete, so the newest one can always be read.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from basalt.io.atomic import replacing_folder, write_json
from basalt.io.errors import ConfigError
from basalt.io.tensors import write_tensors
from basalt.policies.vpt import VPTConfig, VPTPolicy

FORMAT = "basalt-checkpoint"
VERSION = 1
KEPT = 2
_NAME = re.compile(r"step-(\d{8})")


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is a CUDA GPU if the machine has one, else the CPU.

    Raises:
        ConfigError: The name is not a torch device, or the machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as err:
        reason = str(err).splitlines()[0]
        raise ConfigError(
            f"device: {name!r} cannot be used on this machine ({reason}); use device=auto"
        ) from err
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
        run: Folder of the training run.
        step: Number of optimizer steps done.
        policy: Policy whose weights and sizes are saved.
        training: Tensors that resuming needs.
        info: JSON-ready facts, such as the task.

    Returns:
        The checkpoint's folder.
    """
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "policy": policy.config.to_dict(),
        **info,
    }
    final = run / "checkpoints" / f"step-{step:08d}"
    with replacing_folder(final) as partial:
        write_json(partial / "checkpoint.json", facts)
        for name, tensors in (("model", policy.state_dict()), ("training", training)):
            # Rows of a memory may share storage, which safetensors refuses.
            whole = {key: x.detach().cpu().contiguous().clone() for key, x in tensors.items()}
            write_tensors(partial / f"{name}.safetensors", whole)
    for old in _checkpoints(run)[:-KEPT]:
        shutil.rmtree(old)
    return final


def has_checkpoint(run: Path) -> bool:
    """Whether a run's folder holds a complete checkpoint."""
    return bool(_checkpoints(run))


def find_checkpoint(path: str | Path, setting: str = "checkpoint") -> Path:
    """The checkpoint folder: `path` itself, or the newest one of the run in `path`.

    Args:
        path: Folder of a checkpoint or a run.
        setting: Name of the setting that gave the path, for the message.

    Raises:
        ConfigError: `path` is neither a checkpoint nor a run with checkpoints.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return path
    found = _checkpoints(path)
    if not found:
        raise ConfigError(
            f"{setting}: expected a checkpoint or a run with checkpoints/step-*, got {path}; "
            "train a policy with `basalt train`"
        )
    return found[-1]


def load_policy(path: str | Path, device: torch.device) -> tuple[VPTPolicy, dict[str, Any]]:
    """The policy of a checkpoint or run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or of another format.
    """
    folder = find_checkpoint(path)
    file = folder / "checkpoint.json"
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as err:
        raise ConfigError(f"{file}: not valid JSON ({err}); use another checkpoint") from err
    if not isinstance(info, dict):
        raise ConfigError(f"{file}: is not checkpoint metadata; use another checkpoint")
    if (info.get("format"), info.get("version")) != (FORMAT, VERSION):
        raise ConfigError(
            f"{file}: expected {FORMAT} version {VERSION}, got {info.get('format')!r} version "
            f"{info.get('version')!r}; use another checkpoint"
        )
    try:
        policy = VPTPolicy(VPTConfig(**info["policy"]))
    except (ConfigError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise ConfigError(
            f"{file}: 'policy' is not a valid VPTConfig ({err}); use another checkpoint"
        ) from err
    try:
        policy.load_state_dict(_load(folder / "model.safetensors"))
    except RuntimeError as err:
        # torch lists every difference on a line of its own; the first is enough.
        first = [line.strip() for line in str(err).splitlines()][1:2]
        raise ConfigError(
            f"{folder / 'model.safetensors'}: weights do not fit {file.name} ({''.join(first)}); "
            "use another checkpoint"
        ) from err
    return policy.to(device).eval(), info


def load_training(checkpoint: Path) -> dict[str, Tensor]:
    """The tensors saved as `training` by `save_checkpoint`, on the CPU.

    Raises:
        ConfigError: The file is damaged.
    """
    return _load(checkpoint / "training.safetensors")


def _load(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); use another checkpoint") from err


def _checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(
        folder
        for folder in (run / "checkpoints").glob("step-*")
        if _NAME.fullmatch(folder.name) and (folder / "checkpoint.json").is_file()
    )
