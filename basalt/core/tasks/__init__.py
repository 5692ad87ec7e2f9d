"""The tasks: one folder each, found by listing the folders beside this file.

A folder `NAME/` has an `__init__.py` with `TASK`, a `Task` whose name is `NAME`, and the Lua files that build and
observe the task in the Luanti world (`docs/worlds-reference.md`). Instructions, step limits, inventories, official
seeds and questions follow the MineRL BASALT 2022 competition and its evaluation data set (BEDD, arXiv 2312.02405).
"""

from importlib import import_module
from pathlib import Path

from basalt.core.registry import did_you_mean
from basalt.core.tasks.contract import (
    STEPS_PER_SECOND,
    Milestone,
    Outcome,
    Questions,
    Site,
    Success,
    Task,
)
from basalt.core.tasks.seeds import TRAIN_SEEDS, parse_seeds, refuse_test_seeds, split_of
from basalt.io.errors import ConfigError

__all__ = [
    "STEPS_PER_SECOND", "TASKS", "TRAIN_SEEDS", "Milestone", "Outcome", "Questions", "Site", "Success", "Task", "get_task",
    "parse_seeds", "refuse_test_seeds", "split_of",
]  # fmt: skip


def _listed() -> dict[str, Task]:
    names = sorted(path.parent.name for path in Path(__file__).parent.glob("*/__init__.py"))
    tasks: list[Task] = [import_module(f"{__name__}.{name}").TASK for name in names]
    return {task.name: task for task in sorted(tasks, key=lambda task: task.order)}


TASKS = _listed()
"""All tasks by name."""


def get_task(name: str) -> Task:
    """Return the task with a name (`find_cave`), MineRL name (`FindCave`) or Gymnasium id.

    Raises:
        ConfigError: There is no such task; the message has the close match and the list.
    """
    for task in TASKS.values():
        if name in (task.name, task.env_id, task.gym_id):
            return task
    raise ConfigError(
        f"task: unknown task {name!r}; {did_you_mean(name, TASKS)}available: {', '.join(TASKS)}"
    )
