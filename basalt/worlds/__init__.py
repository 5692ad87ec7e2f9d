"""Worlds: Gymnasium environments of the tasks.

Importing this package registers ``basalt/FindCave-v0`` and its siblings::

    import gymnasium, basalt.worlds
    env = gymnasium.make("basalt/FindCave-v0", world="luanti")
"""

from typing import TYPE_CHECKING, Any

import gymnasium

from basalt.errors import ConfigError
from basalt.tasks import TASKS, get_task

if TYPE_CHECKING:
    from basalt.worlds.base import WorldEnv

WORLDS = ("luanti", "minerl", "minerl-package")


def make_env(task: str, world: str = "luanti", **settings: Any) -> "WorldEnv":
    """A task's environment in a world; what the registered ids call.

    Args:
        task: name of the task, e.g. ``find_cave``.
        world: one of :data:`WORLDS`.
        settings: ``size``, ``step_limit``, ``render_mode`` and what else the world takes.

    Raises:
        ConfigError: no such task or world, or the world does not have the task.
    """
    if world == "luanti":
        from basalt.worlds.luanti.env import LuantiEnv  # the engine's imports, only when wanted

        return LuantiEnv(get_task(task), **settings)
    if world == "minerl":
        from basalt.worlds.minerl.env import MinerlEnv

        return MinerlEnv(get_task(task), **settings)
    if world == "minerl-package":
        from basalt.worlds.minerl.package import PackageEnv

        return PackageEnv(get_task(task), **settings)
    raise ConfigError(f"world: unknown world {world!r}; known: {', '.join(WORLDS)}")


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
