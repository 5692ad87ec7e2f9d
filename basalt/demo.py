"""The demo: the whole loop, small and real, on the embedded world."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from agents.bc.config import TrainConfig
from agents.bc.train import train
from agents.common.registry import make_agent
from basalt.core.recording import Recording
from basalt.core.tasks import get_task
from basalt.io.atomic import write_json
from basalt.io.console import note
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.paths import shipped_policies
from basalt.machine_checks import missing_for_the_world
from basalt.policies.pack import ENDING, SEARCH
from basalt.probes.settings import SmokeTestConfig
from basalt.probes.smoke_test import smoke_test
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.rollouts.summary import summary
from basalt.worlds.luanti.version import world_version
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.ranking import rate
from leaderboard.ratings.tables import table_records, text_tables
from leaderboard.store.database import Store, open_store
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study, list_studies
from leaderboard.submissions.episodes import replayed
from leaderboard.submissions.register import submit_recordings, submitted_agents

TASK = get_task("find_cave")
STEP_LIMIT = 400
SEEDS = (95099, 78472)
"""Official seeds with a cave so close that 400 steps are enough to walk into it."""
SHIPPED = "find_cave-small"
"""The shipped policy that plays beside the minute's clone."""
STUDY = "demo"
ROLLOUTS = "rollouts"
SUMMARY = "summary.json"


def check_machine(out: Path) -> None:
    """Check that the demo can run to its end, before it does anything.

    Args:
        out: Folder of the demo.

    Raises:
        BasaltError: Something is missing, each in a line of its own on stderr.
    """
    if missing := missing_for_the_world(out):
        for check in missing:
            note(f"{check.name}: {check.found}" + (f"; fix: {check.fix}" if check.fix else ""))
        raise BasaltError("the embedded world cannot run on this machine yet; see the lines above")


def check_world_version(out: Path) -> None:
    """Check that an interrupted demo can be resumed: it was recorded in the installed version of the world.

    Args:
        out: Folder of the demo.

    Raises:
        ConfigError: It was interrupted in another version of the world.
    """
    version = world_version(TASK)
    for file in (out / ROLLOUTS).glob("*/seed_*.json"):
        meta = Recording.open(file).meta
        if meta is not None and meta.world_version != version:
            raise ConfigError(
                f"{out}: this demo was interrupted in world version {meta.world_version}, but the "
                f"installed engine gives {version}, and versions are never mixed; use another --out, or "
                "delete that folder"
            )


def set_aside_finished(out: Path) -> None:
    """Rename the folder of a finished demo, so that this one is measured from scratch and nothing is lost."""
    if (out / SUMMARY).is_file():
        finished = datetime.fromtimestamp((out / SUMMARY).stat().st_mtime)
        aside = out.with_name(f"{out.name}-{finished:%Y%m%d-%H%M%S}")
        out.rename(aside)
        print(f"the last demo is kept in {aside}")


@dataclass
class Demo:
    """The parts of one demo in its folder; each resumes where it was interrupted.

    Attributes:
        out: Folder of the demo.
        results: Results of the parts, for the summary.
    """

    out: Path
    results: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Run all parts in order, then print where everything is."""
        began = time.monotonic()
        print("\n1/4  Behavioural cloning on the sample recordings: pixels in, keys and mouse out")
        self._train()
        print(
            f"\n2/4  Playing official seeds {SEEDS[0]} and {SEEDS[1]}, each cut at {STEP_LIMIT} steps"
        )
        played = self._play()
        print("\n3/4  A small study: all pairs judged by telemetry, a stand-in for people")
        print(self._rank(played))
        print("\n4/4  A look inside the policy")
        self._probe()
        self.results["seconds"] = round(time.monotonic() - began, 1)
        write_json(self.out / SUMMARY, self.results)
        print(
            f"\nDone in {self.results['seconds']:.0f} s. In {self.out}:\n"
            "  bc/                  the trained policy: config, metrics, TensorBoard, checkpoints\n"
            "  rollouts/            the recordings: NAME.mp4 plays in any browser\n"
            "  leaderboard.sqlite   the study: submissions, judgments\n"
            "  probe/               the sparse autoencoders and their report\n"
            f"  {SUMMARY}         the figures above\n"
            "Now judge the pairs yourself: `make ui` (or `basalt ui`) opens the judging app on it."
        )

    def _train(self) -> None:
        result = train(TrainConfig(out=str(self.out / "bc"), task=TASK.name, data="sample"))
        if result.interrupted:
            raise KeyboardInterrupt
        assert result.report is not None
        held_out = {name: metrics.loss for name, metrics in result.report.by_player().items()}
        self.results["training"] = {
            "first_loss": result.first_loss,
            "last_loss": result.last_loss,
            "steps": result.step,
            "held_out_loss": held_out,
        }
        print(
            f"  training loss {result.first_loss:.2f} before, {result.last_loss:.2f} after (nats per frame)"
        )
        shown = ", ".join(f"{name.replace('_', ' ')} {loss:.2f}" for name, loss in held_out.items())
        print(f"  on held-out episodes: {shown}")

    def _play(self) -> dict[str, list[Recording]]:
        shipped = shipped_policies() / SHIPPED
        players: dict[str, Mapping[str, Any]] = {
            "bc": {"name": "bc", "checkpoint": str(self.out / "bc"), "esc": "hazard"},
            SHIPPED: {
                "name": "search",
                "checkpoint": str(shipped / SEARCH),
                "stop": str(shipped / ENDING),
            },
            "random": {"name": "random"},
            "demonstrator": {"name": "demonstrator", "knowing": True},
        }
        played = {}
        for name, agent in players.items():
            plan = RolloutPlan(
                task=TASK.name,
                world="luanti",
                agent=agent,
                seeds=SEEDS,
                out=self.out / ROLLOUTS / name,
                max_steps=STEP_LIMIT,
            )
            played[name] = rollout(partial(make_agent, **agent), plan)
            _print_episodes(name, played[name])
        self.results["recordings"] = [
            str(recording.video_path) for each in played.values() for recording in each
        ]
        return played

    def _rank(self, played: Mapping[str, list[Recording]]) -> str:
        store = open_store(self.out / "leaderboard.sqlite")
        try:
            study = _study(store)
            known = submitted_agents(store, study)
            for name in (name for name in played if name not in known):
                submit_recordings(store, study, self.out / ROLLOUTS / name, name)
            judge_by_telemetry(store, study)
            tables = rate(load_comparisons(store, study, ["telemetry"]))
            confirmed = replayed(store, study)
        finally:
            store.close()
        columns = ("agent", "mu", "sigma", "comparisons", "source")
        self.results["table"] = [
            {column: record[column] for column in columns} for record in table_records(tables)
        ]
        return text_tables(tables, confirmed)

    def _probe(self) -> None:
        settings = SmokeTestConfig(str(self.out / "bc"), "sample", out=str(self.out / "probe"))
        report = smoke_test(settings)
        trained, random = (
            {
                "variance_explained": row.variance_explained.value,
                "l0": row.l0.value,
                "dead_share": row.dead_share,
                "bc_loss_change": row.loss_change.value,
            }
            for row in (report.trained, report.random_network)
        )
        self.results["sae"] = trained | {"label": report.label, "random_network": random}
        print("\n".join(f"  {line}" for line in report.lines()))


def _study(store: Store) -> StudyInfo:
    """The demo's own study, created if it does not exist."""
    if any(study.name == STUDY for study in list_studies(store)):
        return find_study(store, STUDY)
    rules = demo_study({TASK.name: SEEDS}, "luanti", world_version(TASK), step_limit=STEP_LIMIT)
    return create_study(store, STUDY, rules)


def _print_episodes(player: str, recordings: Sequence[Recording]) -> None:
    for row in summary(recordings).episodes:
        cut = f", cut at {STEP_LIMIT} steps" if row.ended == "cut" else f", ended by {row.ended}"
        where = "in a cave" if row.facts["in_cave"] else "not in a cave"
        print(
            f"  {player:<15} seed {row.seed}: {row.steps} steps{cut}, "
            f"walked {row.distance_walked:.0f} nodes, {where}"
        )
