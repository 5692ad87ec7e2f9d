"""The reference players: agents that a newcomer's own is compared with."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agents.common.registry import learner, make_agent
from basalt.core.published import data_folder
from basalt.core.recording import find_recordings
from basalt.io.errors import StudyError
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout

PLAYERS = {
    "random": "Keys and mouse at random.",
    "demonstrator": "Scripted, with the referee's knowledge of the world; no agent that sees pictures alone.",
    "bc": "Behavioural cloning: pixels in, keys and mouse out.",
}
"""Reference players and the descriptions in their submissions."""

SETTINGS: dict[str, dict[str, Any]] = {"demonstrator": {"knowing": True}}
"""Settings of reference players that differ from their defaults."""


def play_reference(
    name: str,
    tasks: Mapping[str, tuple[Sequence[int], int]],
    folder: Path,
    *,
    data: str = "sample",
    train_steps: int | None = None,
    jobs: int = 1,
) -> str:
    """Let a reference player play what is not recorded yet; one that learns is trained first.

    Args:
        name: One of `PLAYERS`.
        tasks: Seeds and step limit by task.
        folder: Folder of the recordings, one rollout a task; trained runs are beside it.
        data: Demonstrations to learn from, a folder or `sample`; only the tasks they show are played.
        train_steps: Training steps; None for the default.
        jobs: Number of processes.

    Returns:
        A description of the training data, "" without any.

    Raises:
        StudyError: The demonstrations show none of the tasks.
        KeyboardInterrupt: The training was interrupted.
    """
    shown, training = list(tasks), ""
    if name == "bc":
        recordings = find_recordings(data_folder(data))
        taught = {one.meta.task for one in recordings if one.meta}
        shown = [task for task in tasks if task in taught]
        if not shown:
            raise StudyError(
                f"{data}: has demonstrations of none of the study's tasks, so bc cannot learn them; "
                "give others with --data, or leave bc out with --players"
            )
        training = f"recordings of {', '.join(shown)} ({data})"
    for task in shown:
        agent: dict[str, Any] = {"name": name, **SETTINGS.get(name, {})}
        if name == "bc":
            run = folder.parent / f"bc-{task}"
            agent |= {"checkpoint": str(run), "esc": "hazard"}
            _train(run, task, data, train_steps)
        seeds, limit = tasks[task]
        plan = RolloutPlan(task, "luanti", agent, tuple(seeds), folder / task, max_steps=limit)
        print(f"{name}: {task}, {len(seeds)} seeds of up to {limit} steps")
        rollout(partial(make_agent, **agent), plan, jobs=jobs)
    return training


def _train(run: Path, task: str, data: str, steps: int | None) -> None:
    """Train behavioural cloning on the demonstrations, or resume the run."""
    config, train = learner("bc")
    settings = {"steps": steps} if steps else {}
    if train(config(out=str(run), task=task, data=data, **settings)).interrupted:
        raise KeyboardInterrupt
