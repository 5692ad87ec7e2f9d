"""A packed hybrid agent plays like its run with rounded weights; one that needs other runs is not packed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.identity import identify
from agents.common.registry import make_agent
from agents.hybrid.checkpoint import HybridCheckpoint, PlayedRun, load_hybrid
from agents.hybrid.encoder import CONFIG, own_heads
from agents.hybrid.machine import Machine
from agents.hybrid.pack import is_hybrid, pack_hybrid
from basalt.cli.policy import main as cli
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import write_checkpoint
from tests.support.tiny_policy import tiny_run

CPU = torch.device("cpu")
MACHINE = {"states": {"explore": {"policy": "go_forward"}}, "heads": ["drop_ahead"]}


def run_of(folder: Path, **changes: Any) -> Path:
    """A run with untrained heads of their own encoder."""
    net = own_heads(1, CPU)
    facts: dict[str, Any] = {
        "task": "make_waterfall", "trunk": "", "trunk_fingerprint": "", "encoder": CONFIG, "heads": ("drop_ahead",),
        "width": CONFIG.hidsize, "components": CONFIG.hidsize, "hidden": 0, "machine": Machine.model_validate(MACHINE), "runs": {},
        "train_places": (), "held_out_places": (), "tune_places": (),
    }  # fmt: skip
    state = net.state_dict()
    write_checkpoint(folder, 1, HybridCheckpoint(**{**facts, **changes}), state, state)
    (folder / "config.json").write_text('{"agent": "hybrid", "seed": 5}')
    (folder / "encoder").mkdir()
    return folder


def test_it_plays_as_the_run_with_rounded_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = run_of(tmp_path / "run"), tmp_path / "packed"
    assert cli(["pack", str(run), "--out", str(out)]) == 0
    assert f"it plays as agent=hybrid checkpoint={out}" in capsys.readouterr().out
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    here = "checkpoints/step-00000001"
    assert files == {"config.json", f"{here}/checkpoint.json", f"{here}/model.safetensors"}
    rounded, info = load_hybrid(run, CPU)
    packed, found = load_hybrid(out, CPU)
    assert found == info
    rounded.half().float()
    for name, value in rounded.state_dict().items():
        assert torch.equal(packed.state_dict()[name], value), name
    agent = make_agent("hybrid", checkpoint=str(out), device="cpu")
    (action,) = agent.act(np.zeros((1, 72, 128, 3), np.uint8), np.ones(1, bool))
    assert action["forward"] == 1
    assert identify({"name": "hybrid", "checkpoint": str(out)}).training_seed == 5


def test_what_needs_other_runs_is_not_packed(tmp_path: Path) -> None:
    policy = tiny_run(tmp_path / "policy")
    assert not is_hybrid(policy)
    walker = {"walker": PlayedRun(path="runs/bc", agent="bc", hash="0" * 64)}
    run = run_of(tmp_path / "walks", runs=walker)
    assert is_hybrid(run)
    with pytest.raises(
        ConfigError, match=r"RUN: expected a hybrid agent .* needs runs/bc; train it"
    ):
        pack_hybrid(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_json_is_left_to_the_reader_of_policies(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    (run / "checkpoints" / "step-00000001" / "checkpoint.json").write_text("{")
    assert not is_hybrid(run)
    with pytest.raises(ConfigError, match="checkpoint"):
        cli(["pack", str(run), "--out", str(tmp_path / "out")])
