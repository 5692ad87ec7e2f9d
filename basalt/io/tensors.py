"""Writing tensors; safetensors tells of a full disk in words only, here it is the system's own error."""

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; others may read it as far as the user's umask lets them.

    Args:
        path: a new file, in a folder that is cleared when a writer is killed: safetensors writes
            beside it, under a name of its own.
        tensors: contiguous, none sharing another's memory.
        metadata: to be kept in the file's header.

    Raises:
        OSError: it cannot be written, with the system's number and the file's name.
    """
    # safetensors makes files that only their owner may read; one made as usual knows better.
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
