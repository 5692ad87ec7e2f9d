"""Extension from outside: a separate distribution adds an agent, a world, a probe and a rating model by entry points.

`tests/plugin` is installed into a folder of its own, and each part is used by name from the command line.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from basalt.testing import check_agent, check_world
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.store.database import open_store
from leaderboard.studies.rules import demo_study
from leaderboard.submissions.register import submit_recordings
from tests.support import ROOT
from tests.support.three_players import SEEDS, record_three, unwatched_study

PLUGIN = ROOT / "tests" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder into which the plugin is installed, for sys.path."""
    source = tmp_path_factory.mktemp("source") / "plugin"  # building leaves files in it
    shutil.copytree(PLUGIN, source)
    target = tmp_path_factory.mktemp("installed")
    options = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    subprocess.run(
        [sys.executable, *"-m pip install".split(), *options.split(), "--target", target, source],
        check=True,
        timeout=300,
    )
    assert list(target.glob("basalt_theirs-*.dist-info/entry_points.txt"))
    add_broken(target)
    return target


def add_broken(target: Path) -> None:
    """Install a distribution beside it whose module raises; all that the others do works nevertheless."""
    (target / "basalt_broken.py").write_text("raise RuntimeError('no\\ndriver')\n")
    info = target / "basalt_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: basalt-broken\nVersion: 1.0\n")
    groups = ("agents", "worlds", "probes", "rating_models")
    entries = "".join(f"[basalt.{group}]\nbc2 = basalt_broken:X\n" for group in groups)
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder in which the commands run."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def basalt(installed, folder):
    """Run the command line in a process that sees the plugin; what it printed."""

    def run(*arguments: str, fails: bool | None = False) -> str:
        path = os.pathsep.join(map(str, (installed, ROOT)))
        done = subprocess.run(
            [sys.executable, "-c", "from basalt.cli.main import main; main()", *arguments],
            env=os.environ | {"PYTHONPATH": path},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        expected = {None: (0, 1), True: (1, 2), False: (0,)}[fails]
        assert done.returncode in expected, done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture(scope="module")
def played(basalt, folder) -> Path:
    """Two episodes of their agent in their world."""
    printed = basalt(
        "rollout", "agent=theirs", "world=theirs", "seeds=[200000,200001]", "out=played",
        "agent.steps=4", "world.args.brightness=9",
    )  # fmt: skip
    assert "success by telemetry 100%" in printed
    return folder / "played"


def test_an_agent_and_a_world_play_by_name(played):
    meta = json.loads((played / "seed_200000.json").read_text())
    assert (meta["player"], meta["player_kind"]) == ("theirs", "agent")
    assert (meta["world"], meta["world_version"], meta["steps"]) == ("theirs", "theirs-1", 5)


def test_their_settings_are_checked_like_ours(basalt):
    assert "agent.stepz" in basalt("rollout", "agent=theirs", "agent.stepz=4", fails=True)
    said = basalt("rollout", "agent=random", "world=theirs", "world.args.colour=3", fails=True)
    assert "world.args.colour: unknown setting; did you mean 'world.args.brightness'" in said


def test_a_mistyped_name_finds_theirs(basalt):
    assert "'theirs'" in basalt("rollout", "agent=theirz", fails=True)
    assert "'theirs'" in basalt("rollout", "agent=random", "world=theirz", fails=True)


def test_a_probe_by_name(basalt, played):
    assert "seed_200000: brightness" in basalt("probe", "theirs", "recordings=played")
    assert "mean brightness of recorded frames" in basalt("probe", "--help")


def test_a_rating_model_by_name(basalt, tmp_path):
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    study = unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for player in record_three(tmp_path / "recordings").values():
        submit_recordings(store, study, player)
    judge_by_telemetry(store, study)
    store.close()
    shown = json.loads(
        basalt("leaderboard", "show", "--store", str(place), "--model", "theirs", "--json")
    )
    assert [one["agent"] for one in shown] == ["good", "middling", "poor"]
    assert shown[0]["theirs"] > 0.5 > shown[-1]["theirs"]
    said = basalt("leaderboard", "show", "--store", str(place), "--model", "theirz", fails=True)
    assert "'theirs'" in said


BROKEN = "'bc2' of the package basalt-broken cannot be imported (RuntimeError: no driver)"


def test_a_broken_package_is_named_where_its_kind_is_listed(basalt):
    for command, kinds in (
        (("train", "--help"), ["agent"]),
        (("rollout", "--help"), ["agent", "world"]),
        (("probe", "--help"), ["probe"]),
        (("doctor",), ["agent", "world", "probe", "rating model"]),
    ):
        lines = basalt(*command, fails=None).splitlines()
        for kind in kinds:
            assert sum(f"{kind}: {BROKEN}" in line for line in lines) == 1
    assert "size=small" in basalt("train", "agent=bc", "--help")


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("agent", ("train", "agent=bc2")),
        ("agent", ("rollout", "agent=bc2")),
        ("world", ("rollout", "world=bc2")),
        ("probe", ("probe", "bc2")),
        ("rating model", ("leaderboard", "plan", "--agents=3", "--width=1", "--model=bc2")),
    ],
)
def test_a_broken_package_is_an_error_when_it_is_asked_for(basalt, kind, command):
    said = basalt(*command, fails=True)
    assert f"{kind}: {BROKEN}" in said and said.count("\n") == 1


def test_what_they_add_keeps_the_contracts(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    from basalt_theirs.agent import Walker
    from basalt_theirs.world import CountingWorld

    from basalt.core.tasks import get_task

    check_agent(Walker)
    check_world(CountingWorld(get_task("find_cave")))
