"""A hybrid agent packed to be shared: its heads and its machine; it has to need nothing else."""

from pathlib import Path

import torch

from agents.hybrid.checkpoint import HybridCheckpoint, load_hybrid
from basalt.io.errors import ConfigError
from basalt.io.untrusted import parse_json, read_bounded
from basalt.policies.checkpoint import find_checkpoint
from basalt.policies.pack import pack_checkpoint


def is_hybrid(run: Path) -> bool:
    """Whether a folder is a run of `basalt train agent=hybrid`, or one of its checkpoints.

    Raises:
        ConfigError: It has no checkpoint.
    """
    try:
        facts = parse_json(read_bounded(find_checkpoint(run) / "checkpoint.json"))
    except (OSError, ValueError):
        return False  # what is wrong with it, the reader of policies says
    return isinstance(facts, dict) and facts.get("format") == HybridCheckpoint.FORMAT


def pack_hybrid(run: Path, out: Path, ending: Path | None = None) -> Path:
    """Copy the newest checkpoint of a hybrid agent, and its stopping head, into a folder; see `basalt.policies.pack.pack`.

    Args:
        run: Run of `basalt train agent=hybrid` whose heads have an encoder of their own and whose machine consists of
            scripts, or one of its checkpoints.
        out: New folder.
        ending: Run of `basalt train agent=ending`, or one of its checkpoints.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` exists, or the agent or the head needs a run or a trunk, which would have to stay where it is.
        OSError: `out` cannot be written.
    """
    _, info = load_hybrid(run, torch.device("cpu"))
    needed = [played.path for played in info.runs.values()] + [info.trunk] * bool(info.trunk)
    if needed:
        raise ConfigError(
            f"RUN: expected a hybrid agent with an encoder of its own (encoder_steps=1200) and a machine of scripts, got one "
            f"that needs {' and '.join(needed)}; train it without trunk= and walker="
        )
    return pack_checkpoint(find_checkpoint(run), HybridCheckpoint, out, ending)
