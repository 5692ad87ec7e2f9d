"""A packed policy plays like its run with rounded weights, and what does not play is not packed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents.common.identity import identify
from agents.common.registry import make_agent
from basalt.cli.policy import main as cli
from basalt.core.records import Record
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import Checkpoint, load_policy, write_checkpoint
from basalt.policies.ending import EndingCheckpoint, EndingNet, StopRule
from basalt.policies.pack import ENDING, pack
from basalt.policies.vpt import VPTPolicy
from tests.support.tiny_policy import TINY

CPU = torch.device("cpu")


def run_of(folder: Path, record: Record, network: torch.nn.Module) -> Path:
    """A run with one checkpoint, which was trained on with an optimizer's state as large as the weights."""
    state = network.state_dict()
    write_checkpoint(folder, 1, record, state, state)
    (folder / "config.json").write_text('{"seed": 5}')
    (folder / "metrics.jsonl").write_text("{}\n" * 1000)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run", Checkpoint(step=1, policy=TINY), VPTPolicy(TINY))


def head(folder: Path, **facts: object) -> Path:
    record = EndingCheckpoint.model_validate(
        {"step": 1, "encoder": TINY, "task": "find_cave", "rule": StopRule(), **facts}
    )
    return run_of(folder, record, EndingNet(TINY))


def test_it_plays_as_the_run_with_rounded_weights(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ending = tmp_path / "packed", head(tmp_path / "head")
    arguments = ["pack", str(run), "--ending", str(ending), "--out", str(out), "--json"]
    assert cli(arguments) == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(out)
    rounded, _ = load_policy(run, CPU)
    rounded.half().float()
    packed, info = load_policy(out, CPU)
    assert info == Checkpoint(step=1, policy=TINY)
    for name, value in rounded.state_dict().items():
        assert torch.equal(packed.state_dict()[name], value), name
    agent = make_agent("bc", checkpoint=str(out), stop=str(out / ENDING), device="cpu")
    frames = np.zeros((1, *TINY.frame_size, 3), np.uint8)
    assert len(agent.act(frames, np.array([True]))) == 1
    assert identify({"name": "bc", "checkpoint": str(out)}).training_seed == 5
    files = [file.name for file in out.rglob("*") if file.is_file()]
    assert sorted(files) == sorted(2 * ["checkpoint.json", "config.json", "model.safetensors"])
    (weights,) = (out / "checkpoints").glob("*/model.safetensors")
    assert {x.dtype for x in load_file(weights).values() if x.is_floating_point()} == {
        torch.float16
    }


def test_what_does_not_play_is_not_packed(run: Path, tmp_path: Path) -> None:
    refused = {
        "a folder that is there": lambda out: pack(run, tmp_path),
        "no run": lambda out: pack(tmp_path, out),
        "a head in the place of the policy": lambda out: pack(head(tmp_path / "a"), out),
        "a policy in the place of the head": lambda out: pack(run, out, run),
        "an unfinished head": lambda out: pack(run, out, head(tmp_path / "b", rule=None)),
        "a head on a trunk": lambda out: pack(run, out, head(tmp_path / "c", trunk=str(run))),
    }
    for what, packing in refused.items():
        with pytest.raises(ConfigError):
            packing(tmp_path / "out")
        assert not (tmp_path / "out").exists(), what


def test_weights_beyond_half_precision_are_refused(run: Path, tmp_path: Path) -> None:
    policy = VPTPolicy(TINY)
    with torch.no_grad():
        next(policy.parameters()).fill_(1e6)
    large = run_of(tmp_path / "large", Checkpoint(step=1, policy=TINY), policy)
    with pytest.raises(ConfigError, match="in half precision: "):
        pack(large, tmp_path / "out")
    assert not (tmp_path / "out").exists()
