"""Worlds: Gymnasium environments of the tasks.

Importing this package registers `basalt/FindCave-v0` and its siblings:

    import gymnasium, basalt.worlds
    env = gymnasium.make("basalt/FindCave-v0", world="luanti")
    envs = gymnasium.make_vec("basalt/FindCave-v0", num_envs=4, world="luanti")
"""

import sys
from collections.abc import Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from basalt.core.registry import Registry, did_you_mean
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.worlds.base import WorldEnv, WorldSettings
from basalt.worlds.vector import WorldVectorEnv

WORLDS: Registry[type[WorldEnv]] = Registry("world", "basalt.worlds", type)
"""Environment classes by the world's name. Each is imported when it is asked for, since each needs other packages.

A class is called with the task and the world's settings as keyword arguments. Another distribution adds a world
with an entry point in the group `basalt.worlds`.
"""

WORLDS.register("luanti", "basalt.worlds.luanti.env:LuantiEnv")
WORLDS.register("minerl", "basalt.worlds.minerl.env:MinerlEnv")
WORLDS.register("minerl-package", "basalt.worlds.minerl.package:PackageEnv")


def make_env(task: str, world: str = "luanti", **settings: Any) -> WorldEnv:
    """Make a task's environment in a world; the registered Gymnasium ids call this.

    Args:
        task: Name of the task, e.g. `find_cave`.
        world: Name of the world, one of `WORLDS`.
        settings: `size`, `step_limit`, `render_mode`, `on_failure`, `seeds` and the world's own settings.

    Raises:
        ConfigError: There is no such task, world or setting.
        MissingDependencyError: The world cannot run on this system.
    """
    if world == "luanti" and sys.platform != "linux":
        raise MissingDependencyError(
            f"world luanti: expected Linux, which it needs to control the engine's clock, got {sys.platform}; "
            "use a Linux machine or container, or world=minerl with an address"
        )
    environment = WORLDS.get(world)
    known = setting_names(environment)
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError(
            f"world {world}: unknown setting {unknown[0]!r}; {did_you_mean(unknown[0], known)}"
            f"available: {', '.join(known)}"
        )
    return environment(get_task(task), **settings)


def make_vec(
    task: str,
    num_envs: int = 1,
    world: str = "luanti",
    *,
    copy: bool = True,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    seeds: Sequence[int] | None = None,
    **settings: Any,
) -> WorldVectorEnv:
    """Make environments of a task that play side by side; `gymnasium.make_vec` calls this for the registered ids.

    Args:
        task: Name of the task, e.g. `find_cave`.
        num_envs: Number of environments.
        world: Name of the world, one of `WORLDS`.
        copy: Whether steps return a copy of the frames; False returns the shared memory, which the next step overwrites.
        autoreset_mode: `NEXT_STEP` or `DISABLED`; see `WorldVectorEnv`.
        seeds: Seeds of the episodes, shared out among the environments, which repeat theirs; random training seeds by
            default.
        settings: The world's settings.

    Raises:
        ConfigError: There is no such task, world or setting, or the number of seeds does not suffice.
        MissingDependencyError: The world cannot run on this system.
    """
    if num_envs < 1:
        raise ConfigError(f"num_envs: expected at least 1, got {num_envs}")
    if seeds is not None and len(seeds) < num_envs:
        raise ConfigError(
            f"seeds: expected at least {num_envs}, one per environment, got {len(seeds)}"
        )
    try:
        mode = AutoresetMode(autoreset_mode)
    except ValueError:
        known = ", ".join(repr(one.value) for one in AutoresetMode)
        raise ConfigError(
            f"autoreset_mode: expected one of {known}, got {autoreset_mode!r}"
        ) from None
    shares = [
        {} if seeds is None else {"seeds": tuple(seeds[index::num_envs])}
        for index in range(num_envs)
    ]
    return WorldVectorEnv(
        [partial(make_env, task, world, **share, **settings) for share in shares],
        copy=copy,
        autoreset_mode=mode,
    )


def setting_names(environment: type[WorldEnv]) -> list[str]:
    """Return the names of the settings that a world's environment takes.

    They are the parameters of its constructor after the task; `**settings` stands for those of every world.
    """
    parameters = list(signature(environment).parameters.values())[1:]
    named = [one.name for one in parameters if one.kind is not Parameter.VAR_KEYWORD]
    passed_on = any(one.kind is Parameter.VAR_KEYWORD for one in parameters)
    return [*named, *(WorldSettings.__annotations__ if passed_on else ())]


def own_settings(name: str) -> dict[str, Any]:
    """Return the settings that only this world has, with their defaults; `???` (Hydra's mark) if one is needed.

    Raises:
        ConfigError: There is no such world.
    """
    parameters = list(signature(WORLDS.get(name)).parameters.values())[1:]
    return {
        one.name: "???" if one.default is one.empty else one.default
        for one in parameters
        if one.kind is not Parameter.VAR_KEYWORD and one.name not in WorldSettings.__annotations__
    }


def register_envs() -> None:
    """Register the tasks with Gymnasium, unless they are registered already."""
    for task in TASKS.values():
        if task.gym_id not in gymnasium.registry:
            gymnasium.register(
                task.gym_id,
                entry_point="basalt.worlds:make_env",
                vector_entry_point="basalt.worlds:make_vec",
                kwargs={"task": task.name},
                # Gymnasium's check would refuse actions with missing keys, which count as not pressed.
                disable_env_checker=True,
            )


register_envs()
