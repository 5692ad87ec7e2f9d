"""`basalt play`: which seed, which screen, and what is refused before a world is started."""

import json

import gymnasium
import pytest

from basalt.cli.main import run
from basalt.core.recording import Recording
from basalt.core.recording_checks import check_recording
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from tests.support.toy_world import CountingWorld, Walker


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: CountingWorld())
    plan = RolloutPlan(
        task="find_cave",
        world="luanti",
        agent={"name": "w"},
        seeds=(100_000, 100_001),
        out=tmp_path,
    )
    return rollout(Walker, plan, progress=False)


def complaint(capsys, *arguments):
    assert run(["play", *arguments]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_recording_is_replayed(recorded, capsys):
    assert run(["play", f"replay={recorded[0].video_path}"]) == 0
    assert "seed_100000: replays exactly, 6 steps, drift 0" in capsys.readouterr().out


def test_a_folder_of_recordings_is_replayed_as_json(recorded, tmp_path, capsys):
    assert run(["play", f"replay={tmp_path}", "json=true"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["exact"] is True and len(report["replays"]) == 2
    assert {one["seed"] for one in report["replays"]} == {100_000, 100_001}
    assert all(one["drift_max"] == 0.0 for one in report["replays"])


def test_another_world_or_task_than_the_recordings_is_refused(recorded, capsys):
    path = str(recorded[0].stem)
    assert "world: " in (said := complaint(capsys, f"replay={path}", "world=minerl"))
    assert "expected luanti" in said and "got minerl" in said
    assert "got make_waterfall" in complaint(capsys, f"replay={path}", "task=make_waterfall")


def test_another_version_is_refused_or_played_all_the_same(recorded, monkeypatch, capsys):
    monkeypatch.setattr(CountingWorld, "version", "toy-2")
    path = str(recorded[0].stem)
    assert "this world is toy-2" in complaint(capsys, f"replay={path}")
    assert run(["play", f"replay={path}", "any_version=true"]) == 0


def test_what_is_no_recording_is_named(tmp_path, capsys):
    assert "nothing.mp4: missing" in complaint(capsys, f"replay={tmp_path / 'nothing'}")
    assert "holds no recordings" in complaint(capsys, f"replay={tmp_path}")


def test_a_recorded_seed_is_not_played_again(recorded, tmp_path, capsys):
    said = complaint(capsys, "seed=100000", f"out={tmp_path}")
    assert "seed: 100000 is recorded in" in said and "give another seed= or out=" in said
    check_recording(Recording.open(tmp_path / "seed_100000"))


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("seed=[1,2]", "one at a time"),
        ("seed=x", "seeds: expected official"),
        ("address=:80", "expected HOST or HOST:PORT"),
        ("adress=here", "adress: unknown setting; did you mean 'address'?"),
        ("--browser", "settings are written key=value here: browser="),
        ("task=find_cve", "find_cve"),
        ("max_steps=0", "max_steps: expected at least 1, got 0"),
        ("crf=99", "crf: expected an integer from 0 (best) to 51 (smallest), got 99"),
    ],
)
def test_senseless_settings_are_named(argument, words, tmp_path, capsys):
    assert words in complaint(capsys, argument, "browser=true", f"out={tmp_path / 'new'}")
