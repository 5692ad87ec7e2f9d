"""Rollouts: an agent plays episodes of a task and is recorded.

A rollout is a folder of recordings, one per seed. It can be interrupted at any time: finished episodes are
kept, and the same call plays the remaining seeds.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial

from basalt.core.agent import Agent, check_kind
from basalt.core.recording import Recording
from basalt.io.console import note, progress_bar
from basalt.io.errors import ActionError, AgentError, BasaltError, ConfigError, WorldError
from basalt.io.locks import sole_writer
from basalt.rollouts.plan import RolloutPlan, recording_name
from basalt.rollouts.player import EpisodePlayer, MakeLabeller
from basalt.runners.jobs import JobList, Runner, run_jobs
from basalt.runners.local import LocalRunner

MakeAgent = Callable[[], Agent]
OnFailure = Callable[[int, BasaltError], None]
"""Takes the seed and the error of an episode that could not be played."""

LOCAL = LocalRunner()

FAILED_SEEDS = 3
"""A rollout stops when the worlds or the agent kept failing at this many seeds in a row."""


def rollout(
    make_agent: MakeAgent,
    plan: RolloutPlan,
    *,
    jobs: int = 1,
    runner: Runner = LOCAL,
    progress: bool = True,
    on_failure: OnFailure | None = None,
    make_labeller: MakeLabeller | None = None,
) -> list[Recording]:
    """Play the episodes of a plan that are not recorded yet.

    Args:
        make_agent: Factory of the agent, called once in this process and, if others play, once in each worker
            process, for which it must be picklable.
        plan: What to play.
        jobs: Number of processes, each with its own world.
        runner: Where they run. One process here is this one.
        progress: Whether to show a progress bar on stderr.
        on_failure: Called for each seed whose world kept failing (a WorldError), whose agent was lost twice (an
            AgentError) or returned something that is not an action (an ActionError), instead of raising. Failures of
            worlds and lost agents are reported only when another episode could be played; `FAILED_SEEDS` in a row are
            raised.
        make_labeller: Factory of the expert that labels every step of the agent's play, called like `make_agent`.
            By default an agent that is a `Labeller` labels its own play, and no other play is labelled.

    Returns:
        All recordings of the plan, in order of its seeds; with `on_failure`, those that could be made.

    Raises:
        ConfigError: The folder holds another rollout or is being written by another process, or the agent's
            kind is unknown.
        WorldError: A world kept failing. The other seeds are still played, unless `FAILED_SEEDS` worlds did;
            finished episodes are kept.
        AgentError: The agent was lost twice at a seed, like `WorldError`; or it cannot be reached at all.
        PlayerLeft: The player left; its episode is kept, ended as `cut`.
    """
    if jobs < 1:
        raise ConfigError(f"jobs: expected an integer of at least 1, got {jobs}")
    agent = make_agent()  # first, so that a failure leaves no folder
    check_kind(agent)
    with sole_writer(plan.out, "rollout"):
        plan.claim_folder()
        missing = [seed for seed in plan.seeds if not plan.is_recorded(seed)]
        failures = _Failures(len(missing), on_failure)
        if isinstance(runner, LocalRunner) and (jobs == 1 or len(missing) < 2):
            with closing(EpisodePlayer(agent, plan, make_labeller)) as sole:
                for number, seed in enumerate(missing, start=1):
                    of = f" ({number} of {len(missing)})" if len(missing) > 1 else ""
                    with failures.of(seed):
                        sole.play(seed, progress=progress, title=f"seed {seed}{of}")
        elif missing:
            del agent  # every process makes its own
            here = replace(plan, out=plan.out.absolute())  # a worker may start in another folder
            todo = JobList(
                here.out,
                {recording_name(seed): seed for seed in missing},
                partial(_open_player, make_agent, here, make_labeller),
            )
            with (
                closing(run_jobs(todo, runner, jobs)) as ended,
                progress_bar(
                    total=len(missing), title=plan.task, unit="episode", shown=progress
                ) as bar,
            ):
                for name, end in ended:
                    with failures.of(todo.jobs[name]):
                        end.outcome()
                    bar.update()
        failures.finish(any(plan.is_recorded(seed) for seed in plan.seeds))
    seeds = [seed for seed in plan.seeds if on_failure is None or plan.is_recorded(seed)]
    return [Recording.open(plan.out / recording_name(seed)) for seed in seeds]


class _Failures:
    """Collects the failures of episodes while other seeds are played."""

    def __init__(self, seeds: int, report: OnFailure | None) -> None:
        self._seeds = seeds
        self._report = report
        self._errors: dict[int, WorldError | AgentError] = {}

    @contextmanager
    def of(self, seed: int) -> Iterator[None]:
        """Collect a failure of this seed's episode; raise if there are too many."""
        try:
            yield
        except ActionError as err:
            if self._report is None:
                raise
            self._report(seed, err)
        except (WorldError, AgentError) as err:
            self._errors[seed] = err
            if len(self._errors) >= FAILED_SEEDS:
                self._raise_any()
            if self._seeds > 1:
                note(f"seed {seed}: skipped; playing the remaining seeds")
        else:
            self._flush()

    def finish(self, any_recorded: bool) -> None:
        """Report the collected failures if some episode could be played, otherwise raise them."""
        if any_recorded:
            self._flush()
        self._raise_any()

    def _flush(self) -> None:
        """World and agent work, so what failed before was the fault of those seeds."""
        if self._report is not None:
            for seed, err in self._errors.items():
                self._report(seed, err)
            self._errors.clear()

    def _raise_any(self) -> None:
        errors = list(self._errors.values())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise type(errors[0])(f"{len(errors)} seeds failed; first: {errors[0]}")


@contextmanager
def _open_player(
    make_agent: MakeAgent, plan: RolloutPlan, make_labeller: MakeLabeller | None
) -> Iterator[Callable[[int], None]]:
    """What plays in a worker process: one player, and its world, for all its episodes."""
    with closing(EpisodePlayer(make_agent(), plan, make_labeller)) as player:

        def play(seed: int) -> None:
            if not plan.is_recorded(seed):  # perhaps by a worker of a command that was killed
                player.play(seed, progress=False)

        yield play
