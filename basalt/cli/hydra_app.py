"""Commands that are Hydra applications over ``configs/``, with errors of one line."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from basalt.io.errors import BasaltError, ConfigError


def hydra_app(config: str, function: Callable[[DictConfig], None], argv: list[str]) -> int:
    """Compose ``configs/{config}.yaml`` with the arguments and call the function with it.

    With ``-m`` Hydra's launcher calls it for each combination of a sweep, here or elsewhere.

    Raises:
        BasaltError: what the function raised, or a ConfigError for a setting Hydra does not accept.
    """
    raised: list[BasaltError | OSError] = []
    composed = False

    def job(cfg: DictConfig) -> None:
        nonlocal composed
        composed = True
        try:
            function(cfg)
        except (BasaltError, OSError, OmegaConfBaseException) as err:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # perhaps in another process; the launcher brings it back
            raised.append(
                ConfigError(one_line(err)) if isinstance(err, OmegaConfBaseException) else err
            )

    if removed := next((arg for arg in argv if arg.startswith("~")), None):
        raise ConfigError(
            f"{removed}: settings cannot be taken away; {removed[1:]}=null empties one"
        )
    # Hydra would print a traceback and end the process; we want the exception, to print one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"basalt {config}", *argv]
    try:
        hydra.main(version_base="1.3", config_path="pkg://configs", config_name=config)(job)()
    except (HydraException, OmegaConfBaseException) as err:
        raise ConfigError(one_line(err)) from err
    except (TypeError, ValueError) as err:
        # Hydra's own, for a choice that is no name (task=3). A sweep's jobs may run elsewhere, so there
        # only the words tell it from an error of a job.
        sweep = bool({"-m", "--multirun"} & set(argv))
        if (composed or sweep) and not str(err).startswith("Config group override"):
            raise
        raise ConfigError(f"{' '.join(argv)}: {one_line(err)}; --help lists the choices") from err
    if raised:
        raise raised[0]
    return 0


PATHS = ("out", "checkpoint", "source", "policy", "plain", "steered", "sae", "replay")
"""Settings that name a file or folder, wherever they stand."""


def plain(cfg: Any) -> dict[str, Any]:
    """A composed configuration as plain values.

    Raises:
        ConfigError: a path that Hydra has read as a number (``out=3``, ``out=nan``).
    """
    content = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    _refuse_numbers_for_paths(content)
    return {str(key): value for key, value in content.items()}


def _refuse_numbers_for_paths(content: Mapping[Any, Any], above: str = "") -> None:
    for key, value in content.items():
        if isinstance(value, Mapping):
            _refuse_numbers_for_paths(value, f"{above}{key}.")
        elif key in PATHS and isinstance(value, int | float):
            raise ConfigError(f"{above}{key}: {value} is no path; with ./ before it, it is one")


LAUNCHER_EXTRAS = {
    "ray": "launch-ray",
    "joblib": "launch-joblib",
    "submitit_slurm": "launch-slurm",
    "submitit_local": "launch-slurm",
}
"""Which extra brings a launcher of Hydra's."""


def one_line(err: Exception) -> str:
    """What Hydra or OmegaConf complains of, in one line that names the key and what mends it."""
    if isinstance(err, MissingMandatoryValue):
        return f"{err.full_key}: has no value; give {err.full_key}=..."
    if isinstance(err, MissingConfigException) and err.missing_cfg_file and err.options:
        group, _, value = err.missing_cfg_file.rpartition("/")
        close = get_close_matches(value, err.options, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        if group == "hydra/launcher" and (extra := LAUNCHER_EXTRAS.get(value)):
            hint = f"pip install 'basalt-benchmark[{extra}]' brings it; "
        return f"{group}: there is no {value!r}; {hint}known: {', '.join(err.options)}"
    cause = err.__cause__
    text = f"{err} {cause}" if cause is not None and str(cause) not in str(err) else str(err)
    if unknown := re.match(r"Could not override '([^']+)'", text):
        return f"{unknown[1]}: there is no such setting; --help lists them"
    told, _, _ = text.partition("Config search path:")
    return "; ".join(line.strip(" ;\t") for line in told.splitlines() if line.strip(" ;\t"))
