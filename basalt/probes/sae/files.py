"""Autoencoders on disk, in the layout that SAELens reads: safetensors and cfg.json."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from basalt.io.errors import ConfigError
from basalt.io.tensors import write_tensors
from basalt.probes.sae.config import ARCHITECTURES
from basalt.probes.sae.model import SAE

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


def save_sae(folder: Path, sae: SAE, metadata: Mapping[str, Any]) -> None:
    """Write an autoencoder; whoever looks finds the old one or the new one, never half of it.

    SAELens knows three functions among ours: `standard` (no threshold), `jumprelu` and `topk`. How the
    autoencoder was trained stands in the metadata as `trained_as`.

    Args:
        folder: made, or replaced as a whole.
        sae: what to keep.
        metadata: JSON-ready facts, e.g. site and checkpoint.
    """
    d_in, width = sae.W_enc.shape
    tensors = {name: value.detach().cpu().contiguous() for name, value in sae.state_dict().items()}
    config: dict[str, Any] = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": dict(metadata) | {"trained_as": sae.architecture},
    }
    if sae.k is not None:
        config |= {"architecture": "topk", "k": sae.k}
        del tensors["threshold"]
    elif not sae.threshold.any():
        config |= {"architecture": "standard"}
        del tensors["threshold"]
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_tensors(partial / WEIGHTS, tensors)
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_sae(folder: Path) -> tuple[SAE, dict[str, Any]]:
    """A saved autoencoder and its metadata.

    Raises:
        ConfigError: files missing or damaged, or a function of another kind.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        function, d_in, width = config["architecture"], config["d_in"], config["d_sae"]
        metadata = config.get("metadata", {})
        k = int(config["k"]) if function == "topk" else None
    except (OSError, ValueError, KeyError, SafetensorError) as err:
        raise ConfigError(f"{folder}: not a saved autoencoder ({err!r})") from err
    raw = (
        config.get("apply_b_dec_to_input") or config.get("normalize_activations", "none") != "none"
    )
    if function not in ("standard", "jumprelu", "topk") or raw:
        raise ConfigError(
            f"{folder / CONFIG}: architecture {function!r} cannot be read; "
            "known: standard, jumprelu, topk, folded to take raw activations"
        )
    trained_as = metadata.get("trained_as")
    if trained_as not in ARCHITECTURES:
        trained_as = "relu" if function == "standard" else function
    sae = SAE(d_in, width, k=k, architecture=trained_as)
    tensors.setdefault("threshold", sae.threshold.detach().clone())
    try:
        sae.load_state_dict(tensors)
    except RuntimeError as err:
        raise ConfigError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {err}") from err
    return sae.eval(), metadata
