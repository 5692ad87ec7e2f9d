"""`basalt rollout`: an agent plays episodes of a task and is recorded."""

from collections.abc import Callable, Iterable
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agents.common.registry import AGENTS, make_agent, play_settings, upgrade_claim
from basalt.cli.hydra_app import add_option, chosen, hydra_app
from basalt.core.settings import Count, Crf, PathText, settings
from basalt.core.tasks import get_task, parse_seeds
from basalt.core.video import DEFAULT_CRF
from basalt.runners.choice import open_runner

if TYPE_CHECKING:
    from basalt.rollouts.plan import RolloutPlan

S = TypeVar("S", bound="RolloutSettings")


@settings
class RolloutSettings:
    """An agent plays episodes of a task and is recorded.

    Attributes:
        task: Task to play.
        world: World to play in, and further arguments of its environment.
        agent: Agent that plays, and its settings.
        checkpoint: Folder of the run to play, or one of its checkpoints, for an agent that learns.
        seeds: Seeds to play: official, a number, [1,2] or 1..9.
        max_steps: Number of steps after which an episode is cut; null for the task's own limit.
        edit: One change of the world, for paired worlds: {block: {position: [1,2,3], to: air}}.
        film_size: Size of the recorded frames, e.g. [640,360], where the agent plays at a smaller one
            (`+world.args.size=[128,72]`): each episode is played again at this size; null to record what the agent sees.
        crf: Quality of the videos (x264's CRF); lower is better and larger.
        jobs: Number of processes, each with a world of its own.
        runner: Where they run: local for this machine, or a Ray or Slurm cluster (docs/scale.md).
        out: Folder of the recordings. The same command resumes an interrupted rollout.
    """

    RENAMED = {"steer": "agent.steer", "sae": "agent.sae", "along": "agent.along"}  # noqa: RUF012

    task: str
    world: dict[str, Any]
    agent: dict[str, Any]
    checkpoint: PathText | None = None
    seeds: Any = "official"
    max_steps: Count | None = None
    edit: dict[str, Any] | None = None
    film_size: tuple[int, int] | None = None
    crf: Crf = DEFAULT_CRF
    jobs: Count = 1
    runner: dict[str, Any] = field(default_factory=dict)
    out: PathText = "runs/rollouts/${task.name}/${agent.name}"


def main(argv: list[str]) -> int:
    """Run `basalt rollout ARGUMENTS`; returns the exit status."""
    if any(arg.startswith("steer=") for arg in argv):  # as it was before `agent=steered`
        argv = ["agent=steered" if arg == "agent=bc" else arg for arg in argv]
    return run("rollout", play, argv, agent="random", settings=RolloutSettings)


def run(
    config: str,
    function: Callable[[S], None],
    argv: list[str],
    agent: str,
    settings: type[S],
) -> int:
    """Run a command that is a rollout.

    Args:
        config: Name of the configuration.
        function: What the command does.
        argv: Command line.
        agent: Name of the agent that plays if the command line names none.
        settings: Class of the command's settings.
    """
    asked = chosen("agent", argv) or [agent]
    for name in AGENTS:
        # Other agents stay unimported: they may need packages that are not installed.
        add_option("agent", name, play_settings(name) if name in asked else {"name": name})
    return hydra_app(config, function, argv, settings=settings)


def play(settings: RolloutSettings) -> None:
    """Play what is not recorded yet, and print a table of all episodes."""
    # Only here: it loads the worlds.
    from basalt.rollouts.rollout import rollout
    from basalt.rollouts.summary import summary

    plan = agent_plan(settings)
    runner = open_runner(settings.runner)
    make = partial(make_agent, **settings.agent)
    recordings = rollout(make, plan, jobs=settings.jobs, runner=runner)
    result = summary(recordings)
    result.write(plan.out / "summary.json")
    print("\n".join(result.lines()))
    print(f"recordings and summary.json: {plan.out}")


def agent_plan(settings: RolloutSettings) -> "RolloutPlan":
    """The plan of an agent's rollout; an older claim of its folder gets its present form."""
    seeds = parse_seeds(settings.seeds, get_task(settings.task))
    plan = replace(plan_of(settings, settings.agent, seeds), film_size=settings.film_size)
    upgrade_claim(plan.out / "rollout.json")
    return plan


def plan_of(settings: Any, agent: dict[str, Any], seeds: Iterable[int]) -> "RolloutPlan":
    """The plan of the settings that `rollout` and `play` share.

    Args:
        settings: `RolloutSettings` or `basalt.cli.play.PlaySettings`.
        agent: Settings of the agent that plays.
        seeds: Seeds to play.
    """
    from basalt.rollouts.plan import RolloutPlan

    return RolloutPlan(
        task=settings.task,
        world=settings.world["name"],
        agent=agent,
        seeds=tuple(seeds),
        out=Path(settings.out),
        max_steps=settings.max_steps,
        world_args=settings.world["args"],
        crf=settings.crf,
        edit=settings.edit,
    )
