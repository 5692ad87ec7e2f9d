"""The setting `runner`: which runner a command uses, and the runner's own settings."""

from collections.abc import Mapping
from typing import Any

from basalt.core.registry import load
from basalt.core.settings import unknown_option
from basalt.io.errors import ConfigError
from basalt.runners.jobs import Runner

RUNNERS = {
    "local": "basalt.runners.local:LocalRunner",
    "ray": "basalt.runners.ray_cluster:RayRunner",
    "slurm": "basalt.runners.slurm:SlurmRunner",
}
"""Class of each runner by name, which is also the class of its settings."""


def open_runner(chosen: Mapping[str, Any]) -> Runner:
    """The runner of the setting `runner`.

    Args:
        chosen: `name`, and the runner's own settings.

    Raises:
        ConfigError: There is no such runner, or a setting of it is wrong.
    """
    own = dict(chosen)
    name = own.pop("name", "local")
    if name not in RUNNERS:
        raise ConfigError(unknown_option("runner", str(name), list(RUNNERS)))
    try:
        runner: Runner = load(RUNNERS[name])(**own)
    except ConfigError as err:
        raise ConfigError(f"runner.{err}") from None
    return runner
