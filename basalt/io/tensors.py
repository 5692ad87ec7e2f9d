"""Save safetensors files; the library's text-only I/O errors are raised as `OSError`."""

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


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
