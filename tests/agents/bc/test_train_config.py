"""The shipped training config composes into the trainer's own settings, and the command runs them."""

import json
import os
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from agents.bc.config import PLAY_SETTINGS, TrainConfig
from agents.common.registry import make_agent
from basalt.cli import main as cli
from basalt.data.batch import Batch
from basalt.data.dataset import SequenceStream
from basalt.io.errors import ConfigError
from tests.support.synthetic import write_episodes


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("configs", version_base=None):
        cfg = compose("train", overrides=list(overrides))
    settings = {str(k): v for k, v in cfg.items() if k not in ("task", "data", *PLAY_SETTINGS)}
    plain = OmegaConf.to_container(OmegaConf.create(settings), resolve=False)
    assert isinstance(plain, dict)
    return {**plain, "out": str(cfg.out), "task": cfg.task.name, "data": cfg.data.source}


def test_the_defaults_are_the_trainers_own() -> None:
    assert TrainConfig.from_mapping(composed("out=x")) == TrainConfig(out="x")


def test_every_setting_is_in_the_config() -> None:
    assert set(composed()) == {field.name for field in fields(TrainConfig)}


def test_overrides_reach_the_trainer() -> None:
    cfg = TrainConfig.from_mapping(
        composed("data=folder", "data.source=demos", "lr=1e-4", "task=make_waterfall", "steps=7")
    )
    assert (cfg.data, cfg.lr, cfg.task, cfg.steps) == ("demos", 1e-4, "make_waterfall", 7)
    assert cfg.out == "runs/train/make_waterfall/bc"


def test_the_command_trains_and_prints_held_out_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    data = write_episodes(tmp_path / "data", range(100_000, 100_003), 12)
    run = tmp_path / "run"
    command = ["train", "agent=bc", "data=folder", f"data.source={data}", f"out={run}"]
    assert cli.run([*command, "steps=2", "rows=2", "length=4", "device=cpu"]) == 0
    printed = capsys.readouterr().out
    assert "2 steps in" in printed
    assert all(
        f"held-out loss  {name}" in printed for name in ("policy", "marginals", "repeat_last")
    )
    assert (run / "report.json").is_file()


def test_the_command_answers_mistakes_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "data=folder", f"data.source={tmp_path}", f"out={tmp_path}/run"]) == 1
    assert "holds no usable recording" in capsys.readouterr().err
    assert cli.run(["train", "stepz=3"]) == 1
    assert "stepz" in capsys.readouterr().err
    assert cli.run(["train", "agent=random"]) == 1
    assert "there is no 'random'; known: bc" in capsys.readouterr().err


def test_playing_without_a_checkpoint_is_answered() -> None:
    with pytest.raises(ConfigError, match="checkpoint=FOLDER"):
        make_agent("bc", checkpoint=None)


def test_ctrl_c_ends_the_command_with_130_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_episodes(tmp_path / "data", range(100_000, 100_003), 12)
    command = ["train", "data=folder", f"data.source={data}", f"out={tmp_path / 'run'}"]
    command += ["steps=3", "rows=2", "length=4", "device=cpu"]
    read = SequenceStream.__next__

    def read_after_ctrl_c(stream: SequenceStream) -> Batch:
        os.kill(os.getpid(), signal.SIGINT)
        return read(stream)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceStream, "__next__", read_after_ctrl_c)
        assert cli.run(command) == cli.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err
    assert cli.run(command) == 0
    assert "3 steps in" in capsys.readouterr().out
    steps = [json.loads(row)["step"] for row in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps == [1, 2, 3]
