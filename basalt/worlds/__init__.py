"""Worlds: Gymnasium environments of the tasks.

Importing this package registers ``basalt/FindCave-v0`` and its siblings::

    import gymnasium, basalt.worlds
    env = gymnasium.make("basalt/FindCave-v0", world="luanti")
"""

import sys
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any

import gymnasium

from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.worlds.base import WorldEnv, WorldSettings

# Module and class; imported only when asked for, since each needs other things.
_ENVIRONMENTS = {
    "luanti": ("basalt.worlds.luanti.env", "LuantiEnv"),
    "minerl": ("basalt.worlds.minerl.env", "MinerlEnv"),
    "minerl-package": ("basalt.worlds.minerl.package", "PackageEnv"),
}

WORLDS = tuple(_ENVIRONMENTS)


def make_env(task: str, world: str = "luanti", **settings: Any) -> WorldEnv:
    """A task's environment in a world; what the registered ids call.

    Args:
        task: name of the task, e.g. ``find_cave``.
        world: one of :data:`WORLDS`.
        settings: ``size``, ``step_limit``, ``render_mode`` and what else the world takes.

    Raises:
        ConfigError: no such task, world or setting.
        MissingDependencyError: the world cannot run on this system.
    """
    if world not in _ENVIRONMENTS:
        raise ConfigError(f"world: unknown world {world!r}; known: {', '.join(WORLDS)}")
    if world == "luanti" and sys.platform != "linux":
        raise MissingDependencyError(
            f"world luanti: its engine is kept in step by means that only Linux has, and this is "
            f"{sys.platform}; run it in a Linux machine or container, or play world=minerl at an address"
        )
    module, name = _ENVIRONMENTS[world]
    environment: type[WorldEnv] = getattr(import_module(module), name)
    own = [
        name
        for name, one in signature(environment).parameters.items()
        if one.kind == one.KEYWORD_ONLY
    ]
    known = [*own, *WorldSettings.__annotations__]
    if unknown := [key for key in settings if key not in known]:
        close = get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"world {world}: unknown setting {unknown[0]!r}{hint}")
    return environment(get_task(task), **settings)


def register_envs() -> None:
    """Register the tasks with Gymnasium; does nothing where they are registered already."""
    for task in TASKS.values():
        if task.gym_id not in gymnasium.registry:
            gymnasium.register(
                task.gym_id,
                entry_point="basalt.worlds:make_env",
                kwargs={"task": task.name},
                # Its test of actions would refuse those with missing keys, which count as not pressed.
                disable_env_checker=True,
            )


register_envs()
