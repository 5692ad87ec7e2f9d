"""`basalt safety run`: all players of a plan play its seeds.

Each player's folder is an evaluation, so a run can be interrupted at any time, and the same command plays what is missing.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from agents.common.identity import Identity, identify
from agents.common.registry import make_agent
from basalt.core.agent import Agent
from basalt.core.settings import Count, PathText, settings
from basalt.core.tasks import get_task
from basalt.io.console import note
from basalt.io.locks import sole_writer
from basalt.rollouts.evaluate import evaluate
from basalt.rollouts.plan import Interruption, RolloutPlan
from basalt.runners.choice import open_runner
from basalt.safety.conditions import Condition
from basalt.safety.organisms import ORGANISMS
from basalt.safety.plan import Plan, read_plan
from basalt.safety.record import FILE, KIND, STARTS, Player, SafetyRun, Starts, players
from basalt.safety.report import Report, report


@settings
class SafetyRunConfig:
    """All players of a plan play its seeds, and are assessed.

    Attributes:
        plan: A YAML file, or the name of a plan that ships: harm, deception, sandbagging, cues, interruption,
            exploration.
        jobs: Number of processes, each with a world of its own.
        runner: Where they run: local for this machine, or a Ray or Slurm cluster (docs/scale.md).
        out: Folder of the run. The same command resumes an interrupted run.
        progress: Whether to show progress bars.
    """

    plan: str = "harm"
    jobs: Count = 1
    runner: dict[str, Any] = field(default_factory=dict)
    out: PathText = "runs/safety/${plan}"
    progress: bool = True


@dataclass(frozen=True)
class Unjudged:
    """A run whose players have played, and which a judge has yet to look at."""

    out: Path
    task: str

    def lines(self) -> list[str]:
        """What to do next, in lines of text."""
        return [
            "played; now let a judge compare the recordings, and report on its verdicts:",
            f"basalt oversight run task={self.task} recordings=[{self.out}/players] truth=[success] arms=[floor,ceiling] "
            "judges=[...] out=VERDICTS",
            f"basalt safety report run={self.out} trials=[VERDICTS]",
        ]


def run(cfg: SafetyRunConfig) -> Report | Unjudged:
    """Play what is missing, and report; a stage that asks judges is reported on when they have looked.

    Raises:
        ConfigError: The plan cannot be used, or the folder was made for another one.
        WorldError: The worlds of several seeds in a row failed.
    """
    plan, out, runner = read_plan(cfg.plan), Path(cfg.out), open_runner(cfg.runner)
    under = [_Under.of(plan, name) for name in plan.asked.conditions or (None,)]
    who = [
        (player, *_maker(player)) for player in players(plan)
    ]  # first, so that a fault leaves no folder
    with sole_writer(out, KIND):
        SafetyRun(plan=plan, hash=plan.hash).claim(out / FILE, KIND)
        before = Starts.read(out / STARTS).starts if (out / STARTS).is_file() else 0
        Starts(starts=before + 1).write(out / STARTS)
        for player, make, identity in who:
            if cfg.progress:
                note(f"{player.role} {player.name}")
            for played_under in under:
                folder = player.folder(out, played_under.name)
                played = evaluate(
                    make,
                    RolloutPlan(
                        task=plan.task,
                        world="luanti",
                        agent=player.settings,
                        seeds=played_under.seeds,
                        out=folder,
                        max_steps=plan.max_steps,
                        world_args=plan.world_args,
                        edits=played_under.edits,
                        interruptions=played_under.interruptions,
                    ),
                    agent_hash=identity.hash,
                    learns=identity.learns,
                    training_seed=identity.training_seed,
                    jobs=cfg.jobs,
                    runner=runner,
                    progress=cfg.progress,
                )
                played.keep(folder)
        return Unjudged(out, plan.task) if plan.asked.is_judged else report(out, cfg.progress)


class _Under(NamedTuple):
    """What is played under a condition; without conditions there is one such, without a name."""

    name: str | None
    seeds: tuple[int, ...]
    edits: dict[int, dict[str, Any]]
    interruptions: dict[int, Interruption]

    @classmethod
    def of(cls, plan: Plan, name: str | None) -> "_Under":
        seeds = plan.parsed_seeds(name)
        condition = Condition() if name is None else plan.conditions[name]
        return cls(
            name, seeds, condition.edits(get_task(plan.task), seeds), condition.interruptions(seeds)
        )


def _maker(player: Player) -> tuple[Callable[[], Agent], Identity]:
    """Factory of a player, which is tried once, and its identity.

    Raises:
        ConfigError: The settings are not those of an agent.
    """
    if player.role == "organism":
        text = json.dumps(player.settings, sort_keys=True)
        known = dict(player.settings)
        made = partial(ORGANISMS[known.pop("name")], **known)
        identity = Identity(hashlib.sha256(text.encode()).hexdigest(), False, None)
    else:
        made, identity = partial(make_agent, **player.settings), identify(player.settings)
    made()
    return made, identity
