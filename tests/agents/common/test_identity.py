"""An agent is its settings and weights, wherever they are."""

import json
import shutil

from agents.common.identity import identify


def run_folder(folder, weights=b"weights", seed=3):
    checkpoint = folder / "checkpoints" / "step-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "policy.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps({"seed": seed}))
    (folder / "metrics.jsonl").write_text("{}\n")
    return folder


def test_a_copy_of_the_weights_is_the_same_agent(tmp_path):
    one = run_folder(tmp_path / "one")
    other = shutil.copytree(one, tmp_path / "other")
    (other / "metrics.jsonl").write_text("longer\n")
    identities = [identify({"name": "bc", "checkpoint": str(run)}) for run in (one, other)]
    assert identities[0] == identities[1] and identities[0].training_seed == 3


def test_other_weights_or_settings_are_another_agent(tmp_path):
    one, other = run_folder(tmp_path / "one"), run_folder(tmp_path / "other", weights=b"others")
    hashes = {
        identify(settings).hash
        for settings in (
            {"name": "bc", "checkpoint": str(one)},
            {"name": "bc", "checkpoint": str(other)},
            {"name": "bc", "checkpoint": str(one), "deterministic": True},
            {"name": "bc", "checkpoint": str(tmp_path / "missing")},
        )
    }
    assert len(hashes) == 4


def test_the_training_seed_of_a_checkpoint_is_that_of_its_run(tmp_path):
    run = run_folder(tmp_path / "run", seed=7)
    assert identify({"checkpoint": str(run / "checkpoints" / "step-1")}).training_seed == 7


def test_an_agent_that_was_not_trained_has_no_training_seed():
    assert identify({"name": "random", "seed": 4}).training_seed is None
