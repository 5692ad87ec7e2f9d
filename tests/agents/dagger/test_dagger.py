"""DAgger teaches what demonstrations never show, and resumes wherever it was stopped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agents.bc.agent import BCAgent
from agents.bc.train import TrainResult
from agents.dagger import train as dagger
from agents.dagger.agent import DaggerAgent
from agents.dagger.config import DaggerConfig
from basalt.core.actions import validate_action
from basalt.core.recorder_lines import Label
from basalt.core.recording import Recording, RecordingWriter
from basalt.data.embeddings import MANIFEST
from basalt.data.episodes import load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.config import VPTConfig
from tests.support.synthetic import ACTION_OF_COLOUR, BLUE, RED, picture, telemetry
from tests.support.tiny_policy import TINY
from tests.support.toy_world import CountingWorld

pytestmark = pytest.mark.usefixtures("one_thread")

TURN = 4
"""Step from which the world shows red."""


def colour(step: int) -> tuple[int, int, int]:
    return BLUE if step < TURN else RED


class TwoColours(CountingWorld):
    """Blue, then red, whatever is done."""

    def _frame(self) -> np.ndarray:
        return picture(colour(self._step), np.random.default_rng(self._step))


class Expert:
    """Labels by the state that the world reports: forward on blue, attack on red; no answer at one step."""

    name = "expert"

    def observe(self, infos: Sequence[Mapping[str, Any]]) -> None:
        self.steps = [info["telemetry"].step for info in infos]

    def labels(self, pov: np.ndarray) -> list[Label]:
        return [
            Label(None if step == 6 else ACTION_OF_COLOUR[colour(step)], True)
            for step in self.steps
        ]


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(VPTConfig, "small", classmethod(lambda cls: TINY))
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "dagger-cache"))
    monkeypatch.setattr(gymnasium, "make", lambda *_, **__: TwoColours())
    monkeypatch.setattr(dagger, "WalkingExpert", Expert)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes in which everything is blue."""
    folder = tmp_path_factory.mktemp("demonstrations")
    for seed in range(100_000, 100_004):
        rng = np.random.default_rng(seed)
        with RecordingWriter(
            folder, f"episode-{seed}", task="find_cave", world="test", world_version="1", seed=seed,
            player="tester", player_kind="scripted", step_limit=1000,
        ) as writer:  # fmt: skip
            writer.begin(picture(BLUE, rng), telemetry(0))
            for t in range(20):
                action = validate_action({"ESC": 1}) if t == 19 else ACTION_OF_COLOUR[BLUE]
                writer.step(action, action["camera"], picture(BLUE, rng), telemetry(t + 1))
            writer.finish("esc")
    return folder


def config(data: Path, out: Path, **changes: Any) -> DaggerConfig:
    values = {
        "data": str(data), "out": str(out), "steps": 20, "round_steps": 150, "rounds": 1, "episodes": 4,
        "max_steps": 16, "batch_size": 4, "seq_len": 8, "lr": 1e-2, "held_out": 0.25, "mirror": False, "device": "cpu",
        "progress": False,
    }  # fmt: skip
    return DaggerConfig(**{**values, **changes})


def on_red(run: Path) -> dict[str, Any]:
    agent = DaggerAgent(run, device="cpu", deterministic=True)
    rng = np.random.default_rng(5)
    for t in range(3):
        (action,) = agent.act(picture(RED, rng)[None], np.array([t == 0]))
    return action


def test_it_learns_where_the_demonstrations_never_were(
    demonstrations: Path, tmp_path: Path
) -> None:
    result = dagger.train(config(demonstrations, tmp_path / "run"))
    assert (result.rounds, result.interrupted) == (1, False)
    before, after = (on_red(path) for path in (tmp_path / "run/rounds/0/policy", tmp_path / "run"))
    assert before["attack"] == 0
    assert (after["attack"], after["forward"]) == (1, 0)
    (one, *_) = sorted((tmp_path / "run/rounds/1/rollouts").glob("seed_*.json"))
    recording = Recording.open(one.with_suffix(""))
    assert recording.meta is not None and recording.meta.labels == "expert"
    assert recording.meta.seed in range(150_000, 150_004)
    assert isinstance(DaggerAgent(tmp_path / "run", device="cpu"), BCAgent)


@pytest.mark.long
def test_it_may_start_from_a_trained_policy(demonstrations: Path, tmp_path: Path) -> None:
    dagger.train(config(demonstrations, tmp_path / "first", steps=1, round_steps=150))
    cfg = config(demonstrations, tmp_path / "second", steps=1, round_steps=1, episodes=1, lr=1e-6)
    dagger.train(replace(cfg, init=str(tmp_path / "first")))
    # Fresh weights would not know red after a single step on blue.
    assert on_red(tmp_path / "second/rounds/0/policy")["attack"] == 1


def test_the_experts_answer_is_learned_and_not_what_was_done(
    demonstrations: Path, tmp_path: Path
) -> None:
    dagger.train(config(demonstrations, tmp_path / "run", steps=1, round_steps=1, episodes=1))
    (episode,) = load_episodes(tmp_path / "run/rounds/1/rollouts")
    # The expert has no answer at step 6, so there is nothing to learn there.
    assert episode.kept.tolist() == [*range(6), *range(7, 16)]
    blue, red = (
        len(set(episode.buttons[part].tolist())) for part in (slice(0, TURN), slice(TURN, 15))
    )
    assert (blue, red) == (1, 1) and episode.buttons[0] != episode.buttons[TURN]


def test_stopped_anywhere_it_resumes_and_ends_as_if_it_was_not(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"steps": 3, "round_steps": 2, "rounds": 2, "episodes": 2}
    whole = dagger.train(config(demonstrations, tmp_path / "whole", **settings))
    cfg = config(demonstrations, tmp_path / "parts", **settings)
    calls: list[str] = []
    real = {name: getattr(dagger, name) for name in ("clone", "_play", "_publish")}

    def stopped_once(name: str) -> Any:
        def call(*args: Any) -> Any:
            calls.append(name)
            if calls.count(name) == 2:
                raise KeyboardInterrupt
            return real[name](*args)

        return call

    for name in real:
        monkeypatch.setattr(dagger, name, stopped_once(name))
    stops = 0
    while True:
        try:
            resumed = dagger.train(cfg)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == 3
    assert (resumed.rounds, resumed.interrupted) == (whole.rounds, False)
    states = [BCAgent(run, device="cpu").policy.state_dict() for run in (whole.run, resumed.run)]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=1e-5)
    assert len(list((tmp_path / "parts/checkpoints").iterdir())) == 1
    again = dagger.train(replace(cfg, rounds=3))
    assert again.rounds == 3
    with pytest.raises(ConfigError, match="made with episodes=2, not episodes=3"):
        dagger.train(replace(cfg, episodes=3))
    assert json.loads((tmp_path / "parts/config.json").read_text())["agent"] == "dagger"


def test_ctrl_c_while_a_round_trains_is_reported(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dagger.clone

    def interrupted(cfg: Any) -> TrainResult:
        result = real(replace(cfg, steps=1))
        return result._replace(interrupted=True, report=None)

    monkeypatch.setattr(dagger, "clone", interrupted)
    result = dagger.train(config(demonstrations, tmp_path / "run"))
    assert (result.interrupted, result.rounds) == (True, 0)
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_round_that_was_stopped_is_not_a_complete_one(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dagger.clone

    def interrupted_in_round_one(cfg: Any) -> TrainResult:
        return real(cfg)._replace(interrupted="/rounds/1/" in cfg.out)

    monkeypatch.setattr(dagger, "clone", interrupted_in_round_one)
    result = dagger.train(config(demonstrations, tmp_path / "run", steps=1, round_steps=1))
    assert (result.interrupted, result.rounds) == (True, 0)
    assert "the same command resumes" in result.lines()[0]
    assert (tmp_path / "run/checkpoints/step-00000000").is_dir()


def test_resuming_never_brings_an_earlier_round_back(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(demonstrations, tmp_path / "run", steps=1, round_steps=1, episodes=1)
    dagger.train(cfg)

    def ctrl_c(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dagger, "_play", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        dagger.train(cfg)
    assert [one.name for one in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000001"]


def test_another_device_resumes_it_and_another_folder_does_not(
    demonstrations: Path, tmp_path: Path
) -> None:
    cfg = config(demonstrations, tmp_path / "run", steps=1, round_steps=1, episodes=1)
    dagger.train(cfg)
    dagger.train(replace(cfg, device="auto"))
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"made with out=.*run.*, not out=.*moved"):
        dagger.train(replace(cfg, out=str(tmp_path / "moved")))


def test_embeddings_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / MANIFEST).write_text("{}")
    with pytest.raises(ConfigError, match=r"data: expected recordings, .* got embeddings"):
        dagger.train(config(tmp_path / "data", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": "runs/none"}, "init: expected a checkpoint or a run"),
        ({"first_seed": 240_000}, "first_seed: expected a value below 200000, got 240000"),
        ({"first_seed": 199_999, "episodes": 30_010}, "seeds: 23000. is"),
        ({"first_seed": 199_999}, "first_seed: expected at most 199996, .* where dev seeds begin"),
        (
            {"task": "build_village_house"},
            "task: expected find_cave or make_waterfall, whose script",
        ),
        ({"rounds": 0}, "rounds: expected at least 1"),
    ],
)
def test_a_wrong_setting_is_one_error(
    demonstrations: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dagger.train(config(demonstrations, tmp_path / "run", **settings))
    assert not (tmp_path / "run").exists()
