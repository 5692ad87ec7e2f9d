"""`basalt evaluate`: an agent on many seeds, alone or against another."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agents.common.identity import identify
from agents.common.registry import make_agent
from basalt.cli.rollout import RolloutSettings, agent_plan, run
from basalt.core.settings import Paths, PathText, settings
from basalt.core.significance import seeds_needed
from basalt.io.errors import ConfigError
from basalt.runners.choice import open_runner

if TYPE_CHECKING:
    from basalt.rollouts.evaluation import Evaluation

Share = Annotated[float, Field(gt=0, lt=1)]


@settings
class EvaluateSettings(RolloutSettings):
    """An agent plays many seeds; every outcome is recorded, and compared with another agent's.

    Attributes:
        seeds: Seeds to play: heldout:100 for figures, dev:50 for choosing, official once at the end, a list or a
            range.
        out: Folder of evaluation.json and the recordings. The same command resumes an interrupted evaluation.
        runs: Folders of evaluations to use instead of playing, one for each training run of the same agent.
        against: Folders of evaluations of another agent on the same seeds, one for each of its training runs.
        merge: Folders of evaluations of the same agent on other seeds; their union is written to out.
        power: Chance with which a difference is to be seen; prints how many seeds that takes.
        difference: Difference of success rates that `power` is about.
    """

    seeds: str | int | list[int] = "dev:50"
    out: PathText = "runs/evaluations/${task.name}/${agent.name}"
    runs: Paths = ()
    against: Paths = ()
    merge: Paths = ()
    power: Share | None = None
    difference: Share = 0.2


def main(argv: list[str]) -> int:
    """Run `basalt evaluate ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: A setting or a record cannot be used, or no world works.
    """
    return run("evaluate", _evaluate, argv, agent="random", settings=EvaluateSettings)


def _evaluate(settings: EvaluateSettings) -> None:
    from basalt.rollouts.evaluation import compare, merge

    if settings.runs and settings.merge:
        raise ConfigError("runs= and merge= were both given; give one of them")
    if settings.merge:
        ours = [merge(_read(settings.merge))]
        ours[0].keep(Path(settings.out))
    elif settings.runs:
        ours = _read(settings.runs)
    else:
        ours = [_play(settings)]
        ours[0].keep(Path(settings.out))
    theirs = _read(settings.against)
    for one in [*ours, *theirs]:
        print("\n".join(one.lines()))
    if theirs:
        found = compare(ours, theirs)
        print("\n".join(found.lines(ours[0].name, theirs[0].name)))
    if settings.power is not None:
        print(_needed(theirs or ours, settings.power, settings.difference))


def _play(settings: EvaluateSettings) -> "Evaluation":
    from basalt.rollouts.evaluate import evaluate

    who = identify(settings.agent)
    return evaluate(
        partial(make_agent, **settings.agent),
        agent_plan(settings),
        agent_hash=who.hash,
        learns=who.learns,
        training_seed=who.training_seed,
        jobs=settings.jobs,
        runner=open_runner(settings.runner),
    )


def _read(folders: Paths) -> "list[Evaluation]":
    from basalt.rollouts.evaluation import FILE, Evaluation

    paths = [Path(folder) for folder in folders]
    return [Evaluation.read(path / FILE if path.is_dir() else path) for path in paths]


def _needed(baseline: "list[Evaluation]", power: float, difference: float) -> str:
    rate = sum(one.success_rate for one in baseline) / len(baseline)
    better = rate + difference
    name = baseline[0].name
    if better > 1:
        return f"power: {name} succeeds in {rate:.1%}, so {difference:.1%} more is impossible"
    seeds = seeds_needed(rate, better, power)
    return (
        f"power: to see {better:.1%} against {name}'s {rate:.1%} in {power:.0%} of all evaluations takes "
        f"{'more than 20,000' if seeds is None else f'{seeds:,}'} paired seeds by McNemar's mid-p test, if success on a "
        "seed by one says nothing about the other; fewer if the same seeds are easy for both"
    )
