"""A trained reward model scores recordings, and is tested on other answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.latents import load_latents
from agents.reward.config import RewardConfig
from agents.reward.frames import Frames
from agents.reward.saved import RewardCheckpoint, open_reward
from agents.reward.train import train
from basalt.cli.main import run
from basalt.core.comparisons import Side, write_comparisons
from basalt.core.recording import Recording
from basalt.core.rewards import SCORES, RewardScores, find_scores, read_scores, scores_file
from basalt.feedback import score as scoring
from basalt.feedback.choose import choose
from basalt.feedback.clips import Clip, ClipPair, ClippedEpisode, draw_pairs
from basalt.feedback.evaluate import EvaluateConfig, evaluate
from basalt.feedback.label import LabelConfig
from basalt.feedback.score import ScoreConfig, score
from basalt.io.errors import ConfigError, RecordingError
from basalt.policies.checkpoint import find_checkpoint
from tests.support.cue_recordings import STEPS, cue_answers, cue_of, record_cues
from tests.support.tiny_policy import tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _latents(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "reward-cache"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return record_cues(tmp_path_factory.mktemp("score") / "recordings", range(100_001, 100_009))


@pytest.fixture(scope="module")
def reward(played: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = played[0].stem.parents[1]
    write_comparisons(root / "answers.parquet", cue_answers(played, 400))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "reward-cache"))
        train(
            RewardConfig(
                out=str(root / "reward"), comparisons=str(root / "answers.parquet"),
                recordings=str(root / "recordings"), trunk=str(tiny_run(root / "trunk")), model="linear", members=2,
                components=16, device="cpu", progress=False,
            )  # type: ignore[arg-type]
        )  # fmt: skip
    return root / "reward"


Config = Callable[..., ScoreConfig]


@pytest.fixture
def config(played: list[Recording], reward: Path, tmp_path: Path) -> Config:
    def make(**changes: Any) -> ScoreConfig:
        values = {
            "reward": str(reward), "recordings": str(played[0].stem.parent), "out": str(tmp_path / "scores"),
            "device": "cpu", "progress": False,
        }  # fmt: skip
        return ScoreConfig(**{**values, **changes})

    return make


def test_steps_with_the_cue_score_more(
    config: Config, played: list[Recording], tmp_path: Path
) -> None:
    found = score(config())
    assert len(found.episodes) == len(played)
    better = 0
    for one in found.episodes:
        assert len(one.reward) == STEPS
        cue = cue_of(one.seed, one.player)[:STEPS]
        if 0 < cue.sum() < STEPS:
            with_cue = [value for value, shown in zip(one.reward, cue, strict=True) if shown]
            without = [value for value, shown in zip(one.reward, cue, strict=True) if not shown]
            better += sum(with_cue) / len(with_cue) > sum(without) / len(without)
        assert read_scores(tmp_path / "scores", one.episode) == one
    assert better >= 14
    assert "16 episodes scored" in found.lines()[0]
    ((folder, record),) = find_scores(tmp_path, 2)
    assert folder == tmp_path / "scores" and record.task == "find_cave" and not record.synthetic


def test_interrupted_scoring_resumes_with_the_missing_episodes(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(config())
    first, second = whole.episodes[:2]
    scores_file(tmp_path / "scores", first.episode).unlink()
    calls = []

    def counted(model: Any, episode: Any) -> Any:
        calls.append(episode.meta.video_sha256)
        return first

    monkeypatch.setattr(scoring, "episode_scores", counted)
    again = score(config())
    assert calls == [first.episode] and again.episodes[1] == second


def test_what_cannot_be_scored_is_one_error(
    config: Config, reward: Path, played: list[Recording], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="reward: expected a checkpoint or a run"):
        score(config(reward=str(tmp_path)))
    score(config())
    record = RewardScores.read(tmp_path / "scores" / SCORES)
    record.model_copy(update={"fingerprint": "0"}).write(tmp_path / "scores" / SCORES)
    with pytest.raises(ConfigError, match="this folder of scores was made with fingerprint="):
        score(config())
    tiny_run(reward.parent / "trunk", seed=1)
    try:
        with pytest.raises(RecordingError, match="is no longer the policy"):
            score(config(out=str(tmp_path / "other")))
    finally:
        tiny_run(reward.parent / "trunk")


def test_a_damaged_score_is_one_error_and_takes_no_other_folder_away(
    config: Config, tmp_path: Path
) -> None:
    found = score(config())
    file = scores_file(tmp_path / "scores", found.episodes[0].episode)
    file.write_text('{"format": "basalt-episode-scores", "version": 1, "reward": [1]}')
    with pytest.raises(ConfigError, match="not a valid basalt-episode-scores file"):
        read_scores(tmp_path / "scores", found.episodes[0].episode)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / SCORES).write_text("{")
    assert [folder.name for folder, _ in find_scores(tmp_path, 1)] == ["scores"]


def test_other_answers_are_tested_without_the_worlds_of_the_training(
    reward: Path, played: list[Recording], tmp_path: Path
) -> None:
    answers = cue_answers(played, 200, clip=None, seed=5)
    write_comparisons(tmp_path / "whole.parquet", answers)
    values: dict[str, Any] = {
        "reward": str(reward), "comparisons": str(tmp_path / "whole.parquet"),
        "recordings": str(played[0].stem.parent), "device": "cpu", "progress": False,
    }  # fmt: skip
    found = evaluate(EvaluateConfig(**values))
    places = set(RewardCheckpoint.read(find_checkpoint(reward) / "checkpoint.json").train_places)
    known = [one for one in answers if f"find_cave:{one.seed}" in places]
    assert 0 < found.left_out == len(known) < len(answers)
    assert found.everything.accuracy > 0.8
    assert any("reward model" in line for line in found.lines())
    write_comparisons(tmp_path / "known.parquet", known)
    with pytest.raises(ConfigError, match="worlds that the model was not trained on, got none of"):
        evaluate(EvaluateConfig(**{**values, "comparisons": str(tmp_path / "known.parquet")}))


def test_the_commands_print_their_results(
    reward: Path, played: list[Recording], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [f"reward={reward}", f"recordings=[{played[0].stem.parent}]", "device=cpu", "progress=false"]  # fmt: skip
    assert run(["feedback", "score", *common, f"out={tmp_path / 'scores'}"]) == 0
    printed = capsys.readouterr().out
    assert "a: mean reward " in printed and "b: mean reward " in printed
    answers = reward.parent / "answers.parquet"
    assert run(["feedback", "evaluate", *common, f"comparisons={answers}"]) == 0
    assert "brightness alone" in capsys.readouterr().out
    assert run(["feedback", "score", "--help"]) == 0
    assert "out=${reward}/scores" in capsys.readouterr().out


def test_an_ensemble_chooses_what_a_teacher_answers(
    reward: Path, played: list[Recording], tmp_path: Path
) -> None:
    meta = played[0].meta
    assert meta is not None
    episodes = [episode_of(one) for one in played]
    pairs = draw_pairs(episodes, 200, np.random.default_rng(0))
    chosen = choose(
        pairs, 20, "disagreement", str(reward), [str(played[0].stem.parent)], meta,
        np.random.default_rng(1), progress=False,
    )  # fmt: skip
    kinds = [one.kind for one in chosen]
    assert len(chosen) == 20 and kinds.count("disagreement") == 16
    assert all(one.chance == 1.0 for one in chosen if one.kind == "disagreement")
    assert all(one.chance is None or one.chance < 1 for one in chosen if one.kind != "disagreement")
    # The pairs that were chosen are those that the members think differently about.
    model, _ = open_reward(reward, torch.device("cpu"))
    latents, _ = load_latents([str(played[0].stem.parent)], str(reward.parent / "trunk"), progress=False)  # fmt: skip
    frames = Frames(latents, 32)
    frames.project(model)
    left, right = (
        frames.scores(model, frames.clips([getattr(one, place).side for one in pairs]))
        for place in ("left", "right")
    )
    spread = dict(zip(map(key, pairs), torch.sigmoid(left - right).std(0).tolist(), strict=True))
    mean = sum(spread[key(one)] for one in chosen if one.kind == "disagreement") / 16
    assert mean > 1.5 * sum(spread.values()) / len(spread)
    other = meta.model_copy(update={"world_version": "2"})
    with pytest.raises(ConfigError, match="expected a model of find_cave in test 2, got one of"):
        choose(pairs, 20, "entropy", str(reward), [], other, np.random.default_rng(1))
    with pytest.raises(ConfigError, match="got selector=entropy and reward=None"):
        LabelConfig(task="find_cave", recordings=("x",), selector="entropy")
    with pytest.raises(ConfigError, match="got selector=uniform and reward=runs/reward"):
        LabelConfig(task="find_cave", recordings=("x",), reward="runs/reward")


def key(pair: ClipPair) -> tuple[object, object]:
    return pair.left.side, pair.right.side


def episode_of(recording: Recording) -> ClippedEpisode:
    meta = recording.meta
    assert meta is not None
    clips = tuple(
        Clip(Side(meta.player, meta.seed, meta.video_sha256, start, start + 16), np.zeros(16))
        for start in range(0, STEPS - 16, 4)
    )
    return ClippedEpisode(recording, meta, STEPS - 16, clips, ())
