"""A policy of the smallest size that has every part, with random weights."""

from pathlib import Path

import torch

from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy

TINY = VPTConfig(
    hidsize=32, attention_heads=2, attention_memory_size=24, timesteps=8, n_recurrence_layers=2,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(32, 32, 3),
)  # fmt: skip


def tiny_run(folder: Path, seed: int = 0) -> Path:
    """Save the policy as a run of one checkpoint.

    Returns:
        The folder.
    """
    torch.manual_seed(seed)
    save_checkpoint(folder, 1, VPTPolicy(TINY), {}, {"task": "find_cave"})
    return folder
