"""Autoencoders on disk, in the layout that SAELens reads: safetensors and `cfg.json`."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from basalt.core.records import first_fault
from basalt.io.atomic import replacing_folder
from basalt.io.errors import ConfigError
from basalt.io.tensors import read_weights, write_tensors
from basalt.io.untrusted import parse_json, read_bounded
from basalt.probes.sae.config import ARCHITECTURES, SAEConfig
from basalt.probes.sae.model import SAE

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


class SAEInfo(BaseModel):
    """Where an autoencoder comes from (`metadata` in `cfg.json`); other keys are kept as they are.

    Attributes:
        hook_point: Hook point whose activations it takes; stored as `site`.
        checkpoint: Fingerprint of the policy's weights.
        network: `trained` or `random_network`; only written by the smoke test.
        training: Settings it was trained with.
        trained_as: Architecture it was trained as.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", validate_by_name=True, serialize_by_alias=True
    )

    hook_point: str | None = Field(None, validation_alias="site", serialization_alias="site")
    checkpoint: str | None = None
    network: str | None = None
    training: SAEConfig | None = None
    trained_as: str | None = None


class _Sizes(BaseModel):
    """Sizes in `cfg.json`, which may be a stranger's."""

    d_in: Annotated[int, Field(ge=1, le=2**16)]
    d_sae: Annotated[int, Field(ge=1, le=2**24)]
    k: Annotated[int, Field(ge=1)] | None


def save_sae(folder: Path, sae: SAE, info: SAEInfo) -> None:
    """Write an autoencoder; a reader finds the old one or the new one, never a part of it.

    SAELens has three functions that match ours: `standard` (no threshold), `jumprelu` and `topk`. The
    architecture it was trained as is in the metadata (`trained_as`).

    Args:
        folder: Folder that is made, or replaced as a whole.
        sae: Autoencoder to write.
        info: Where it comes from.
    """
    d_in, width = sae.W_enc.shape
    tensors = {name: value.detach().cpu().contiguous() for name, value in sae.state_dict().items()}
    info = info.model_copy(update={"trained_as": sae.architecture})
    config: dict[str, Any] = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": info.model_dump(mode="json", exclude_none=True),
    }
    if sae.k is not None:
        config |= {"architecture": "topk", "k": sae.k}
        del tensors["threshold"]
    elif not sae.threshold.any():
        config |= {"architecture": "standard"}
        del tensors["threshold"]
    with replacing_folder(folder) as partial:
        write_tensors(partial / WEIGHTS, tensors)
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_sae(folder: Path) -> tuple[SAE, SAEInfo]:
    """Read an autoencoder.

    Raises:
        ConfigError: files are missing or damaged, or hold a function of another kind.
    """
    try:
        config = parse_json(read_bounded(folder / CONFIG))
        function, d_in, width = config["architecture"], config["d_in"], config["d_sae"]
        info = SAEInfo.model_validate(config.get("metadata", {}))
        sizes = _Sizes(d_in=d_in, d_sae=width, k=config["k"] if function == "topk" else None)
    except ValidationError as err:  # a ValueError, so it comes first
        raise ConfigError(f"{folder / CONFIG}: {first_fault(err, 'the object')}") from err
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise ConfigError(f"{folder}: expected a saved autoencoder ({err!r})") from err
    raw = (
        config.get("apply_b_dec_to_input") or config.get("normalize_activations", "none") != "none"
    )
    if function not in ("standard", "jumprelu", "topk") or raw:
        raise ConfigError(
            f"{folder / CONFIG}: architecture {function!r} cannot be read; "
            "expected standard, jumprelu or topk, folded to take raw activations"
        )
    tensors = read_weights(folder / WEIGHTS)
    shape = tuple(tensors["W_enc"].shape) if "W_enc" in tensors else ()
    if shape != (sizes.d_in, sizes.d_sae):
        raise ConfigError(
            f"{folder / WEIGHTS}: does not fit {CONFIG}: expected W_enc of {(sizes.d_in, sizes.d_sae)}, got {shape or None}"
        )
    trained_as = info.trained_as
    if trained_as is None or trained_as not in ARCHITECTURES:
        trained_as = "relu" if function == "standard" else function
    sae = SAE(sizes.d_in, sizes.d_sae, k=sizes.k, architecture=trained_as)
    tensors.setdefault("threshold", sae.threshold.detach().clone())
    try:
        sae.load_state_dict(tensors)
    except RuntimeError as err:
        raise ConfigError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {err}") from err
    return sae.eval(), info
