"""OpenAI's published VPT files, read without running anything that is in them.

A `.model` file is a pickle of settings, a `.weights` file a `torch.save` of one state dict. Pickles can
run code, so the first is read by an unpickler that knows four inert classes and refuses all others,
the second by torch's weights-only loader.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTConfig, VPTPolicy

MAX_MODEL_BYTES = 2**20
_Module = TypeVar("_Module", bound=nn.Module)
# The published files hold descriptions of the observation space as objects of these classes.
_INERT = {("gym3.types", name) for name in ("DictType", "TensorType", "Discrete", "Real")}
# Ours to miss: VPT has no ESC head, and behaviour-cloned files may lack the value head.
_MAY_MISS = ("esc_head.", "value_head.")


class _Inert:
    """Takes any state and does nothing with it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _INERT:
            return _Inert
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no VPT file needs")


@dataclass(frozen=True)
class ModelFile:
    """Settings in a `.model` file.

    Attributes:
        policy_kwargs: the network's keyword arguments.
        pi_head_kwargs: the heads', i.e. `temperature`.
    """

    policy_kwargs: Mapping[str, Any]
    pi_head_kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class LoadReport:
    """Names in which weights and policy differ.

    Attributes:
        missing: of the policy, not in the file; they start at zero.
        unexpected: of the file, not in the policy; they are ignored.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def read_model_file(path: str | Path) -> ModelFile:
    """Settings of a published model.

    Raises:
        ConfigError: missing, too large, not a pickle, holding classes that do not belong there, or
            without the settings.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such .model file")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_MODEL_BYTES} bytes; is it the .weights file?")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
        arguments = content["model"]["args"]
        return ModelFile(dict(arguments["net"]["args"]), dict(arguments["pi_head_opts"]))
    except pickle.UnpicklingError as err:
        raise ConfigError(
            f"{path}: refused as a .model file: {err}; get it from its publisher"
        ) from err
    # A damaged pickle can fail in almost any way before it is done.
    except Exception as err:
        raise ConfigError(
            f"{path}: not a published .model file ({type(err).__name__}: {err}); fetch it again"
        ) from err


def read_weights_file(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a published model, on the CPU.

    Raises:
        ConfigError: missing, damaged, or holding anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such .weights file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:
        # torch goes on to guess at causes.
        reason = str(err).splitlines()[0].split(". ")[0]
        raise ConfigError(
            f"{path}: not a published .weights file ({reason}); fetch it again"
        ) from err
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(
            f"{path}: not a published .weights file (no flat state dict); give one that is"
        )
    return content


def load_official_policy(model: str | Path, weights: str | Path) -> tuple[VPTPolicy, LoadReport]:
    """A published policy, on the CPU and ready to play; ours to add is only its ESC head.

    Raises:
        ConfigError: a file is unusable, the two do not belong together, or weights of the network or
            the action heads are missing.
    """
    settings = read_model_file(model)
    policy = build(
        model,
        lambda: VPTPolicy(VPTConfig.from_kwargs(settings.policy_kwargs, settings.pi_head_kwargs)),
    )
    return policy, fill(policy, read_weights_file(weights), str(weights), str(model))


def build(model: str | Path, make: Callable[[], _Module]) -> _Module:
    """What the settings of a `.model` file ask for, without memory for its weights.

    Raises:
        ConfigError: there is no such network.
    """
    try:
        with torch.device("meta"):
            return make()
    # Settings are a stranger's: lists for numbers, groups that do not divide channels...
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as err:
        reason = str(err).splitlines()[0]
        raise ConfigError(
            f"{model}: settings that no published model has ({reason}); fetch the file again"
        ) from err


def fill(
    module: nn.Module, weights: Mapping[str, Tensor], weights_name: str, model_name: str
) -> LoadReport:
    """Give a module made on the meta device its weights, in place, leniently where that is safe.

    Raises:
        ConfigError: a shape differs, or a weight of the network or the action heads is missing.
    """
    wanted = module.state_dict()
    for name, value in weights.items():
        if name in wanted and value.shape != wanted[name].shape:
            raise ConfigError(
                f"{weights_name}: {name} is {list(value.shape)}, but {model_name} asks for "
                f"{list(wanted[name].shape)}; the two files do not belong together; "
                "give those of one model"
            )
    missing = tuple(name for name in wanted if name not in weights)
    needed = [name for name in missing if not name.startswith(_MAY_MISS)]
    if needed:
        raise ConfigError(
            f"{weights_name}: {len(needed)} weights are missing, the first is {needed[0]}; "
            f"it does not belong to {model_name}, or fetch it again"
        )
    module.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in module.state_dict().items():
            # float32 whatever the file holds; copies keep the file's tensors untouched.
            parameter.copy_(weights[name]) if name in weights else parameter.zero_()
    module.eval()
    return LoadReport(missing, tuple(name for name in weights if name not in wanted))
