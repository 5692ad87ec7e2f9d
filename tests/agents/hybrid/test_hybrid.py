"""From recordings to a player: heads find a planted cue, thresholds are chosen, and the machine acts by them in a world."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.identity import identify
from agents.common.registry import learners, make_agent
from agents.hybrid import encoder
from agents.hybrid.agent import HybridAgent
from agents.hybrid.checkpoint import load_hybrid
from agents.hybrid.config import HybridConfig
from agents.hybrid.train import HybridReport, HybridResult, train
from basalt.cli.main import run as basalt
from basalt.core.actions import validate_action
from basalt.core.recording import RecordingWriter
from basalt.io.errors import ConfigError
from basalt.policies import embed as embed_module
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.testing import check_agent
from tests.support import synthetic
from tests.support.synthetic import BLUE, GREEN, picture
from tests.support.tiny_policy import tiny_run
from tests.support.toy_world import CountingWorld

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.long]

MACHINE = """
states:
  walk:
    policy: walker
  turn:
    policy: turn_around
    enter: [mouth_in_view, ">=", tune, 2]
    at_most: 19
    then: walk
"""


def write_episode(folder: Path, seed: int, steps: int = 90) -> None:
    """Blue pictures, and green ones in stretches; where it is green, the mouth of a cave is in view."""
    rng = np.random.default_rng(seed)
    green = np.zeros(steps + 1, bool)
    at = int(rng.integers(10, 20))
    while at < steps:
        length = int(rng.integers(8, 15))
        green[at : at + length] = True
        at += length + int(rng.integers(10, 20))

    def telemetry(t: int) -> Any:
        facts = {"in_cave": False, "mouth_in_view": bool(green[t])}
        return synthetic.telemetry(t).model_copy(update={"xpos": 0.2 * t, "facts": facts})

    with RecordingWriter(
        folder, f"episode-{seed}", task="find_cave", world="test", world_version="1", seed=seed,
        player="tester", player_kind="scripted", step_limit=1000,
    ) as writer:  # fmt: skip
        writer.begin(picture(GREEN if green[0] else BLUE, rng), telemetry(0))
        for t in range(steps):
            action = validate_action({"forward": 1})
            writer.step(
                action,
                action["camera"],
                picture(GREEN if green[t + 1] else BLUE, rng),
                telemetry(t + 1),
            )
        writer.finish("limit")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    for seed in range(100_000, 100_010):
        write_episode(folder / "demos", seed)
    for seed in range(200_000, 200_004):
        write_episode(folder / "dev", seed)
    tiny_run(folder / "walker")
    (folder / "machine.yaml").write_text(MACHINE)
    return folder


def config(place: Path, out: Path, **changes: Any) -> HybridConfig:
    values: dict[str, Any] = {
        "data": str(place / "demos"), "tune": [str(place / "dev")], "walker": str(place / "walker"),
        "machine": str(place / "machine.yaml"), "out": str(out), "workers": 0, "device": "cpu", "progress": False,
    }  # fmt: skip
    return HybridConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def trained(place: Path) -> HybridResult:
    return train(config(place, place / "run", heads=["soon_mouth_in_view"]))


def test_the_planted_cue_is_found_and_its_threshold_chosen_on_dev_seeds(
    trained: HybridResult,
) -> None:
    report = trained.report
    assert [one.name for one in report.heads] == ["mouth_in_view", "soon_mouth_in_view"]
    seen, soon = report.heads
    assert seen.head is not None and seen.head.auc > 0.97 and seen.calibration_error < 0.1
    assert seen.step is not None and seen.step.auc < 0.75
    assert soon.head is not None and soon.brightness is not None
    (chosen,) = report.thresholds
    assert (chosen.state, chosen.when, chosen.tuned, chosen.episodes) == ("turn", "enter", True, 4)
    assert chosen.noticed >= 0.8 * chosen.events > 0 and chosen.false_alarms <= 1
    assert 0.1 < float(chosen.condition.threshold) < 0.9
    assert report.tuned_on == (str(trained.run.parent / "dev"),) and report.trunk_places == 0
    assert HybridReport.read(trained.run / "report.json") == report
    _, info = load_hybrid(trained.run, torch.device("cpu"))
    assert info.machine.states["turn"].enter == chosen.condition
    assert info.tune_places == tuple(f"find_cave:{seed}" for seed in range(200_000, 200_004))
    assert not {*info.train_places} & {*info.held_out_places}
    assert any(line.startswith("  turn.enter: mouth_in_view >= ") for line in trained.lines())


class GreenWorld(CountingWorld):
    """Blue, but green from step 10 until the player has turned by 90 degrees."""

    def _begin(self, seed: int) -> Any:
        self._turned = 0.0
        self._rng = np.random.default_rng(seed)
        return super()._begin(seed)

    def _advance(self, action: Any, step: int) -> Any:
        if step > 10:
            self._turned += float(action["camera"][1])
        return super()._advance(action, step)

    def _frame(self) -> np.ndarray:
        green = self._step >= 10 and self._turned < 90
        return picture(GREEN if green else BLUE, self._rng)


def longest_turn(
    run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> list[int]:
    """Steps of the longest turn of an episode in which the view turns by as much as a script turns it."""
    import gymnasium

    monkeypatch.setattr(gymnasium, "make", lambda *_, **__: GreenWorld())
    settings = {"checkpoint": str(run), "device": "cpu", **settings}
    plan = RolloutPlan(
        "find_cave", "toy", {"name": "hybrid", **settings}, (200_000,), out, max_steps=60
    )
    (recording,) = rollout(partial(make_agent, "hybrid", **settings), plan, progress=False)
    turns = np.flatnonzero(np.isclose(recording.actions().camera, [0, 10], atol=0.01).all(1))
    return max(np.split(turns, np.flatnonzero(np.diff(turns) > 1) + 1), key=len).tolist()


def test_in_a_world_the_script_acts_where_the_cue_is_seen_and_the_walker_elsewhere(
    trained: HybridResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = longest_turn(trained.run, tmp_path / "out", monkeypatch)
    assert len(turn) == 18 and 11 <= turn[0] <= 16
    for ablation in ("heads", "scripts"):
        # The walker turns at random.
        without = longest_turn(trained.run, tmp_path / ablation, monkeypatch, **{ablation: False})
        assert len(without) < 4


def test_it_keeps_the_contract_of_an_agent(trained: HybridResult) -> None:
    check_agent(partial(HybridAgent, trained.run, device="cpu"))
    assert not HybridAgent(trained.run, device="cpu").decides_esc
    assert HybridAgent(trained.run, device="cpu", esc="hazard").decides_esc
    with pytest.raises(ConfigError, match="give checkpoint=FOLDER"):
        HybridAgent(None)


def test_it_is_known_by_its_heads_thresholds_and_walker(
    trained: HybridResult, place: Path, tmp_path: Path
) -> None:
    assert "hybrid" in learners()
    before = identify({"name": "hybrid", "checkpoint": str(trained.run)})
    assert before.learns and before.training_seed == 0
    copy = shutil.copytree(trained.run, tmp_path / "copy")
    assert identify({"name": "hybrid", "checkpoint": str(copy)}).hash == before.hash
    file = copy / "checkpoints/step-00000001/checkpoint.json"
    content = json.loads(file.read_text())
    content["machine"]["states"]["turn"]["enter"]["threshold"] = 0.99
    file.write_text(json.dumps(content))
    assert identify({"name": "hybrid", "checkpoint": str(copy)}).hash != before.hash
    other = tiny_run(tmp_path / "walker", seed=1)
    with pytest.raises(
        ConfigError, match=r"agent\.walker: .*is no longer the run that the hybrid agent"
    ):
        HybridAgent(trained.run, walker=other, device="cpu")
    moved = shutil.copytree(place / "walker", tmp_path / "moved")
    HybridAgent(trained.run, walker=moved, device="cpu")


def test_another_machine_or_other_dev_episodes_need_no_new_latents(
    trained: HybridResult, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(trained.run, tmp_path / "run")

    def embed_nothing(*_: object, **__: object) -> Any:
        todo = list(_[1])  # type: ignore[call-overload]
        assert not todo
        return iter(())

    monkeypatch.setattr(embed_module, "embed_episodes", embed_nothing)
    (tmp_path / "other.yaml").write_text(MACHINE.replace("tune, 2", "0.5, 1"))
    again = train(config(place, run, machine=str(tmp_path / "other.yaml"), tune=[]))
    (given,) = again.report.thresholds
    assert (given.tuned, given.condition.threshold, given.condition.hold) == (False, 0.5, 1)
    assert again.report.tuned_on == () and given.episodes == again.report.held_out_episodes == 3
    same = train(config(place, run, heads=["soon_mouth_in_view"]))
    assert same.report == trained.report


def test_what_cannot_be_used_is_one_line(place: Path, tmp_path: Path) -> None:
    cfg = config(place, tmp_path / "run")
    for seed in (230_001, 14169):  # held out, and official
        write_episode(tmp_path / str(seed), seed)
        with pytest.raises(ConfigError, match=f"seeds: {seed} is an? "):
            train(replace(cfg, tune=[str(tmp_path / str(seed))]))
        with pytest.raises(ConfigError, match=f"seeds: {seed} is an? "):
            train(replace(cfg, rollouts=[str(tmp_path / str(seed))]))
    with pytest.raises(
        ConfigError, match="tune: expected worlds that the heads are not trained on"
    ):
        train(replace(cfg, tune=[str(place / "demos")]))
    with pytest.raises(ConfigError, match=r"data: .*does not report what the head water_in_view"):
        train(replace(cfg, heads=("water_in_view",)))
    with pytest.raises(ConfigError, match=r"data: .*too few for stuck \(on 0 of .*add rollouts="):
        train(replace(cfg, heads=("stuck",)))
    with pytest.raises(ConfigError, match=r"walker: expected the folder of a run"):
        train(replace(cfg, walker=str(tmp_path / "gone")))
    with pytest.raises(ConfigError, match="trunk: "):
        train(replace(cfg, trunk=str(tmp_path / "gone")))
    (tmp_path / "machine.yaml").write_text(MACHINE.replace("turn_around", "turn_back"))
    with pytest.raises(
        ConfigError,
        match=r"states\.turn\.policy: expected walker, one of the scripts .*got 'turn_back'",
    ):
        train(replace(cfg, machine=str(tmp_path / "machine.yaml")))
    plain = synthetic.write_episodes(tmp_path / "plain", range(100_000, 100_004), 30)
    with pytest.raises(ConfigError, match=r"data: the telemetry of .* does not report"):
        train(replace(cfg, data=str(plain)))
    assert not (tmp_path / "run").exists()


def test_from_the_command_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "data=folder", f"data.source={place / 'demos'}", f"tune=[{place / 'dev'}]", f"walker={place / 'walker'}",
        f"machine={place / 'machine.yaml'}", f"out={tmp_path / 'run'}", "workers=0", "device=cpu", "progress=false",
    ]  # fmt: skip
    assert basalt(["train", "agent=hybrid", *given]) == 0
    assert "hybrid agent in" in capsys.readouterr().out
    assert basalt(["train", "agent=hybrid", *given[:-1], "hidden=-1"]) == 1
    assert "hidden: expected at least 0" in capsys.readouterr().err
    assert (
        basalt(["rollout", "agent=hybrid", f"checkpoint={tmp_path / 'run'}", "--cfg", "job"]) == 0
    )
    assert "scripts: true" in capsys.readouterr().out


def test_heads_with_an_encoder_of_their_own_find_the_cue_and_resume(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "CHECKPOINT_EVERY", 20)
    cfg = config(place, tmp_path / "run", encoder_steps=60)
    whole = train(cfg)
    (seen,) = whole.report.heads
    assert seen.head is not None and seen.head.auc > 0.97 and seen.calibration_error < 0.1
    assert whole.report.trunk_places == 0
    check_agent(partial(HybridAgent, whole.run, device="cpu"))
    turn = longest_turn(whole.run, tmp_path / "out", monkeypatch)
    assert len(turn) == 18 and 11 <= turn[0] <= 16

    cut = replace(cfg, out=str(tmp_path / "cut"))
    loss, calls = encoder.balanced_loss, iter(range(100))

    def killed(*args: Any) -> torch.Tensor:
        if next(calls) == 45:
            raise KeyboardInterrupt
        return loss(*args)

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "balanced_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train(cut)
        assert train(cut).report == whole.report, "it resumes at step 40"
        assert next(calls) == 66, "46 and 20 steps"
        train(cut)
        assert next(calls) == 67, "a whole encoder is used again"
        train(replace(cut, seed=1, encoder_steps=20))
        assert next(calls) == 88, "one of another seed is not"
    with pytest.raises(ConfigError, match="trunk: expected none, since heads with an encoder"):
        train(replace(cfg, trunk=cfg.walker))


def test_a_machine_of_scripts_alone_needs_no_walker(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "machine.yaml").write_text(MACHINE.replace("walker", "go_forward"))
    machine = str(tmp_path / "machine.yaml")
    cfg = config(place, tmp_path / "run", walker="", machine=machine, encoder_steps=60)
    run = train(cfg).run
    check_agent(partial(HybridAgent, run, device="cpu"))
    turn = longest_turn(run, tmp_path / "out", monkeypatch)
    assert len(turn) == 18 and 11 <= turn[0] <= 16
    with pytest.raises(ConfigError, match=r"agent\.scripts: expected true, since .* no walker"):
        HybridAgent(run, device="cpu", scripts=False)
    with pytest.raises(ConfigError, match=r"agent\.walker: expected none"):
        HybridAgent(run, device="cpu", walker=place / "walker")
    with pytest.raises(ConfigError, match=r"trunk: expected the policy whose latents"):
        train(replace(cfg, encoder_steps=0))
    with pytest.raises(ConfigError, match="walker: expected the run that plays in the states"):
        train(replace(cfg, machine=str(place / "machine.yaml")))
