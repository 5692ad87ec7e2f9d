"""Record the sample recordings of `data/sample` again: `python -m tools.sample`.

Records the first ten training seeds of FindCave, exactly as `data/sample/README.md` says, and replaces the old ones
once all have succeeded; the README's version and number of steps are updated. The same command resumes an interrupted
run.
"""

import argparse
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from agents.common.registry import make_agent
from basalt.core.recording import Recording
from basalt.core.tasks import get_task
from basalt.io.errors import BasaltError, ConfigError
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.rollouts.summary import success
from basalt.worlds.luanti.version import world_version

SEEDS = tuple(range(100_000, 100_010))
AGENT: dict[str, Any] = {"name": "demonstrator", "knowing": True}
"""The player that finds the cave of each of these seeds."""

CRF = 34
"""x264 quality; compressed more than a rollout's videos, to keep a clone small."""

HERE = Path(__file__).parents[1] / "data" / "sample"


def record(scratch: Path, jobs: int) -> list[Recording]:
    """Record the sample into a folder.

    Raises:
        ConfigError: An episode did not succeed.
        WorldError: The world kept failing; finished episodes are kept for the next call.
    """
    plan = RolloutPlan("find_cave", "luanti", AGENT, SEEDS, scratch, crf=CRF)
    recordings = rollout(partial(make_agent, **AGENT), plan, jobs=jobs)
    for recording in recordings:
        if not success(recording):
            raise ConfigError(f"{recording.stem}: the demonstrator did not find the cave")
    return recordings


def replace(recordings: list[Recording], folder: Path) -> None:
    """Replace a sample's recordings, and update its README."""
    metas = [recording.meta for recording in recordings if recording.meta is not None]
    (version,) = {meta.world_version for meta in metas}
    steps = sum(meta.steps for meta in metas)
    for recording in recordings:
        for path in (recording.video_path, recording.lines_path, recording.meta_path):
            shutil.copyfile(path, folder / path.name)
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = re.sub(r"`luanti-[\w.-]+`", f"`{version}`", text)
    minutes = round(steps / 20 / 60)
    text = re.sub(
        r"[\d,]+ steps, about \d+ minutes", f"{steps:,} steps, about {minutes} minutes", text
    )
    readme.write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    """Record, check, replace."""
    parser = argparse.ArgumentParser(prog="python -m tools.sample", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="worlds that run in parallel")
    args = parser.parse_args(argv)
    try:
        recordings = record(
            Path("runs") / f"sample-{world_version(get_task('find_cave'))}", args.jobs
        )
    except BasaltError as err:
        parser.exit(1, f"{err}\n")
    replace(recordings, HERE)
    print(f"{len(recordings)} recordings in {HERE}")


if __name__ == "__main__":
    main()
