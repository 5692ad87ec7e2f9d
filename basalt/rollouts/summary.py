"""What the episodes of a rollout amount to by telemetry: `summary.json`."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from basalt.core.intervals import episode_interval, rate_interval
from basalt.core.recording import Ended, Recording
from basalt.core.records import Record
from basalt.core.scoring import can_score, furthest, milestones, outcome
from basalt.core.tasks import get_task
from basalt.core.telemetry import Fact
from basalt.io.errors import ConfigError
from basalt.rollouts.milestones import milestone_lines


class EpisodeMean(BaseModel):
    """A mean over episodes.

    Attributes:
        mean: The mean.
        interval: 95% interval [low, high]; None if there are too few episodes for one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    interval: tuple[float, float] | None

    def text(self, spec: str) -> str:
        """The mean and its interval, for people; `spec` is a format of numbers."""
        if self.interval is None:
            return f"{self.mean:{spec}}"
        low, high = self.interval
        return f"{self.mean:{spec}} (95% interval {low:{spec}} to {high:{spec}})"


class EpisodeSummary(BaseModel):
    """One episode of a rollout, as the referee sees it.

    Attributes:
        player: Name of the player.
        seed: Seed of the world.
        steps: Number of steps.
        ended: How the episode ended.
        success: Success by telemetry; None if the world does not report enough to see it.
        distance_walked: Horizontal distance in nodes; None if the world does not report positions.
        facts: The task's own facts after the last step.
        recording: Path of the video.
        milestones: Whether each milestone was reached, in order; None where it is not known. Empty in old records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    player: str
    seed: int
    steps: int
    ended: Ended
    success: bool | None
    distance_walked: float | None
    facts: dict[str, Fact]
    recording: str
    milestones: dict[str, bool | None] = {}


class RolloutSummary(Record):
    """A rollout as the referee sees it: `summary.json`.

    Attributes:
        episodes: The episodes in order of the seeds.
        success_rate: Share of successes, with Wilson's interval; None if no success is known.
        distance_walked: Mean distance in nodes, with a bootstrap interval; None if none is known.
    """

    FORMAT: ClassVar[str] = "basalt-rollout-summary"
    VERSION: ClassVar[int] = 2

    episodes: tuple[EpisodeSummary, ...]
    success_rate: EpisodeMean | None
    distance_walked: EpisodeMean | None

    def lines(self) -> list[str]:
        """The summary as a table with totals, for people."""
        lines = [f"{'seed':>8} {'steps':>6} {'ended':>6} {'success':>8} {'walked':>8} furthest"]
        for one in self.episodes:
            success = {True: "yes", False: "no", None: "?"}[one.success]
            far = furthest(one.milestones) or ("-" if False in one.milestones.values() else "?")
            walked = "?" if one.distance_walked is None else f"{one.distance_walked:.1f}"
            lines.append(
                f"{one.seed:>8} {one.steps:>6} {one.ended:>6} {success:>8} {walked:>8} {far}"
            )
        if self.success_rate is not None:
            lines.append(f"success by telemetry {self.success_rate.text('.0%')}")
        else:
            lines.append(
                "success: unknown, since the world does not report enough; let people judge"
            )
        if self.distance_walked is not None:
            lines.append(f"distance walked {self.distance_walked.text('.1f')} nodes")
        lines += milestone_lines([one.milestones for one in self.episodes])
        return lines


def summary(recordings: Sequence[Recording]) -> RolloutSummary:
    """Summarize recordings by their telemetry.

    Raises:
        ConfigError: A recording is one of BEDD's, which have no telemetry.
    """
    episodes = tuple(_episode_summary(recording) for recording in recordings)
    scored = [one.success for one in episodes if one.success is not None]
    distances = [one.distance_walked for one in episodes if one.distance_walked is not None]
    success_rate = distance = None
    if scored:
        low, high = rate_interval(sum(scored), len(scored))
        success_rate = EpisodeMean(mean=sum(scored) / len(scored), interval=(low, high))
    if distances:
        interval = episode_interval(distances, [1] * len(distances))
        distance = EpisodeMean(
            mean=sum(distances) / len(distances),
            interval=None if interval is None else (interval[0], interval[1]),
        )
    return RolloutSummary(episodes=episodes, success_rate=success_rate, distance_walked=distance)


def _episode_summary(recording: Recording) -> EpisodeSummary:
    if recording.meta is None:
        raise ConfigError(
            f"{recording.stem}: cannot be summarized without {recording.meta_path.name}"
        )
    states = recording.telemetry()
    last = states[-1]
    return EpisodeSummary(
        player=recording.meta.player,
        seed=recording.meta.seed,
        steps=recording.meta.steps,
        ended=recording.meta.ended,
        success=success(recording),
        distance_walked=round(last.distance_walked, 2) if last.is_observed("xpos") else None,
        facts=last.facts,
        recording=str(recording.video_path),
        milestones=milestones(get_task(recording.meta.task), states, recording.meta.ended),
    )


def success(recording: Recording) -> bool | None:
    """Success of a recording by its telemetry; None if the telemetry does not show it."""
    if recording.meta is None:
        return None
    task, states = get_task(recording.meta.task), recording.telemetry()
    return outcome(task, states, recording.meta.ended).success if can_score(task, states) else None
