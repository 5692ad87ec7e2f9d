"""Safetensors files: weights are read with their faults named; errors of writing are raised as `OSError`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from basalt.io.errors import ConfigError


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file with the permissions of the user's umask.

    Args:
        path: New file. safetensors writes a temporary file of its own beside it, so the folder should be
            one that is cleared after a kill.
        tensors: Contiguous tensors, none of which shares memory with another.
        metadata: Text to keep in the file's header.

    Raises:
        OSError: the file cannot be written; errno and filename are set.
    """
    # safetensors makes files that only their owner may read.
    path.touch()
    mode = path.stat().st_mode & 0o777
    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
    except SafetensorError as err:
        number = re.search(r"\(os error (\d+)\)", str(err))
        if number is None:
            raise
        raise OSError(int(number[1]), "cannot be written", str(path)) from err
    path.chmod(mode)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of weights, on the CPU, all of them finite.

    Raises:
        ConfigError: the file cannot be read, or holds NaN or an infinity.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as err:
        raise ConfigError(f"{path}: cannot be read ({err}); use another checkpoint") from err
    check_finite(weights, path)
    return weights


def check_finite(weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse weights that are not numbers: a network with one of them gives nothing but NaN, often without an error.

    Args:
        weights: Tensors by name.
        path: Their file, for the message.

    Raises:
        ConfigError: a tensor holds NaN or an infinity; the message names the first.
    """
    for name, tensor in weights.items():
        # One pass without a copy: NaN and infinities pass through to the extremes.
        if tensor.is_floating_point() and tensor.numel():
            low, high = (float(extreme) for extreme in torch.aminmax(tensor.detach()))
            if not (math.isfinite(low) and math.isfinite(high)):
                found = low if not math.isfinite(low) else high
                raise ConfigError(
                    f"{path}: {name}: expected finite weights, got {found}; use another checkpoint"
                )
