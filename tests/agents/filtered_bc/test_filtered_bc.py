"""Filtered cloning imitates the winners only, with the memory of whole episodes, and best of n the best episodes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.best_of_n.agent import BestOfNAgent
from agents.best_of_n.config import BestOfNConfig
from agents.best_of_n.train import train as best_of_n
from agents.common.latents import load_latents
from agents.common.registry import make_agent
from agents.filtered_bc.agent import FilteredBCAgent
from agents.filtered_bc.config import FilteredBCConfig
from agents.filtered_bc.train import train
from agents.preferences.clone import Chosen
from agents.reward.config import RewardConfig
from agents.reward.saved import open_reward
from agents.reward.train import train as train_reward
from basalt.core.comparisons import Comparison, write_comparisons
from basalt.core.recording import Recording
from basalt.io.errors import BasaltError, ConfigError
from basalt.policies.checkpoint import load_policy
from basalt.policies.source import open_policy
from basalt.testing import check_agent
from tests.support.cue_recordings import cue_answers, record_cues
from tests.support.tiny_policy import tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return record_cues(tmp_path_factory.mktemp("filtered") / "recordings", range(100_001, 100_007))


@pytest.fixture(scope="module")
def start(played: list[Recording]) -> Path:
    return tiny_run(played[0].stem.parents[1] / "start")


@pytest.fixture(autouse=True)
def _latents(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "reward-cache"))


@pytest.fixture
def common(played: list[Recording], start: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "out": str(tmp_path / "run"), "recordings": str(played[0].stem.parent), "init": str(start), "steps": 6,
        "batch_size": 4, "seq_len": 8, "device": "cpu", "progress": False,
    }  # fmt: skip


Config = Callable[..., FilteredBCConfig]


@pytest.fixture
def config(played: list[Recording], common: dict[str, Any], tmp_path: Path) -> Config:
    def make(answers: list[Comparison] | None = None, **changes: Any) -> FilteredBCConfig:
        file = tmp_path / "answers.parquet"
        write_comparisons(file, cue_answers(played, 60) if answers is None else answers)
        return FilteredBCConfig(**{**common, "comparisons": str(file), **changes})

    return make


def test_only_winners_are_imitated_and_only_the_heads_change(
    config: Config, played: list[Recording], start: Path
) -> None:
    result = train(config())
    assert result.step == 6 and not result.interrupted and result.report is not None
    winners = {
        one.left if one.winner == "left" else one.right
        for one in cue_answers(played, 60)
        if one.winner in ("left", "right")
    }
    chosen = Chosen.read(result.run / "chosen.json")
    assert (chosen.agent, chosen.clips, chosen.frames) == (
        "filtered_bc", len(winners), 16 * len(winners),
    )  # fmt: skip
    before = open_policy(start, torch.device("cpu")).state_dict()
    after = load_policy(result.run, torch.device("cpu"))[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(("pi_head.", "esc_head.")) for name in changed)
    again = train(config())
    assert again.step == 6
    with pytest.raises(ConfigError, match="was made with clips="):
        train(config(cue_answers(played, 90)))


def test_it_plays(config: Config) -> None:
    run = train(config()).run
    agent = make_agent("filtered_bc", checkpoint=str(run), device="cpu")
    assert isinstance(agent, FilteredBCAgent) and agent.name == "filtered_bc"
    check_agent(partial(FilteredBCAgent, run, device="cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winner": "draw"}, "expected answers that name a winner, got none"),
        ({"winner": "skip"}, "holds no answer about find_cave"),
        ({"seed": 230_001}, "230001 is a held-out seed"),
    ],
)
def test_answers_that_cannot_teach_are_one_error(
    config: Config, played: list[Recording], change: dict[str, Any], message: str
) -> None:
    answers = [replace(one, **change) for one in cue_answers(played, 60)]
    with pytest.raises(BasaltError, match=message):
        train(config(answers))
    with pytest.raises(ConfigError, match="comparisons: expected files of answers"):
        FilteredBCConfig(out="x", recordings=("x",), init="x")


def test_the_best_episode_of_each_seed_is_imitated(
    played: list[Recording], common: dict[str, Any], start: Path, tmp_path: Path
) -> None:
    write_comparisons(tmp_path / "answers.parquet", cue_answers(played, 300))
    reward = tmp_path / "reward"
    train_reward(
        RewardConfig(
            out=str(reward), comparisons=str(tmp_path / "answers.parquet"), recordings=common["recordings"],
            trunk=str(start), model="linear", members=1, components=8, changes=False, device="cpu", progress=False,
        )
    )  # fmt: skip
    result = best_of_n(BestOfNConfig(**common, reward=str(reward), n=2))
    assert result.seeds == 6 and result.chosen > result.mean
    assert "best of 2 on 6 seeds" in result.lines()[0] and "(0.19 nats" in result.lines()[0]
    chosen = Chosen.read(Path(common["out"]) / "chosen.json")
    assert (chosen.agent, chosen.clips) == ("best_of_n", 6)
    # By hand: the mean reward of each seed's two episodes.
    model, info = open_reward(reward, torch.device("cpu"))
    episodes, _ = load_latents([common["recordings"]], info.trunk, progress=False)
    by_seed: dict[int, list[float]] = {}
    for one in episodes.values():
        found = model.gated(model.rewards(torch.from_numpy(np.array(one.values))))
        by_seed.setdefault(one.meta.seed, []).append(float(found.mean()))
    assert result.chosen == pytest.approx(np.mean([max(both) for both in by_seed.values()]))
    check_agent(partial(BestOfNAgent, common["out"], device="cpu"))
    with pytest.raises(ConfigError, match="with 3 episodes or more, got at most 2"):
        best_of_n(BestOfNConfig(**{**common, "out": str(tmp_path / "3")}, reward=str(reward), n=3))
    with pytest.raises(ConfigError, match="reward: expected a run of a reward model"):
        BestOfNConfig(**common)
