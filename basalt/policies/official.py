"""Read OpenAI's published VPT files without running code that they contain.

A `.model` file is a pickle of settings, a `.weights` file a `torch.save` of one state dict. Pickles can
run code, so the first is read by an unpickler that allows four inert classes and refuses all others,
and the second by torch's weights-only loader.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from basalt.io.errors import ConfigError
from basalt.io.tensors import check_finite
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy

MAX_MODEL_BYTES = 2**20
_Module = TypeVar("_Module", bound=nn.Module)
# The published files hold descriptions of the observation space as objects of these classes.
_INERT = {("gym3.types", name) for name in ("DictType", "TensorType", "Discrete", "Real")}
# VPT has no ESC head, and files of behaviour-cloned policies may have no value head.
_MAY_MISS = ("esc_head.", "value_head.")


class _Inert:
    """Accepts any state and ignores it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _INERT:
            return _Inert
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which no VPT file needs")


@dataclass(frozen=True)
class ModelFile:
    """Settings in a `.model` file.

    Attributes:
        policy_kwargs: Keyword arguments of the network.
        pi_head_kwargs: Keyword arguments of the heads, i.e. `temperature`.
    """

    policy_kwargs: Mapping[str, Any]
    pi_head_kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class LoadReport:
    """Weights in which a file and a policy differ, by name.

    Attributes:
        missing: Weights of the policy that are not in the file; they start at zero.
        unexpected: Weights in the file that the policy does not have; they are ignored.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def read_model_file(path: str | Path) -> ModelFile:
    """Settings of a published model.

    Raises:
        ConfigError: The file is missing, too large or not a pickle, contains other classes, or has no
            settings.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: .model file not found")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_MODEL_BYTES} bytes; is it the .weights file?")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
        arguments = content["model"]["args"]
        return ModelFile(dict(arguments["net"]["args"]), dict(arguments["pi_head_opts"]))
    except pickle.UnpicklingError as err:
        raise ConfigError(
            f"{path}: refused as a .model file: {err}; download it from its publisher"
        ) from err
    # A damaged pickle can raise almost any exception.
    except Exception as err:
        raise ConfigError(
            f"{path}: not a published .model file ({type(err).__name__}: {err}); download it again"
        ) from err


def read_weights_file(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a published model, on the CPU.

    Raises:
        ConfigError: The file is missing, damaged, or contains anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: .weights file not found")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:
        # The rest of torch's message guesses at causes.
        reason = str(err).splitlines()[0].split(". ")[0]
        raise ConfigError(
            f"{path}: not a published .weights file ({reason}); download it again"
        ) from err
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(
            f"{path}: not a published .weights file: expected a flat state dict; download it again"
        )
    return content


def load_official_policy(model: str | Path, weights: str | Path) -> tuple[VPTPolicy, LoadReport]:
    """A published policy on the CPU, in evaluation mode, with a new ESC head; see `load_official`."""
    return load_official(
        model,
        weights,
        lambda found: VPTPolicy(VPTConfig.from_kwargs(found.policy_kwargs, found.pi_head_kwargs)),
    )


def load_official(
    model: str | Path, weights: str | Path, make: Callable[[ModelFile], _Module]
) -> tuple[_Module, LoadReport]:
    """A published network on the CPU, in evaluation mode.

    Args:
        model: The `.model` file.
        weights: The `.weights` file.
        make: Makes the network from the content of the `.model` file; runs on the meta device.

    Raises:
        ConfigError: A file is unusable, the two belong to different models, or weights of the network
            or the action heads are missing. ESC and value head may be missing.
    """
    settings = read_model_file(model)
    try:
        with torch.device("meta"):
            module = make(settings)
    # The file is untrusted: lists for numbers, groups that do not divide channels...
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as err:
        reason = str(err).splitlines()[0]
        raise ConfigError(
            f"{model}: expected the settings of a published model ({reason}); download the file again"
        ) from err
    return module, _fill(module, read_weights_file(weights), weights, model)


def _fill(
    module: nn.Module, weights: Mapping[str, Tensor], weights_file: str | Path, model: str | Path
) -> LoadReport:
    """Load weights into a module made on the meta device."""
    wanted = module.state_dict()
    for name, value in weights.items():
        if name in wanted and value.shape != wanted[name].shape:
            raise ConfigError(
                f"{weights_file}: {name} is {list(value.shape)}, but {model} expects "
                f"{list(wanted[name].shape)}; use two files of the same model"
            )
    missing = tuple(name for name in wanted if name not in weights)
    needed = [name for name in missing if not name.startswith(_MAY_MISS)]
    if needed:
        raise ConfigError(
            f"{weights_file}: {len(needed)} weights are missing, the first is {needed[0]}; "
            f"use the weights that belong to {model}, or download them again"
        )
    check_finite(weights, weights_file)
    module.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in module.state_dict().items():
            # Always float32; copying leaves the file's tensors unchanged.
            parameter.copy_(weights[name]) if name in weights else parameter.zero_()
    module.eval()
    return LoadReport(missing, tuple(name for name in weights if name not in wanted))
