"""An agent is its settings and weights, wherever they are."""

import json
import shutil

import pytest

from agents.common.identity import identify


def run_folder(folder, weights=b"weights", seed=3, step=1):
    checkpoint = folder / "checkpoints" / f"step-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "policy.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps({"seed": seed, "out": str(folder)}))
    (folder / "metrics.jsonl").write_text("{}\n")
    return folder


def bc(run, **settings):
    return {"name": "bc", "checkpoint": str(run), **settings}


def test_a_copy_of_the_weights_is_the_same_agent(tmp_path):
    one = run_folder(tmp_path / "one")
    other = run_folder(tmp_path / "other")
    (other / "metrics.jsonl").write_text("longer\n")
    (other / "report.json").write_text("{}")
    identities = [identify(bc(run)) for run in (one, other)]
    assert identities[0] == identities[1]
    assert identities[0].training_seed == 3 and identities[0].learns


def test_only_the_newest_checkpoint_of_a_run_plays(tmp_path):
    run = run_folder(tmp_path / "run")
    before = identify(bc(run)).hash
    run_folder(tmp_path / "more", weights=b"more", step=20)
    shutil.copytree(tmp_path / "more" / "checkpoints" / "step-20", run / "checkpoints" / "step-20")
    assert identify(bc(run)).hash == identify(bc(tmp_path / "more")).hash != before


def test_other_weights_or_settings_are_another_agent(tmp_path):
    one, other = run_folder(tmp_path / "one"), run_folder(tmp_path / "other", weights=b"others")
    (tmp_path / "empty").mkdir()
    all_settings = (
        bc(one),
        bc(other),
        bc(one, deterministic=True),
        bc(tmp_path / "missing"),
        bc(tmp_path / "empty"),
        {"name": "steered", "player": bc(one)},
        {"name": "steered", "player": bc(other)},
        {"name": "random"},
    )
    assert len({identify(settings).hash for settings in all_settings}) == len(all_settings)


def test_an_agent_inside_another_learns(tmp_path):
    found = identify({"name": "steered", "player": bc(run_folder(tmp_path / "run", seed=7))})
    assert found.learns and found.training_seed == 7


def test_a_name_that_is_also_a_folder_is_a_name(tmp_path, monkeypatch):
    before = identify({"name": "random", "seed": 0})
    (tmp_path / "random").mkdir()
    (tmp_path / "random" / "file.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert identify({"name": "random", "seed": 0}) == before


def test_the_training_seed_of_a_checkpoint_is_that_of_its_run(tmp_path):
    run = run_folder(tmp_path / "run", seed=7)
    assert identify(bc(run / "checkpoints" / "step-1")).training_seed == 7


@pytest.mark.parametrize("name", ["random", "demonstrator", "nobody knows it"])
def test_an_agent_that_does_not_learn_has_no_training_seed(name):
    found = identify({"name": name, "seed": 4, "text": "x" * 300})
    assert found.training_seed is None and not found.learns
