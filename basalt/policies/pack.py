"""A run packed to be shared: weights in half precision and the facts of their training, without what only training needs."""

import shutil
from pathlib import Path

import torch
from torch import Tensor

from basalt.core.records import Record
from basalt.io.atomic import replacing_folder
from basalt.io.errors import ConfigError
from basalt.io.tensors import check_finite, read_weights, write_tensors
from basalt.policies.checkpoint import Checkpoint, find_checkpoint, load_policy
from basalt.policies.ending import EndingCheckpoint, open_ending

ENDING = "ending"
"""Name of the stopping head's folder in a packed run."""

SEARCH = "search"
"""Name of the folder of a packed run that holds the demonstrations for `agent=search`; `agents.search.pack` writes it."""

FACTS = ("config.json", "report.json")
"""Files of a run that are kept, where there are any."""


def pack(run: Path, out: Path, ending: Path | None = None) -> Path:
    """Copy the newest checkpoint of a run, and its stopping head, into a folder that plays and is probed like the run.

        OUT/config.json, report.json           of the run
        OUT/checkpoints/step-N/                checkpoint.json, model.safetensors
        OUT/ending/                            the same of the stopping head

    Weights are rounded to half precision, so the packed policy is another agent than the run: evaluate the packed one.
    It cannot be trained further, only be started from (`init=`).

    Args:
        run: Run of a policy, or one of its checkpoints.
        out: New folder.
        ending: Run of `basalt train agent=ending`, or one of its checkpoints; None for a policy alone.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` exists, a run cannot be used, or the head reads the latents of a trunk, which would have to
            stay where it is.
        OSError: `out` cannot be written.
    """
    load_policy(run, torch.device("cpu"))  # refuses what does not play
    return pack_checkpoint(find_checkpoint(run), Checkpoint, out, ending)


def pack_checkpoint(
    checkpoint: Path, kind: type[Record], out: Path, ending: Path | None = None
) -> Path:
    """`pack` of a checkpoint whose `checkpoint.json` is a record of any kind.

    Raises:
        ConfigError: `out` exists, or the stopping head cannot be packed.
        OSError: `out` cannot be written.
    """
    if out.exists():
        raise ConfigError(f"--out: expected a new folder, got {out}, which exists; choose another")
    if ending is not None:
        open_ending(ending, torch.device("cpu"), "--ending")
        info = EndingCheckpoint.read(
            find_checkpoint(ending, "--ending", "basalt train agent=ending") / "checkpoint.json"
        )
        if info.trunk:
            raise ConfigError(
                f"--ending: expected a head with an encoder of its own, got one on the latents of {info.trunk}; "
                "train it without trunk="
            )
    with replacing_folder(out) as folder:
        _copy(checkpoint, kind, folder)
        if ending is not None:
            _copy(find_checkpoint(ending), EndingCheckpoint, folder / ENDING)
    return out


def _copy(checkpoint: Path, kind: type[Record], out: Path) -> None:
    """Copy one checkpoint, and the facts of its run, into a new run."""
    run = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint
    new = out / "checkpoints" / checkpoint.name
    new.mkdir(parents=True)
    for name in FACTS:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    kind.read(checkpoint / "checkpoint.json").write(new / "checkpoint.json")
    weights = {
        name: _halved(x) for name, x in read_weights(checkpoint / "model.safetensors").items()
    }
    check_finite(weights, checkpoint / "model.safetensors in half precision")
    write_tensors(new / "model.safetensors", weights)


def _halved(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
