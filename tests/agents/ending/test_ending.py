"""A stopping head finds a planted cue, ends episodes by it, and refuses agents that end themselves."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.bc.agent import BCAgent
from agents.common.identity import identify
from agents.common.registry import learners, make_agent, play_settings, upgrade_claim
from agents.common.runs import RunResult
from agents.common.stopping import StoppingAgent
from agents.ending import data as ending_data
from agents.ending.config import EndingConfig
from agents.ending.data import BalancedFrames, load_labelled
from agents.ending.train import EndingReport, ending_loss, train
from basalt.core.actions import null_action, validate_action
from basalt.core.agent import Agent
from basalt.core.recorder_lines import Label
from basalt.core.recording import RecordingWriter
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.config import VPTConfig
from basalt.policies.ending import EndingInputs, EndingNet, load_ending, open_ending
from basalt.policies.vpt import VPTPolicy
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.testing import check_agent
from tests.support import synthetic
from tests.support.tiny_policy import TINY, tiny_run
from tests.support.toy_world import CountingWorld

pytestmark = pytest.mark.usefixtures("one_thread")

SEEDS = range(100_000, 100_010)


def frame(cue: bool, screen: bool, rng: np.random.Generator) -> np.ndarray:
    """Coloured noise, equally bright on average; the cue is a green square somewhere, a screen is a white bar."""
    picture = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    if cue:
        top, left = rng.integers(0, 220), rng.integers(0, 480)
        picture[top : top + 140, left : left + 160] = (64, 255, 64)
    if screen:
        picture[150:210] = 255
    return picture


def write_episode(
    folder: Path, seed: int, *, screens: bool = True, steps: int = 60, expert: str | None = None
) -> None:
    """Twenty steps without the cue, then with it, and a screen open for five steps among each.

    An expert, if there is one, has no answer at every third step.
    """
    rng = np.random.default_rng(seed)

    def state(t: int) -> tuple[bool, bool]:
        return t >= 20, screens and (5 <= t < 10 or 30 <= t < 35)

    def telemetry(t: int) -> Any:
        cue, screen = state(t)
        return synthetic.telemetry(t).model_copy(
            update={"facts": {"in_cave": cue}, "gui_open": screen}
        )

    with RecordingWriter(
        folder, f"episode-{seed}", task="find_cave", world="test", world_version="1", seed=seed,
        player="tester", player_kind="scripted", step_limit=1000, labels=expert,
    ) as writer:  # fmt: skip
        writer.begin(frame(*state(0), rng), telemetry(0))
        for t in range(steps):
            action = validate_action({"ESC": 1} if t == steps - 1 else {"forward": 1})
            label = Label(None if t % 3 == 0 else action, True) if expert else None
            writer.step(
                action, action["camera"], frame(*state(t + 1), rng), telemetry(t + 1), label
            )
        writer.finish("esc")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(VPTConfig, "small", classmethod(lambda cls: TINY))
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "ending-cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recordings")
    for seed in SEEDS:
        write_episode(place, seed)
    return place


def config(folder: Path, out: Path, **changes: Any) -> EndingConfig:
    values = {
        "data": str(folder), "out": str(out), "batch_size": 48, "steps": 140, "lr": 5e-3, "shift": 1, "colour": 0.1,
        "min_step": 0, "device": "cpu", "progress": False,
    }  # fmt: skip
    return EndingConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult[EndingReport]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VPTConfig, "small", classmethod(lambda cls: TINY))
        patch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "ending-cache"))
        return train(config(folder, tmp_path_factory.mktemp("runs") / "ending"))


def test_finds_a_planted_cue_that_neither_brightness_nor_time_within_it_shows(
    trained: RunResult[EndingReport],
) -> None:
    report = trained.report
    assert report is not None
    assert report.head.auc > 0.97
    assert report.brightness.auc < 0.8
    assert (report.outcome.right, report.outcome.wrong, report.episodes) == (3, 0, 3)
    assert report.screen_frames == 7 * 10
    assert EndingReport.read(trained.run / "report.json") == report
    assert any("3 of 3 ended in success" in line for line in trained.lines())


def test_labels_are_success_if_ended_now_and_no_label_behind_a_screen(folder: Path) -> None:
    training, held_out = load_labelled(config(folder, Path("unused")), EndingNet(TINY))
    assert (len(training), len(held_out)) == (7, 3)
    one = training[0]
    steps = np.arange(60)
    assert one.screen.tolist() == [5 <= t < 10 or 30 <= t < 35 for t in steps]
    assert one.done.tolist() == [t >= 20 and not 30 <= t < 35 for t in steps]
    logits = torch.tensor([3.0, -3.0])
    hidden, _ = ending_loss(
        logits, logits, torch.tensor([True, False]), torch.tensor([False, True])
    )
    assert hidden.item() == pytest.approx(np.log1p(np.exp(-3)))


def test_batches_hold_each_kind_equally_and_depend_on_their_number_only(folder: Path) -> None:
    training, _ = load_labelled(config(folder, Path("unused")), EndingNet(TINY))
    frames, done, screen = BalancedFrames(training, 48, seed=3).batch(7)
    assert (len(frames), int(done.sum()), int(screen.sum())) == (48, 16, 16)
    again = BalancedFrames(training, 48, seed=3).batch(7)
    assert all(np.array_equal(a, b) for a, b in zip((frames, done, screen), again, strict=True))
    assert not np.array_equal(frames, BalancedFrames(training, 48, seed=3).batch(8)[0])


def test_the_smallest_batch_holds_each_kind_and_a_smaller_one_is_refused(folder: Path) -> None:
    training, _ = load_labelled(config(folder, Path("unused")), EndingNet(TINY))
    assert len(BalancedFrames(training, 3, seed=0).batch(0)[0]) == 3
    with pytest.raises(ConfigError, match="batch_size: expected at least 3, got 2"):
        config(folder, Path("unused"), batch_size=2)
    with pytest.raises(ConfigError, match="seed: expected at least 0, got -1"):
        config(folder, Path("unused"), seed=-1)


def test_interrupted_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"steps": 6, "checkpoint_every": 2}
    whole = train(config(folder, tmp_path / "whole", **settings))
    read = BalancedFrames.batch

    def read_then_ctrl_c(self: BalancedFrames, number: int) -> Any:
        if number == 3 and not (tmp_path / "parts/checkpoints/step-00000004").exists():
            os.kill(os.getpid(), signal.SIGINT)
        return read(self, number)

    monkeypatch.setattr(BalancedFrames, "batch", read_then_ctrl_c)
    cfg = config(folder, tmp_path / "parts", **settings)
    stopped = train(cfg)
    assert (stopped.interrupted, stopped.step, stopped.report) == (True, 4, None)
    with pytest.raises(ConfigError, match=r"expected a finished run.* at step 4"):
        open_ending(tmp_path / "parts", torch.device("cpu"))
    resumed = train(cfg)
    assert (resumed.interrupted, resumed.step) == (False, 6)
    assert resumed.report == whole.report
    nets = [load_ending(run.run, torch.device("cpu"))[0].state_dict() for run in (whole, resumed)]
    for name, value in nets[0].items():
        torch.testing.assert_close(nets[1][name], value, rtol=0, atol=1e-6)
    assert not [p for p in resumed.run.rglob("*") if p.suffix in (".pt", ".pkl", ".pth")]
    with pytest.raises(ConfigError, match=r"made with lr=0\.005, not lr=0\.1"):
        train(replace(cfg, lr=0.1))


def test_agents_rollouts_are_learned_from_too(folder: Path, tmp_path: Path) -> None:
    for seed in range(200_000, 200_004):
        write_episode(tmp_path / "rollouts", seed, screens=False, expert="script")
    cfg = config(folder, tmp_path / "run", rollouts=[str(tmp_path / "rollouts")])
    training, held_out = load_labelled(cfg, EndingNet(TINY))
    assert len(training) + len(held_out) == len(SEEDS) + 4
    # What the expert does not label is a frame to judge all the same.
    assert {(len(one.done), len(one.screen)) for one in [*training, *held_out]} == {(60, 60)}


def test_data_from_which_nothing_can_be_learned_is_one_error(folder: Path, tmp_path: Path) -> None:
    untold = synthetic.write_episodes(tmp_path / "untold", range(100_000, 100_003), 10)
    with pytest.raises(ConfigError, match="expected recordings whose telemetry shows success"):
        train(config(untold, tmp_path / "run"))
    for seed in range(100_000, 100_003):
        write_episode(tmp_path / "outside", seed, steps=15)
    with pytest.raises(ConfigError, match=r"got 0 of .*add demonstrations, or rollouts="):
        train(config(tmp_path / "outside", tmp_path / "run"))
    write_episode(tmp_path / "held", 230_001)
    with pytest.raises(ConfigError, match="230001 is a held-out seed"):
        train(config(folder, tmp_path / "run", rollouts=[str(tmp_path / "held")]))
    assert not (tmp_path / "run").exists()


class Walker:
    """Walks on for ever."""

    name, kind, decides_esc = "walker", "agent", False

    def act(self, pov: np.ndarray, first: np.ndarray) -> list[dict[str, Any]]:
        return [null_action() | {"forward": 1} for _ in pov]


def test_ends_each_row_by_what_it_sees(trained: RunResult[EndingReport]) -> None:
    agent = StoppingAgent(Walker(), trained.run, "cpu")
    assert (agent.name, agent.kind) == ("walker", "agent")
    rng = np.random.default_rng(0)
    ended: list[int] = []
    for t in range(40):
        pov = np.stack([frame(False, False, rng), frame(t >= 15, False, rng)])
        plain, cued = agent.act(pov, np.array([t == 0] * 2))
        assert (plain["forward"], plain["ESC"]) == (1, 0)
        if cued["ESC"]:
            assert not cued["forward"]
            ended.append(t)
    assert ended and ended[0] >= 15
    # A row that begins again forgets.
    agent.act(np.stack([frame(False, False, rng)] * 2), np.array([True, True]))
    assert [one.step for one in agent._filters] == [1, 1]
    assert max(abs(one.average) for one in agent._filters) < 99


def test_a_screen_hides_the_cue(trained: RunResult[EndingReport]) -> None:
    agent = StoppingAgent(Walker(), trained.run, "cpu")
    rng = np.random.default_rng(0)
    for t in range(60):
        (action,) = agent.act(frame(True, True, rng)[None], np.array([t == 0]))
        assert not action["ESC"]
    pressed = [
        agent.act(frame(True, False, rng)[None], np.array([False]))[0]["ESC"] for _ in range(40)
    ]
    assert any(pressed)


def test_it_keeps_the_contract_of_an_agent(trained: RunResult[EndingReport]) -> None:
    check_agent(partial(StoppingAgent, Walker(), trained.run, "cpu"))
    assert isinstance(StoppingAgent(Walker(), trained.run, "cpu"), Agent)


def test_any_agent_can_use_it_but_one_that_ends_itself(
    trained: RunResult[EndingReport], tmp_path: Path
) -> None:
    run, stop = tiny_run(tmp_path / "run"), str(trained.run)
    agent = make_agent("bc", checkpoint=str(run), device="cpu", stop=stop)
    assert isinstance(agent, StoppingAgent) and isinstance(agent.player, BCAgent)
    assert agent.policy is agent.player.policy
    assert play_settings("bc")["stop"] is None
    with pytest.raises(ConfigError, match=r"decides itself when to end.*agent\.esc=never"):
        make_agent("bc", checkpoint=str(run), device="cpu", esc="hazard", stop=stop)
    for name in ("random", "demonstrator"):
        with pytest.raises(ConfigError, match=f"got '{name}', which decides itself"):
            make_agent(name, stop=stop)
    with pytest.raises(ConfigError, match=r"agent\.stop: .*expected format 'basalt-ending'"):
        make_agent("bc", checkpoint=str(run), device="cpu", stop=str(run))
    with pytest.raises(ConfigError, match=r"agent\.stop: expected a checkpoint or a run"):
        make_agent("bc", checkpoint=str(run), device="cpu", stop=str(tmp_path))
    with pytest.raises(ConfigError, match="expected format 'basalt-checkpoint'"):
        BCAgent(stop, device="cpu")


def test_the_head_is_part_of_the_agents_identity(
    trained: RunResult[EndingReport], tmp_path: Path
) -> None:
    bc = {"name": "bc", "checkpoint": str(tiny_run(tmp_path / "run"))}
    plain, stopped = identify(bc), identify(bc | {"stop": str(trained.run)})
    assert identify(bc | {"stop": None}).hash == plain.hash != stopped.hash
    assert identify({"name": "search", "stop": str(trained.run)}).learns
    identify({"name": "noop", "stop": 5})  # the agent's settings are checked where it is made


def test_a_rollout_of_before_the_setting_is_resumed_as_it_was_played(tmp_path: Path) -> None:
    file = tmp_path / "rollout.json"
    file.write_text(json.dumps({"agent": {"name": "bc", "checkpoint": "runs/bc"}}))
    upgrade_claim(file)
    agent = json.loads(file.read_text())["agent"]
    assert (agent["esc"], agent["stop"], agent["temperature"]) == ("hazard", None, 1.0)


def test_a_rollout_ends_with_esc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium

    class Sure(EndingNet):
        def log_odds(self, frames: np.ndarray) -> Any:
            # The toy world brightens with each step.
            return frames.mean((1, 2, 3)) - 20, np.zeros(len(frames), bool)

    monkeypatch.setattr(gymnasium, "make", lambda *_, **__: CountingWorld())
    monkeypatch.setattr("basalt.policies.ending.EndingNet", Sure)
    make = partial(_stopping, str(_finished(tmp_path / "stop")))
    plan = RolloutPlan(
        "find_cave", "toy", {"name": "walker"}, (200_000,), tmp_path / "out", max_steps=30
    )
    (recording,) = rollout(make, plan, progress=False)
    assert recording.meta is not None
    assert (recording.meta.ended, recording.meta.steps) == ("esc", 5)


def _stopping(stop: str) -> Agent:
    return StoppingAgent(Walker(), stop, "cpu")


def _finished(run: Path) -> Path:
    from basalt.policies.checkpoint import write_checkpoint
    from basalt.policies.ending import EndingCheckpoint, StopRule

    info = EndingCheckpoint(
        step=1, encoder=TINY, task="find_cave", rule=StopRule(weight=1, threshold=0)
    )
    write_checkpoint(run, 1, info, EndingNet(TINY).state_dict(), {})
    return run


def test_it_reads_the_latents_of_a_named_policy(folder: Path, tmp_path: Path) -> None:
    policy = tiny_run(tmp_path / "policy")
    result = train(config(folder, tmp_path / "run", trunk=str(policy), steps=60))
    assert result.report is not None and result.report.episodes == 3
    (checkpoint,) = (tmp_path / "run/checkpoints").iterdir()
    net, _ = load_ending(checkpoint, torch.device("cpu"))
    assert [name for name in net.state_dict() if "cnn" in name] == []
    # The latents of one frame after the other, with memory, are those of the whole episode at once.
    training, _ = load_labelled(config(folder, tmp_path / "run", trunk=str(policy)), net)
    inputs = EndingInputs(net)
    frames = training[0].frames(np.arange(20))
    for t, one in enumerate(frames):
        latent = inputs.of(one[None, None], np.array([[t == 0]]))[0, 0]
        assert training[0].latents is not None
        np.testing.assert_allclose(latent, training[0].latents[t], atol=0.01)
    check_agent(partial(StoppingAgent, Walker(), tmp_path / "run", "cpu"))
    tiny_run(policy, seed=1)
    with pytest.raises(ConfigError, match="is no longer the policy whose latents the head"):
        StoppingAgent(Walker(), tmp_path / "run", "cpu")


def test_it_says_that_its_trunk_knows_the_held_out_worlds(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder, tmp_path / "run", trunk=str(tmp_path / "policy"), steps=1)
    torch.manual_seed(0)
    groups = [f"find_cave:{seed}" for seed in SEEDS]
    save_checkpoint(tmp_path / "policy", 1, VPTPolicy(TINY), {}, {"train_places": groups})
    report = train(cfg).report
    assert report is not None and report.trunk_places == report.episodes == 3
    assert report.lines()[-1].startswith("the trunk was trained on 3 of the held-out worlds")
    save_checkpoint(tmp_path / "policy", 1, VPTPolicy(TINY), {}, {"train_places": ["find_cave:1"]})
    other = train(replace(cfg, out=str(tmp_path / "other"))).report
    assert other is not None and other.trunk_places == 0


def test_it_is_trained_but_does_not_play() -> None:
    assert "ending" in learners()
    with pytest.raises(ConfigError, match="unknown agent 'ending'"):
        make_agent("ending")
    assert ending_data.LABEL_EVERY < 20
