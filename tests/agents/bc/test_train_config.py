"""`basalt train`: settings are checked and reach the trainer, and the command runs them."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.bc.config import TrainConfig
from agents.common.registry import make_agent
from basalt.cli import main as cli
from basalt.data.batch import Batch
from basalt.data.dataset import SequenceStream
from basalt.io.errors import ConfigError
from tests.support.synthetic import write_episodes


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainConfig]:
    """Settings that reach the trainer when the command is given these arguments."""
    given: list[TrainConfig] = []

    def caught(cfg: TrainConfig) -> Training:
        given.append(cfg)
        return Training()

    monkeypatch.setattr("agents.bc.train.train", caught)

    def run(*arguments: str) -> TrainConfig:
        assert cli.run(["train", *arguments]) == 0
        return given[-1]

    return run


class Training:
    """Result of a training run that did nothing."""

    interrupted = False

    def lines(self) -> list[str]:
        return []


def test_the_defaults_are_the_trainers_own(train: Callable[..., TrainConfig]) -> None:
    assert train() == TrainConfig(out="runs/train/find_cave/bc")


def test_overrides_reach_the_trainer(train: Callable[..., TrainConfig]) -> None:
    cfg = train("data=folder", "data.source=demos", "lr=1e-4", "task=make_waterfall", "steps=7")
    assert (cfg.data, cfg.lr, cfg.task, cfg.steps) == ("demos", 1e-4, "make_waterfall", 7)
    assert cfg.out == "runs/train/make_waterfall/bc"


def test_former_names_of_settings_are_still_read(train: Callable[..., TrainConfig]) -> None:
    cfg = train("rows=6", "length=5", "train=heads", "init=x")
    assert (cfg.batch_size, cfg.seq_len, cfg.trainable) == (6, 5, "heads")


def test_a_sweep_trains_for_each_combination(
    train: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    cfg = train("-m", "steps=3,4", "seed=1,2", f"out={tmp_path}/${{hydra:job.num}}-${{steps}}")
    assert (cfg.steps, cfg.seed, cfg.out) == (4, 2, f"{tmp_path}/3-4")


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("steps=ten", "steps: expected an integer, got 'ten'"),
        ("steps=true", "steps: expected an integer, got True"),
        ("lr=0", "lr: expected a value above 0, got 0"),
        ("labels=best", "labels: unknown option 'best'; available: corrected, legacy"),
        ("labels=[worst]", "labels: unknown option \"['worst']\"; available: corrected, legacy"),
        ("traning.steps=3", "traning.steps: unknown setting; did you mean 'steps'?"),
        ("stepz=3", "stepz: unknown setting; did you mean 'steps'?"),
        ("+stepz=3", "stepz: unknown setting; did you mean 'steps'?"),
        ("--steps=3", "--steps=3: settings are written key=value here: steps=3"),
        ("agent=random", "agent: 'random' does not learn; agents that learn: awr, bc"),
        ("agent=bcc", "agent: unknown agent 'bcc'; did you mean 'bc'?"),
    ],
)
def test_a_wrong_setting_fails_before_any_work(
    sweep: bool, argument: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.bc.train.train", lambda cfg: pytest.fail("it was trained"))
    first = argument.replace("ten", "3,ten").replace("best", "legacy,best")
    arguments = ["-m", "seed=1,2", first] if sweep else [argument]
    assert cli.run(["train", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"basalt train: {message}") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


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
    assert "run the same command to resume" in capsys.readouterr().err
    assert cli.run(command) == 0
    assert "3 steps in" in capsys.readouterr().out
    steps = [json.loads(row)["step"] for row in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps == [1, 2, 3]
