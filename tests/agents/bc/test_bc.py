"""Behavioural cloning learns a game whose answer is in the picture, and survives interruption."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.bc import train as bc
from agents.bc.agent import BCAgent, nucleus
from agents.bc.config import TrainConfig
from agents.bc.train import train
from agents.common.evaluation_report import TrainingReport
from agents.common.runs import Metrics, read_metrics
from basalt.core.agent import Agent
from basalt.data.dataset import SequenceStream
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import find_checkpoint, load_policy
from basalt.policies.config import VPTConfig
from tests.support.synthetic import BLUE, GREEN, RED, picture, write_episodes

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = VPTConfig(
    hidsize=32, attention_heads=2, attention_memory_size=24, timesteps=8, n_recurrence_layers=1,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(32, 32, 3),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(VPTConfig, "small", classmethod(lambda cls: TINY))
    cache = tmp_path_factory.getbasetemp() / "bc-cache"
    monkeypatch.setenv("BASALT_CACHE", str(cache))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_008), 60)


def config(folder: Path, out: Path, **changes: object) -> TrainConfig:
    settings = {
        "data": str(folder),
        "out": str(out),
        "batch_size": 4,
        "seq_len": 12,
        "device": "cpu",
    }
    values: dict[str, Any] = {**settings, "lr": 3e-3, "held_out": 0.4, "mirror": False, **changes}
    return TrainConfig(**values)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bc.TrainResult:
    out = tmp_path_factory.mktemp("runs") / "learned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VPTConfig, "small", classmethod(lambda cls: TINY))
        patch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "bc-cache"))
        return train(config(folder, out, steps=120))


def test_beats_both_blind_baselines_on_held_out_episodes(trained: bc.TrainResult) -> None:
    report = trained.report
    assert report.policy.loss < 0.5 * report.marginals.loss
    assert report.policy.loss < report.repeat_last.loss
    for name in ("marginals", "repeat_last"):
        difference = getattr(report, name).loss - report.policy.loss
        assert getattr(report, name).policy_better_by == pytest.approx(difference)
        low, high = getattr(report, name).policy_better_by_interval
        assert 0 < low <= difference <= high
    assert report.policy.buttons_accuracy > 0.9
    assert report.policy.episodes == 4
    low, high = report.policy.loss_interval
    assert low <= report.policy.loss <= high
    assert trained.last_loss < trained.first_loss
    assert TrainingReport.read(trained.run / "report.json") == report


def test_expects_one_escape_an_episode_and_at_its_end(trained: bc.TrainResult) -> None:
    policy = trained.report.policy
    assert 0.3 < policy.esc_expected < 3
    assert policy.esc_in_ending > 0.5


def test_a_run_describes_itself(trained: bc.TrainResult, folder: Path) -> None:
    run = trained.run
    assert json.loads((run / "config.json").read_text())["data"] == str(folder)
    facts = json.loads((trained.checkpoint / "checkpoint.json").read_text())
    assert len(facts["train_places"]) == len(facts["held_out_places"]) == 4
    assert set(facts["train_places"]).isdisjoint(facts["held_out_places"])
    assert (facts["task"], facts["step"]) == ("find_cave", 120)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 121))
    assert {"loss", "buttons", "camera", "esc", "lr", "gradient_norm"} <= set(rows[0])
    assert list((run / "tensorboard").iterdir())
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == [
        "step-00000100",
        "step-00000120",
    ]
    assert not [p for p in run.rglob("*") if p.suffix in (".pt", ".pkl", ".pth")]


def test_starts_at_the_marginals(trained: bc.TrainResult) -> None:
    first = json.loads((trained.run / "metrics.jsonl").read_text().splitlines()[0])
    assert first["buttons"] == pytest.approx(trained.report.marginals.buttons, abs=0.3)


def test_labels_without_a_cause_in_the_picture_stay_at_the_marginals(tmp_path: Path) -> None:
    folder = write_episodes(tmp_path / "data", range(100_000, 100_006), 60, learnable=False)
    report = train(config(folder, tmp_path / "run", steps=40)).report
    assert report.policy.loss > 0.9 * report.marginals.loss


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_policy(run, torch.device("cpu"))[0].state_dict()


def test_interrupted_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(folder, tmp_path / "whole", steps=9, checkpoint_every=4))
    read = SequenceStream.__next__
    seen = 0

    def read_then_ctrl_c(stream: SequenceStream) -> object:
        nonlocal seen
        seen += 1
        if seen == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return read(stream)

    monkeypatch.setattr(SequenceStream, "__next__", read_then_ctrl_c)
    cfg = config(folder, tmp_path / "parts", steps=9, checkpoint_every=4)
    stopped = train(cfg)
    assert (stopped.interrupted, stopped.step, stopped.report) == (True, 6, None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = train(cfg)
    assert (resumed.interrupted, resumed.step, seen) == (False, 9, 9)
    for name, value in weights(whole.run).items():
        torch.testing.assert_close(weights(resumed.run)[name], value, rtol=0, atol=1e-6)
    for a, b in zip(read_metrics(whole.run), read_metrics(resumed.run), strict=True):
        assert a.step == b.step
        assert a.loss == pytest.approx(b.loss, abs=1e-5)


def test_a_run_killed_between_checkpoints_drops_what_it_logged_since(
    folder: Path, tmp_path: Path
) -> None:
    cfg = config(folder, tmp_path / "run", steps=4, checkpoint_every=4)
    left = f".step-00000001.{platform.node()}-{2**22 + 1}.partial"
    (tmp_path / "run" / "checkpoints" / left).mkdir(parents=True)
    train(cfg)
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    train(replace(cfg, steps=6))
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    with Metrics(tmp_path, 0) as metrics:
        metrics.write(1, loss=0.1, gradient_norm=float("inf"))
        metrics.write(2, loss=1 / 3, gradient_norm=2.0)
    one, two = read_metrics(tmp_path)
    assert (one.step, one.loss, one.gradient_norm) == (1, 0.1, float("inf"))
    assert (two.step, two.loss) == (2, 1 / 3)
    file = tmp_path / "metrics.jsonl"
    file.write_text(file.read_text() + '{"step": 3, "lo')  # killed while it wrote
    assert len(read_metrics(tmp_path)) == 2
    file.write_text('{"step": "many"}\n' + file.read_text())
    with pytest.raises(ConfigError, match=r"metrics\.jsonl, line 1: expected metrics of a step"):
        read_metrics(tmp_path)


@pytest.mark.long
def test_survives_kill(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json; from agents.bc.train import train; from agents.bc.config import TrainConfig; "
        "from basalt.policies.config import VPTConfig; "
        "VPTConfig.small = classmethod(lambda cls: VPTConfig(**json.loads(sys.argv[1]))); "
        "train(TrainConfig(**json.loads(sys.argv[2])))"
    )
    cfg = config(folder, tmp_path / "run", steps=100_000, checkpoint_every=3)
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(TINY.to_dict()), json.dumps(vars(cfg))]
    )
    try:
        while not list((tmp_path / "run").glob("checkpoints/step-*[3-9]")):
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    step = int(find_checkpoint(tmp_path / "run").name.split("-")[1])
    assert train(replace(cfg, steps=step + 2)).step == step + 2


def test_a_run_with_other_settings_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    train(config(folder, tmp_path / "run", steps=1))
    with pytest.raises(
        ConfigError, match=r"config\.json: this training run was made with lr=0\.003, not lr"
    ):
        train(config(folder, tmp_path / "run", steps=2, lr=1e-4))


def test_a_run_does_not_go_on_with_other_recordings(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", range(100_000, 100_003), 10)
    cfg = config(data, tmp_path / "run", steps=1)
    train(cfg)
    write_episodes(data, range(100_003, 100_004), 10)
    with pytest.raises(ConfigError, match="no longer holds the recordings"):
        train(replace(cfg, steps=2))


def test_a_folder_is_one_trainings_own(folder: Path, tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path / "run", "training run"),
        pytest.raises(ConfigError, match="another training"),
    ):
        train(config(folder, tmp_path / "run", steps=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stps": 3}, "stps: unknown setting; did you mean 'steps'"),
        ({"steps": "many"}, "steps: expected an integer, got 'many'"),
        ({"steps": True}, "steps: expected an integer, got True"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"lr": float("nan")}, "lr: expected a value above 0, got nan"),
        ({"size": "huge"}, "size: unknown option 'huge'"),
        ({"task": "find_cav"}, "did you mean 'find_cave'"),
        ({"device": "tpu9"}, "device: 'tpu9' cannot be used"),
        ({"held_out": 1.0}, "held_out"),
        ({"data": "/nowhere"}, "/nowhere: no such folder"),
    ],
)
def test_a_wrong_setting_is_named(
    folder: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        train(config(folder, tmp_path / "run", **settings))
    assert type(caught.value).__module__ == "basalt.io.errors"
    assert not (tmp_path / "run").exists()


def screens(*colours: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(7)
    return np.stack([picture(colour, rng) for colour in colours])


def test_plays_what_it_learned_in_a_batch(trained: bc.TrainResult) -> None:
    agent = BCAgent(trained.run, device="cpu", deterministic=True, esc="hazard")
    assert isinstance(agent, Agent)
    agent.act(screens(BLUE, RED), np.array([True, True]))
    blue, red = agent.act(screens(BLUE, RED), np.array([False, False]))
    assert (blue["forward"], blue["attack"], blue["ESC"]) == (1, 0, 0)
    assert blue["camera"].tolist() == [0, 0]
    assert (red["forward"], red["attack"], red["ESC"]) == (0, 1, 0)
    assert red["camera"][1] == pytest.approx(3.2, abs=0.1)
    green, _ = agent.act(screens(GREEN, RED), np.array([False, False]))
    assert green["ESC"] == 1


def test_draws_are_the_seeds(trained: bc.TrainResult) -> None:
    def play(seed: int) -> list[str]:
        agent = BCAgent(trained.run, device="cpu", seed=seed, esc="hazard")
        screen = screens(BLUE, RED, BLUE)
        first = np.array([True] * 3)
        return [str(agent.act(screen, first if t == 0 else ~first)) for t in range(20)]

    assert play(1) == play(1)
    assert play(1) != play(2)


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (0.01, [2]),
        (0.5, [2]),
        (0.51, [2, 0]),
        (0.8, [2, 0]),
        (0.81, [2, 0, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_the_nucleus_is_the_fewest_likeliest_choices_that_have_the_share(
    share: float, left: list[int]
) -> None:
    chances = torch.tensor([[0.3, 0.05, 0.5, 0.15], [0.0, 1.0, 0.0, 0.0]])
    kept, sure = nucleus(chances, share)
    assert torch.equal(kept.nonzero()[:, 0], torch.tensor(sorted(left)))
    assert torch.equal(kept[left], chances[0, left])
    assert torch.equal(sure, chances[1])


def test_the_least_share_is_the_likeliest_choice(trained: bc.TrainResult) -> None:
    first = np.array([True, True])
    agents = (
        BCAgent(trained.run, device="cpu", seed=3, top_p=1e-6),
        BCAgent(trained.run, device="cpu", deterministic=True),
    )
    picked = [
        [str(one.act(screens(BLUE, RED), first * (t == 0))) for t in range(5)] for one in agents
    ]
    assert picked[0] == picked[1]


def test_a_reset_row_forgets_and_the_others_do_not(trained: bc.TrainResult) -> None:
    agent = BCAgent(trained.run, device="cpu")
    screen = screens(BLUE, RED)
    for t in range(4):
        agent.act(screen, np.array([t == 0, t in (0, 3)]))
    assert agent._state is not None
    assert agent._state.mask.sum(1).tolist() == [4, 1]


def test_rows_cannot_appear_in_the_middle(trained: bc.TrainResult) -> None:
    agent = BCAgent(trained.run, device="cpu")
    agent.act(screens(BLUE), np.array([True]))
    with pytest.raises(ConfigError, match="expected all 2 episodes to begin"):
        agent.act(screens(BLUE, RED), np.array([False, True]))


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a checkpoint or a run"):
        BCAgent(tmp_path)


def test_a_damaged_checkpoint_is_refused(trained: bc.TrainResult, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    source = find_checkpoint(trained.run)
    (copy / "checkpoint.json").write_bytes((source / "checkpoint.json").read_bytes())
    (copy / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:999])
    with pytest.raises(ConfigError, match=r"model\.safetensors: cannot be read"):
        BCAgent(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: [], "expected a basalt-checkpoint object, got list"),
        (
            lambda info: info | {"version": 9},
            "version 9 of basalt-checkpoint is newer",
        ),
        (
            lambda info: {k: v for k, v in info.items() if k != "policy"},
            "not a valid basalt-checkpoint file: policy: Field required",
        ),
        (
            lambda info: info | {"policy": {"hidsize": "x"}},
            "not a valid basalt-checkpoint file: policy.hidsize: Input should be a valid integer",
        ),
        (lambda info: info | {"policy": {"width": 3}}, "policy.width: Unexpected keyword"),
        (
            lambda info: info | {"policy": replace(TINY, hidsize=64).to_dict()},
            "weights do not fit .*net",
        ),
    ],
)
def test_facts_that_fit_no_checkpoint_are_refused_in_one_line(
    trained: bc.TrainResult, tmp_path: Path, change: Any, message: str
) -> None:
    source, copy = find_checkpoint(trained.run), tmp_path / "copy"
    shutil.copytree(source, copy)
    file = copy / "checkpoint.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ConfigError, match=message) as error:
        BCAgent(copy)
    assert str(copy) in str(error.value) and "\n" not in str(error.value)


def test_a_run_of_before_the_settings_were_renamed_is_resumed(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder, tmp_path / "run", steps=2)
    train(cfg)
    file = tmp_path / "run" / "config.json"
    former = {present: name for name, present in TrainConfig.RENAMED.items()}
    stored = json.loads(file.read_text())
    stored["labels"] = "mended"
    file.write_text(json.dumps({former.get(name, name): stored[name] for name in stored}))
    info = next((tmp_path / "run").glob("checkpoints/*/checkpoint.json"))
    facts = json.loads(info.read_text())
    assert facts.pop("first_loss") > 0
    info.write_text(json.dumps(facts))
    assert train(replace(cfg, steps=3)).step == 3
    assert json.loads(file.read_text())["batch_size"] == 4
    with pytest.raises(ConfigError, match="made with seq_len=12, not seq_len=8"):
        train(replace(cfg, steps=4, seq_len=8))


@pytest.mark.parametrize("name", ["training.safetensors", "model.safetensors", "checkpoint.json"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_resumed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    cfg = config(folder, tmp_path / "run", steps=4, checkpoint_every=2)
    train(cfg)
    whole = train(replace(cfg, out=str(tmp_path / "whole"), steps=6))
    newest = find_checkpoint(tmp_path / "run")
    file = newest / name
    file.write_bytes(file.read_bytes()[:99])
    capsys.readouterr()
    result = train(replace(cfg, steps=6))
    said = capsys.readouterr().err
    assert f"{newest}: damaged" in said and "resuming from the checkpoint before it" in said
    assert result.step == 6 and result.last_loss == pytest.approx(whole.last_loss, rel=1e-4)


def test_a_run_whose_only_checkpoint_is_damaged_says_what_to_remove(
    folder: Path, tmp_path: Path
) -> None:
    cfg = config(folder, tmp_path / "run", steps=2, checkpoint_every=2)
    train(cfg)
    file = find_checkpoint(tmp_path / "run") / "training.safetensors"
    file.write_bytes(file.read_bytes()[:99])
    with pytest.raises(
        ConfigError, match=r"no checkpoint before it; remove .*/checkpoints to train"
    ):
        train(replace(cfg, steps=4))


def test_a_report_of_before_it_was_a_record_is_read(
    trained: bc.TrainResult, tmp_path: Path
) -> None:
    content = json.loads((trained.run / "report.json").read_text())
    former = {key: content[key] for key in ("policy", "marginals", "repeat_last")}
    (tmp_path / "report.json").write_text(json.dumps(former))
    assert TrainingReport.read(tmp_path / "report.json") == trained.report
