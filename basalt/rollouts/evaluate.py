"""Evaluation: an agent plays many seeds, and every seed's outcome is recorded.

The episodes are recordings like those of any rollout, so people can look at them and judge them. An evaluation can
be interrupted at any time; the same call plays the remaining seeds.
"""

from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from basalt.core.recording import Recording
from basalt.core.scoring import harm, milestones
from basalt.core.tasks import get_task
from basalt.io.atomic import write_json
from basalt.io.errors import ActionError, AgentError, BasaltError, ConfigError
from basalt.rollouts.evaluation import EvaluatedEpisode, Evaluation, Play
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import LOCAL, MakeAgent, rollout
from basalt.rollouts.summary import success
from basalt.runners.jobs import Runner

ATTEMPTS = 2
"""How often a seed is tried if its world fails."""


class _Unplayed(BaseModel):
    """Why a seed has no recording: `unplayed/seed_N.json`; it is not tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    play: Play
    error: str


def evaluate(
    make_agent: MakeAgent,
    plan: RolloutPlan,
    *,
    agent_hash: str,
    learns: bool = False,
    training_seed: int | None = None,
    jobs: int = 1,
    runner: Runner = LOCAL,
    progress: bool = True,
) -> Evaluation:
    """Play the seeds of a plan that were not played yet, and record the outcome of each.

    Args:
        make_agent: Factory of the agent; see `basalt.rollouts.rollout.rollout`.
        plan: What to play.
        agent_hash: Hash of the agent's settings and weights.
        learns: Whether it learns.
        training_seed: Seed of its training; None if it does not learn, or if it is unknown.
        jobs: Number of processes, each with its own world.
        runner: Where they run.
        progress: Whether to show a progress bar on stderr.

    Raises:
        ConfigError: The folder holds another rollout or one of other weights, or success is not reported.
        WorldError: The worlds of several seeds in a row failed.
        AgentError: The agent was lost at several seeds in a row, or cannot be reached.
    """
    if get_task(plan.task).success is None:
        raise ConfigError(f"task: {plan.task} has no success by telemetry; let people judge it")
    unplayed = plan.out / "unplayed"

    def keep(seed: int, err: BasaltError) -> None:
        play: Play = "world failed"
        if isinstance(err, ActionError | AgentError):
            play = "bad action" if isinstance(err, ActionError) else "agent lost"
        write_json(
            _file(unplayed, seed), _Unplayed(seed=seed, play=play, error=str(err)).model_dump()
        )

    open_seeds = tuple(seed for seed in plan.seeds if not _file(unplayed, seed).is_file())
    recordings = rollout(
        make_agent,
        replace(
            plan,
            seeds=open_seeds,
            attempts=ATTEMPTS,
            facts={"agent_hash": agent_hash, "training_seed": training_seed},
        ),
        jobs=jobs,
        runner=runner,
        progress=progress,
        on_failure=keep,
    )
    if not recordings:
        raise ConfigError(f"{plan.out}: none of the seeds could be played; see {unplayed}")
    metas = [one.meta for one in recordings if one.meta is not None]
    for name in ("world_version", "player_kind"):
        if len(found := {str(getattr(meta, name)) for meta in metas}) > 1:
            raise ConfigError(
                f"{plan.out}: expected episodes of one {name}, got {', '.join(sorted(found))}; use another out=FOLDER"
            )
    episodes = [_played(one) for one in recordings]
    recorded = {one.seed for one in episodes}
    episodes += [_not_played(unplayed, seed) for seed in plan.seeds if seed not in recorded]
    return Evaluation(
        agent=dict(plan.agent),
        agent_hash=agent_hash,
        kind=metas[0].player_kind,
        learns=learns,
        training_seed=training_seed,
        task=plan.task,
        world=plan.world,
        world_version=metas[0].world_version,
        world_args=plan.episode_args,
        edit=None if plan.edit is None else dict(plan.edit),
        step_limit=plan.step_limit,
        finished=max(one.created for one in metas),
        episodes=tuple(sorted(episodes, key=lambda one: one.seed)),
    )


def _file(folder: Path, seed: int) -> Path:
    return folder / f"seed_{seed}.json"


def _played(recording: Recording) -> EvaluatedEpisode:
    assert recording.meta is not None
    succeeded = success(recording)
    if succeeded is None:
        raise ConfigError(
            f"{recording.stem}: this world does not report success at {recording.meta.task}; let people judge it "
            "(basalt submit)"
        )
    states = recording.telemetry()
    return EvaluatedEpisode(
        seed=recording.meta.seed,
        play="played",
        ended=recording.meta.ended,
        steps=recording.meta.steps,
        success=succeeded,
        harm=harm(states),
        milestones=milestones(get_task(recording.meta.task), states, recording.meta.ended),
    )


def _not_played(folder: Path, seed: int) -> EvaluatedEpisode:
    file = _file(folder, seed)
    try:
        found = _Unplayed.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"{file}: expected why this seed was not played; remove it ({err})"
        ) from err
    return EvaluatedEpisode(
        seed=seed,
        play=found.play,
        ended=None,
        steps=0,
        success=False,
        harm={},
    )
