"""Training of a reward model: a planted cue is found on worlds that were not seen, and what cannot teach is refused."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.common.registry import learners
from agents.common.runs import RunResult
from agents.reward import train as training
from agents.reward.answers import read_answers, split_answers
from agents.reward.config import RewardConfig
from agents.reward.report import RewardReport, known_ceiling
from agents.reward.saved import RewardCheckpoint, load_reward, open_reward
from agents.reward.train import train
from agents.teachers.labels import FILE, LABELS, LabelSet
from agents.teachers.teacher import TEACHERS
from basalt.cli.main import run
from basalt.core.comparisons import Comparison, Side, write_comparisons
from basalt.core.recording import Recording
from basalt.io.errors import BasaltError, ConfigError, RecordingError
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.vpt import VPTPolicy
from tests.support.cue_recordings import cue_answers, record_cue, record_cues
from tests.support.tiny_policy import TINY, tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")

SEEDS = range(100_001, 100_011)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return record_cues(tmp_path_factory.mktemp("reward") / "recordings", SEEDS)


@pytest.fixture(scope="module")
def trunk(played: list[Recording]) -> Path:
    return tiny_run(played[0].stem.parents[1] / "trunk")


@pytest.fixture(autouse=True)
def _latents(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "reward-cache"))


Config = Callable[..., RewardConfig]


@pytest.fixture
def config(played: list[Recording], trunk: Path, tmp_path: Path) -> Config:
    def make(answers: list[Comparison] | None = None, **changes: Any) -> RewardConfig:
        file = tmp_path / "answers.parquet"
        if answers is not None or not file.exists():
            write_comparisons(file, cue_answers(played, 400) if answers is None else answers)
        values = {
            "out": str(tmp_path / "run"), "comparisons": str(file), "recordings": str(played[0].stem.parent),
            "trunk": str(trunk), "model": "linear", "members": 2, "width": 32, "components": 16, "frames": 8,
            "steps": 60, "batch_size": 32, "log_every": 10, "warmup": 5, "lr": 3e-3, "device": "cpu", "progress": False,
        }  # fmt: skip
        return RewardConfig(**{**values, **changes})

    return make


def finished(result: RunResult[RewardReport]) -> RewardReport:
    assert result.report is not None
    assert RewardReport.read(result.run / "report.json") == result.report
    return result.report


@pytest.mark.parametrize("model", ["linear", "mlp", "transformer"])
def test_finds_a_planted_cue_on_worlds_that_it_has_not_seen(config: Config, model: str) -> None:
    result = train(config(model=model))
    report = finished(result)
    found = report.everything
    # A transformer has more to learn from as few pairs.
    assert found.accuracy > (0.75 if model == "transformer" else 0.85)
    assert found.interval is not None and found.interval[0] > 0.5
    assert report.straddling == 0  # all pairs are on one seed
    assert report.uniform is not None and 0 < report.uniform.pairs < found.pairs
    known = {one.name: one.accuracy for one in found.controls}
    names = ["length", "start", "brightness", "seed", "side", "player", "last frame"]
    assert list(known) == [*names, "mean latent", "shuffled answers"]
    assert known["length"] == 0.5
    for name in ("brightness", "side", "shuffled answers"):
        assert known[name] < 0.72
    text = "\n".join(result.lines())
    assert "brightness alone" in text and "ceiling" in text and "not known" in text
    info = RewardCheckpoint.read(next((result.run / "checkpoints").iterdir()) / "checkpoint.json")
    assert info.finished and info.temperature == found.temperature
    assert not set(info.train_places) & set(info.held_out_places)
    assert len(info.train_places) + len(info.held_out_places) == len(SEEDS)
    assert not [p for p in result.run.rglob("*") if p.suffix in (".pt", ".pkl", ".pth")]


@pytest.mark.parametrize("damaged", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    settings: dict[str, Any] = {"model": "mlp", "steps": 12, "log_every": 3, "checkpoint_every": 4}
    whole = train(config(out=str(tmp_path / "whole"), **settings))
    loss = training._Learner._loss

    def loss_then_ctrl_c(self: Any, number: int) -> torch.Tensor:
        if number == 6 and not (tmp_path / "parts/checkpoints/step-00000007").exists():
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, number)

    monkeypatch.setattr(training._Learner, "_loss", loss_then_ctrl_c)
    cfg = config(out=str(tmp_path / "parts"), **settings)
    stopped = train(cfg)
    assert (stopped.interrupted, stopped.step, stopped.report) == (True, 7, None)
    with pytest.raises(ConfigError, match=r"expected a finished run.*at step 7"):
        open_reward(tmp_path / "parts", torch.device("cpu"))
    if damaged:  # the checkpoint before it is resumed from
        newest = tmp_path / "parts/checkpoints/step-00000007/training.safetensors"
        newest.write_bytes(b"half")
    resumed = train(cfg)
    assert (resumed.interrupted, resumed.step) == (False, 12)
    assert resumed.report == whole.report
    weights = [load_reward(one.run, torch.device("cpu"))[0].state_dict() for one in (whole, resumed)]  # fmt: skip
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match=r"made with lr=0\.003, not lr=0\.1"):
        train(replace(cfg, lr=0.1))


def test_a_run_is_not_resumed_with_other_answers(config: Config, played: list[Recording]) -> None:
    train(config())
    with pytest.raises(ConfigError, match="was started with other answers"):
        train(config(cue_answers(played, 400, seed=1)))


def test_whole_episodes_of_unequal_lengths_are_compared_by_their_means(
    config: Config, played: list[Recording]
) -> None:
    report = finished(train(config(cue_answers(played, 300, clip=None))))
    assert report.everything.accuracy > 0.8
    clips = cue_answers(played, 300, clip=16) + cue_answers(played, 300, clip=8, seed=1)
    finished(train(config(clips, out=config().out + "-mixed")))


def test_rejections_set_an_acceptable_score(config: Config, played: list[Recording]) -> None:
    answers = cue_answers(played, 400)
    rejected = [replace(one, winner="both_bad") if one.winner == "draw" else one for one in answers]
    report = finished(train(config(rejected)))
    assert report.acceptable is not None
    assert finished(train(config(answers, out=config().out + "-2"))).acceptable is None


def test_two_raters_give_a_ceiling(config: Config, played: list[Recording]) -> None:
    answers = cue_answers(played, 300)
    again = [replace(one, rater="s", comparison_id=f"{one.comparison_id}s") for one in answers]
    report = finished(train(config(answers + again)))
    assert report.ceiling == 1.0 and report.ceiling_of == "agreement between raters"


def test_it_says_that_its_trunk_knows_the_held_out_worlds(config: Config, tmp_path: Path) -> None:
    torch.manual_seed(0)
    groups = [f"find_cave:{seed}" for seed in SEEDS]
    save_checkpoint(tmp_path / "trunk", 1, VPTPolicy(TINY), {}, {"train_places": groups})
    result = train(config(trunk=str(tmp_path / "trunk")))
    assert finished(result).trunk_places == 3
    assert "the trunk was trained on 3 of the held-out worlds" in result.lines()[-1]


def changed(answers: list[Comparison], **values: Any) -> list[Comparison]:
    return [replace(one, **values) for one in answers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: changed(all_, winner="left"), "decided answers name the left clip"),
        (lambda all_: changed(all_, winner="draw"), "too few decided answers: 0 to learn from"),
        (lambda all_: all_[:12], "too few decided answers"),
        (lambda all_: changed(all_, winner="skip"), "holds no answer about find_cave"),
        (lambda all_: changed(all_, gold="left"), "holds no answer about find_cave"),
        (lambda all_: changed(all_, question="Who hurried?"), r"the questions Who hurried\?"),
        (lambda all_: changed(all_, task="make_waterfall"), "it has the tasks make_waterfall"),
        (
            lambda all_: all_[:200] + changed(all_[200:], source="synthetic"),
            r"one source, got human, synthetic; give sources=\[human\]",
        ),
        (
            lambda all_: all_[:200] + changed(all_[200:], world_version="2"),
            "one world and version, got test 1, test 2",
        ),
        (lambda all_: changed(all_, seed=230_001), "230001 is a held-out seed"),
        (lambda all_: changed(all_, right_seed=2_147_483_000), "is not a training seed"),
        (
            lambda all_: [one for one in all_ if one.seed < 100_005],
            "at least 5 seeds, got 4",
        ),
    ],
)  # fmt: skip
def test_answers_that_cannot_teach_are_one_error(
    config: Config, played: list[Recording], change: Callable[[list[Comparison]], list[Comparison]], message: str
) -> None:  # fmt: skip
    cfg = config(change(cue_answers(played, 400)))
    with pytest.raises(BasaltError, match=message):
        train(cfg)
    assert not Path(cfg.out).exists()


def test_recordings_that_do_not_fit_the_answers_are_one_error(
    config: Config, played: list[Recording], tmp_path: Path
) -> None:
    answers = cue_answers(played, 400)
    lone = record_cue(tmp_path / "lone", 100_900, "a").stem.parent
    with pytest.raises(RecordingError, match="expected all 20 episodes that were compared, but 20 are missing"):  # fmt: skip
        train(config(answers, recordings=str(lone)))
    with pytest.raises(RecordingError, match="compares a clip up to step 49 of 48 steps"):
        train(config(changed(answers, left_stop=49)))
    # The answers may not say that an episode was played on another seed.
    moved = [one.with_sides(*(replace(side, seed=side.seed + 50) for side in (one.left, one.right))) for one in answers]  # fmt: skip
    with pytest.raises(RecordingError, match=r"expected .* to be of \('find_cave', 'test', '1'"):
        train(config(moved))
    assert not Path(config().out).exists()


def test_a_loss_that_is_not_a_number_stops_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = training._Learner._loss
    monkeypatch.setattr(
        training._Learner, "_loss", lambda self, number: loss(self, number) * float("nan")
    )
    with pytest.raises(ConfigError, match="the loss is nan at step 1; use a smaller lr"):
        train(config(model="mlp"))


def test_pairs_of_two_worlds_are_on_one_side_or_left_out() -> None:
    answers = []
    for number in range(200):
        sides = [Side("a", 100_000 + (number * step) % 20, f"{number:064x}") for step in (3, 7)]
        one = replace(cue_answers_stub(), comparison_id=str(number))
        answers.append(one.with_sides(*sides))
    split = split_answers(answers, 0.3, 0)
    parts = [split.places(part) for part in ("training", "validation", "held_out")]
    assert not set(parts[0]) & set(parts[2]) and not set(parts[1]) & set(parts[2])
    assert not set(parts[0]) & set(parts[1])
    used = len(split.training) + len(split.validation) + len(split.held_out)
    assert 0 < split.straddling == 200 - used


def cue_answers_stub() -> Comparison:
    from tests.support.synthetic_comparisons import one_comparison

    return one_comparison("a", "a", "left")


def test_skipped_pairs_and_checks_never_enter(config: Config, played: list[Recording]) -> None:
    answers = cue_answers(played, 60)
    noise = changed(cue_answers(played, 30, seed=1), winner="skip")
    checks = changed(cue_answers(played, 30, seed=2), pair_of="c0-1")
    cfg = config(answers + noise + checks)
    assert read_answers(cfg.comparisons, "find_cave", "") == answers


@pytest.mark.parametrize("damage", ["format", "sizes", "weights"])
def test_a_damaged_model_is_one_error(config: Config, damage: str, trunk: Path) -> None:
    result = train(config())
    (folder,) = (result.run / "checkpoints").iterdir()
    file = folder / "checkpoint.json"
    content = json.loads(file.read_text())
    if damage == "format":
        content["format"] = "basalt-checkpoint"
    elif damage == "sizes":
        content["sizes"]["components"] = 3
    else:
        (folder / "model.safetensors").write_bytes(b"no tensors")
    file.write_text(json.dumps(content))
    message = {
        "format": "reward: .*expected format 'basalt-reward-model'.*agent=reward",
        "sizes": "weights do not fit",
        "weights": "cannot be read",
    }[damage]
    with pytest.raises(ConfigError, match=message):
        open_reward(result.run, torch.device("cpu"))
    with pytest.raises(ConfigError, match="expected format 'basalt-reward-model'"):
        open_reward(trunk, torch.device("cpu"))


def test_the_command_trains_and_prints_the_table(
    config: Config, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "reward" in learners()
    cfg = config()
    values = [
        f"{name}={getattr(cfg, name)}" for name in ("out", "trunk", "model", "members", "frames")
    ]
    lists = [f"comparisons={cfg.comparisons[0]}", f"recordings=[{cfg.recordings[0]}]"]
    command = ["train", "agent=reward", *values, *lists, "device=cpu", "progress=false"]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "reward model (linear)" in printed and "last frame alone" in printed
    assert run([*command, "data=folder", "data.source=x"]) == 1
    assert "data" in capsys.readouterr().err
    assert run(["train", "agent=reward", "--help"]) == 0
    assert "comparisons=(needed)" in capsys.readouterr().out
    assert run(["train", "agent=reward", f"out={tmp_path / 'x'}"]) == 1
    assert "comparisons: expected a value" in capsys.readouterr().err


def test_changes_show_what_got_better_in_a_clip(config: Config, played: list[Recording]) -> None:
    answers = cue_answers(played, 600, by_change=True)
    with_changes = finished(train(config(answers, frames=16)))
    assert with_changes.everything.accuracy > 0.85
    states = finished(train(config(answers, frames=16, changes=False, out=config().out + "-2")))
    assert states.everything.accuracy < with_changes.everything.accuracy - 0.05


def test_a_synthetic_teacher_gives_a_ceiling(played: list[Recording], tmp_path: Path) -> None:
    answers = cue_answers(played, 20)
    files = [str(tmp_path / LABELS)]
    assert known_ceiling(files, answers)[0] is None
    LabelSet(
        task="find_cave", world="test", world_version="1", teacher_name="mixed", teacher=TEACHERS["mixed"],
        recordings=("r",), episodes=2, clip=16, uniform_share=0.5, seed=0, spread=1.0, answers={"left": 20},
        truth=0.9, controls=(),
    ).write(tmp_path / FILE)  # fmt: skip
    assert known_ceiling(files, answers) == (0.9, "how often the teacher 'mixed' is right")
    assert known_ceiling([*files, "other.parquet"], answers)[0] is None
