"""Checkpoints of a policy: a folder of safetensors and JSON, no pickle.

    RUN/checkpoints/step-00000200/
        checkpoint.json       format, step, the policy's sizes, what it was trained on
        model.safetensors     the policy's weights
        training.safetensors  what resuming needs: optimizer state, the policy's memory

A folder appears under its final name only when it is complete, so the newest one can always be read.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from basalt.core.published import local_copy
from basalt.core.records import Record
from basalt.io.atomic import replacing_folder
from basalt.io.console import note
from basalt.io.errors import ConfigError
from basalt.io.tensors import read_weights, write_tensors
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy

KEPT = 2
N = TypeVar("N", bound=nn.Module)
R = TypeVar("R")
_NAME = re.compile(r"step-(\d{8})")


class Checkpoint(Record):
    """What a checkpoint is of (`checkpoint.json`); a trainer may add facts of its own.

    Attributes:
        step: Number of optimizer steps done.
        policy: Sizes of the policy.
        task: Name of the task that it was trained on.
        drop_null: Whether frames without any action were left out.
        labels: Labelling rules of its training data.
        train_places, held_out_places: Groups (`Episode.split_group`) that it was trained on, and held out.
        first_loss: Loss of the untrained policy; None in checkpoints of before this was stored.
    """

    model_config = ConfigDict(extra="allow")
    FORMAT: ClassVar[str] = "basalt-checkpoint"

    step: int
    policy: VPTConfig
    task: str = ""
    drop_null: bool = False
    labels: str = "corrected"
    train_places: tuple[str, ...] = ()
    held_out_places: tuple[str, ...] = ()
    first_loss: float | None = None


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
        info: Further fields of `Checkpoint`.

    Returns:
        The checkpoint's folder.
    """
    record = Checkpoint(step=step, policy=policy.config, **info)
    return write_checkpoint(run, step, record, policy.state_dict(), training)


def write_checkpoint(
    run: Path,
    step: int,
    record: Record,
    model: Mapping[str, Tensor],
    training: Mapping[str, Tensor],
) -> Path:
    """Write a checkpoint of any network and remove all but the newest two.

    Args:
        run: Folder of the training run.
        step: Number of optimizer steps done.
        record: Content of checkpoint.json.
        model: Weights of the network.
        training: Tensors that resuming needs.

    Returns:
        The checkpoint's folder.
    """
    final = run / "checkpoints" / f"step-{step:08d}"
    with replacing_folder(final) as partial:
        record.write(partial / "checkpoint.json")
        for name, tensors in (("model", model), ("training", training)):
            # Rows of a memory may share storage, which safetensors refuses.
            whole = {key: x.detach().cpu().contiguous().clone() for key, x in tensors.items()}
            write_tensors(partial / f"{name}.safetensors", whole)
    for old in _checkpoints(run)[:-KEPT]:
        shutil.rmtree(old)
    return final


def has_checkpoint(run: Path) -> bool:
    """Whether a run's folder holds a complete checkpoint."""
    return bool(_checkpoints(run))


def find_checkpoint(
    path: str | Path, setting: str = "checkpoint", command: str = "basalt train"
) -> Path:
    """The checkpoint folder: `path` itself, or the newest one of the run in `path`.

    Args:
        path: Folder of a checkpoint or a run, or the address of a published one.
        setting: Name of the setting that gave the path, for the message.
        command: Command that makes such runs, for the message.

    Raises:
        ConfigError: `path` is neither a checkpoint nor a run with checkpoints.
    """
    path = local_copy(path)
    if (path / "checkpoint.json").is_file():
        return path
    found = _checkpoints(path)
    if not found:
        raise ConfigError(
            f"{setting}: expected a checkpoint or a run with checkpoints/step-*, got {path}; "
            f"give a run of `{command}`"
        )
    return found[-1]


def read_newest(run: Path, read: Callable[[Path], R], *, quiet: bool = False) -> tuple[Path, R]:
    """Read the newest checkpoint that can be read, to resume a run whose newest one is damaged.

    A line on stderr names each that is passed over. They stay until training replaces them.

    Args:
        run: Folder of a training run with checkpoints.
        read: Function that reads a checkpoint's folder; it raises ConfigError if that is damaged.
        quiet: Whether to leave out the lines, in all processes of a run but one.

    Returns:
        The checkpoint's folder, and what was read.

    Raises:
        ConfigError: None of the checkpoints can be read.
    """
    *newer, oldest = reversed(_checkpoints(run))
    for folder in newer:
        try:
            return folder, read(folder)
        except ConfigError as err:
            if not quiet:
                note(f"{folder}: damaged ({err}); resuming from the checkpoint before it")
    try:
        return oldest, read(oldest)
    except ConfigError as err:
        raise ConfigError(
            f"{oldest}: damaged ({err}), and there is no checkpoint before it; remove {oldest.parent} to "
            "train from the start"
        ) from err


def load_policy(path: str | Path, device: torch.device) -> tuple[VPTPolicy, Checkpoint]:
    """The policy of a checkpoint or run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or of another format.
    """
    folder = find_checkpoint(path)
    file = folder / "checkpoint.json"
    info = Checkpoint.read(file)
    return load_network(folder, lambda: VPTPolicy(info.policy)).to(device).eval(), info


def load_network(folder: Path, make: Callable[[], N]) -> N:
    """Make a network and load the weights of a checkpoint into it.

    The sizes in checkpoint.json may be anything. So the network is first made on the meta device, where it takes no memory,
    and compared with the weights: what is then made for real is as large as their file.

    Args:
        folder: Folder of the checkpoint.
        make: Function that makes the network with the sizes of the checkpoint; it is called twice.

    Raises:
        ConfigError: The weights are damaged or not finite, or are those of another network.
    """
    file = folder / "model.safetensors"
    try:
        with torch.device("meta"):
            wanted = {name: list(x.shape) for name, x in make().state_dict().items()}
        if fault := _difference(wanted, _shapes(file)):
            raise ValueError(fault)
        network = make()
        network.load_state_dict(read_weights(file))
    except (RuntimeError, ValueError, TypeError, OverflowError) as err:
        # torch lists every difference on a line of its own; the first is enough.
        lines = [line.strip() for line in str(err).splitlines()]
        raise ConfigError(
            f"{file}: weights do not fit checkpoint.json ({(lines[1:] or lines)[0]}); use another checkpoint"
        ) from err
    return network


def load_training(checkpoint: Path) -> dict[str, Tensor]:
    """The tensors saved as `training` by `save_checkpoint`, on the CPU.

    Raises:
        ConfigError: The file is damaged.
    """
    return _load(checkpoint / "training.safetensors")


def _difference(wanted: Mapping[str, list[int]], found: Mapping[str, list[int]]) -> str | None:
    """The first difference between the shapes of a network's weights and those of a file."""
    for name in [*wanted, *found]:
        if wanted.get(name) != found.get(name):
            return (
                f"{name}: expected {wanted.get(name, 'nothing')}, got {found.get(name, 'nothing')}"
            )
    return None


def _shapes(file: Path) -> dict[str, list[int]]:
    """Shapes of a file's tensors by name, without reading them."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as err:
        raise ConfigError(f"{file}: cannot be read ({err}); use another checkpoint") from err


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
