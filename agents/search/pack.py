"""A small copy of an index to share, beside the packed policy that embeds for it.

The full latents are left out: 32 principal components hold over 99% of the variance of a small policy's latents, and
neighbours are ranked in them.
"""

import shutil
from pathlib import Path

import numpy as np
import torch

from agents.search.index import open_index, write_index
from agents.search.train import INDEX
from basalt.io.atomic import replacing_folder
from basalt.io.errors import ConfigError
from basalt.policies.pack import SEARCH
from basalt.policies.source import fingerprint, open_policy

BESIDE = ".."
"""The policy of a packed index: the folder that the index's run is in."""


def check_embedded(run: Path, policy: Path) -> None:
    """Refuse an index whose demonstrations another policy embedded.

    Args:
        run: Run of `basalt train agent=search`.
        policy: Run of a policy, or one of its checkpoints.

    Raises:
        ConfigError: The run holds no index, or one of another policy's latents.
    """
    index = open_index(run / INDEX)
    if index.facts.get("fingerprint") != _weights(policy):
        raise ConfigError(
            f"--search: expected an index of latents of {policy}, got one of {index.facts.get('policy')}; "
            "embed the demonstrations with this policy, and index them again"
        )


def pack_index(run: Path, policy: Path) -> Path:
    """Copy a run of `agent=search` into the packed policy that embedded its demonstrations.

        POLICY/search/config.json   of the run
        POLICY/search/index/        projected latents in half precision, and the actions

    Args:
        run: Run of `basalt train agent=search`.
        policy: Folder written by `basalt.policies.pack.pack`.

    Returns:
        `policy` / `search`.

    Raises:
        ConfigError: The run holds no index.
        OSError: The folder cannot be written.
    """
    index = open_index(run / INDEX)
    with replacing_folder(policy / SEARCH) as folder:
        shutil.copyfile(run / "config.json", folder / "config.json")
        (folder / INDEX).mkdir()
        arrays = {
            "latents": np.asarray(index.projected, np.float16),
            **{
                name: getattr(index, name)
                for name in ("mean", "components", "starts", "buttons", "camera", "pitch")
            },
        }
        write_index(
            folder / INDEX,
            arrays,
            index.facts | {"policy": BESIDE, "fingerprint": _weights(policy)},
        )
    return policy / SEARCH


def _weights(policy: Path) -> str:
    return fingerprint(open_policy(policy, torch.device("cpu")))
