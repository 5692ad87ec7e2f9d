"""Contrastive learning makes what was preferred likelier, from a start that it stays near, and ends at its last good step."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.latents import load_latents
from agents.common.registry import make_agent
from agents.cpl import train as cpl
from agents.cpl.agent import CPLAgent
from agents.cpl.config import CPLConfig
from agents.preferences.improve import HeadsMethod, ImproveReport
from agents.preferences.likelihood import of_latents
from agents.steer_vector.agent import SteerVectorAgent
from agents.steer_vector.config import SteerVectorConfig
from agents.steer_vector.network import open_vector
from agents.steer_vector.train import train as train_vector
from basalt.core.actions import EnvActions, env_to_indices
from basalt.core.comparisons import Comparison, write_comparisons
from basalt.core.recording import Recording
from basalt.io.errors import BasaltError, ConfigError
from basalt.policies.source import open_policy
from basalt.policies.vpt import VPTPolicy
from basalt.testing import check_agent
from tests.support.choice_recordings import BAD, GOOD, choice_answers, record_choices
from tests.support.tiny_policy import tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return record_choices(tmp_path_factory.mktemp("cpl") / "recordings", range(100_001, 100_007))


@pytest.fixture(scope="module")
def start(played: list[Recording]) -> Path:
    return tiny_run(played[0].stem.parents[1] / "start")


@pytest.fixture(autouse=True)
def _latents(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "cpl-cache"))


Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def settings(played: list[Recording], start: Path, tmp_path: Path) -> Settings:
    def make(answers: list[Comparison] | None = None, **changes: Any) -> dict[str, Any]:
        file = tmp_path / "answers.parquet"
        write_comparisons(file, choice_answers(played, 120) if answers is None else answers)
        return {
            "out": str(tmp_path / "run"), "recordings": str(played[0].stem.parent), "init": str(start),
            "comparisons": str(file), "steps": 40, "batch_size": 8, "lr": 1e-2, "kl_limit": 20.0, "device": "cpu",
            "held_out": 0.4, "progress": False,
        } | changes  # fmt: skip

    return make


def preference(policy: VPTPolicy, start: Path, played: list[Recording]) -> float:
    """Mean log-odds of the good action against the bad one, in the latents of the recordings by the start."""
    episodes, _ = load_latents([str(played[0].stem.parent)], str(start), progress=False)
    latents = torch.from_numpy(np.array(next(iter(episodes.values())).values))[None]
    with torch.no_grad():
        likely = of_latents(policy, latents).buttons_logits.log_softmax(-1)[0].mean(0)
    good, bad = (int(env_to_indices(EnvActions.stack([one])).buttons[0]) for one in (GOOD, BAD))
    return float(likely[good] - likely[bad])


@pytest.mark.parametrize("form", ["reference", "plain"])
def test_what_was_preferred_becomes_likelier(
    settings: Settings, start: Path, played: list[Recording], form: str
) -> None:
    result = cpl.train(CPLConfig(**settings(form=form)))
    assert result.report is not None and result.report.ended == ""
    figures = result.report.figures
    assert figures["held-out accuracy"] > 0.8 and figures["held-out pairs"] > 5
    policy = open_policy(result.run, CPU)
    before = open_policy(start, CPU)
    assert preference(policy, start, played) > preference(before, start, played) + 1
    changed = {
        name for name, value in before.state_dict().items() if not torch.equal(value, policy.state_dict()[name])
    }  # fmt: skip
    assert changed and all(name.startswith("pi_head.") for name in changed)
    agent = make_agent("cpl", checkpoint=str(result.run), device="cpu")
    assert agent.name == "cpl"
    check_agent(partial(CPLAgent, result.run, device="cpu"))


def test_the_first_loss_of_the_reference_form_is_ln_2(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    real = cpl.CPL.loss

    def watched(self: cpl.CPL, rng: np.random.Generator) -> Any:
        found = real(self, rng)
        losses.append(found[0].item())
        return found

    monkeypatch.setattr(cpl.CPL, "loss", watched)
    cpl.train(CPLConfig(**settings(steps=2)))
    assert losses[0] == pytest.approx(np.log(2), abs=1e-5)


def test_a_run_that_goes_too_far_ends_at_its_last_good_step(settings: Settings) -> None:
    cfg = CPLConfig(**settings(steps=100, kl_limit=0.05, log_every=1))
    result = cpl.train(cfg)
    report = result.report
    assert report is not None and "above kl_limit=0.05" in report.ended
    assert 0 < result.step < 100 and 0 < report.divergence <= 0.05
    again = cpl.train(cfg)
    assert again.report == report == ImproveReport.read(result.run / "report.json")


def test_a_loss_that_is_not_finite_ends_it_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cpl.CPL.loss

    def breaks(self: cpl.CPL, rng: np.random.Generator) -> Any:
        loss, values = real(self, rng)
        return (
            loss * float("nan") if rng.bit_generator.seed_seq.entropy[1] == 12 else loss
        ), values  # type: ignore[attr-defined]

    monkeypatch.setattr(cpl.CPL, "loss", breaks)
    result = cpl.train(CPLConfig(**settings(steps=30, log_every=1)))
    assert result.report is not None and "the loss was nan at step 13" in result.report.ended
    assert result.step == 12
    weights = open_policy(result.run, CPU).state_dict()
    assert all(bool(one.isfinite().all()) for one in weights.values())


def test_a_killed_run_resumes_to_the_same_weights(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cpl.train(CPLConfig(**settings(steps=12, checkpoint_every=5)))
    real, calls = HeadsMethod.divergence, []

    def killed(self: HeadsMethod) -> float:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self)

    cfg = CPLConfig(**settings(steps=12, checkpoint_every=5, log_every=3, out=str(tmp_path / "b")))
    monkeypatch.setattr(HeadsMethod, "divergence", killed)
    with pytest.raises(KeyboardInterrupt):
        cpl.train(cfg)
    resumed = cpl.train(cfg)
    assert resumed.step == 12
    one, other = (open_policy(run.run, CPU).state_dict() for run in (whole, resumed))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="was started with other answers"):
        cpl.train(CPLConfig(**settings(choice_answers([*_recordings(settings)], 90, seed=5), steps=12, checkpoint_every=5)))  # fmt: skip


def _recordings(settings: Settings) -> list[Recording]:
    folder = Path(settings()["recordings"])
    return [Recording.open(one.with_suffix("")) for one in sorted(folder.glob("*.json"))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winner": "draw"}, "expected answers that name a winner, got none"),
        ({"winner": "both_bad"}, "expected answers that name a winner, got none"),
        ({"winner": "skip"}, "holds no answer about find_cave"),
        ({"seed": 230_001}, "230001 is a held-out seed"),
    ],
)
def test_answers_that_cannot_teach_are_one_error(
    settings: Settings, played: list[Recording], change: dict[str, Any], message: str
) -> None:
    answers = [replace(one, **change) for one in choice_answers(played, 60)]
    with pytest.raises(BasaltError, match=message):
        cpl.train(CPLConfig(**settings(answers)))
    with pytest.raises(ConfigError, match="comparisons: expected files of answers"):
        CPLConfig(out="x", recordings=("x",), init="x")


def test_a_vector_alone_makes_it_likelier_too(
    settings: Settings, start: Path, played: list[Recording]
) -> None:
    common = settings(steps=25, batch_size=4, lr=0.1, held_out=0.3)
    result = train_vector(SteerVectorConfig(**common))
    assert result.report is not None and result.report.figures["training accuracy"] > 0.8
    network, info = open_vector(result.run, CPU)
    assert info.site == "embed" and network.vector.norm() > 0
    before = open_policy(start, CPU).state_dict()
    for name, value in network.policy.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    again = train_vector(SteerVectorConfig(**common))
    assert again.step == 25
    frames = np.full((1, 360, 640, 3), (30, 60, 200), np.uint8)
    logits = {}
    for steers in (True, False):
        agent = SteerVectorAgent(result.run, device="cpu")
        first = torch.ones(1, 1, dtype=torch.bool)
        if not steers:
            agent.policy.net.embed._forward_hooks.clear()
        with torch.no_grad():
            small = torch.from_numpy(frames[:, ::12, ::20][:, :, :32].copy())
            small = torch.nn.functional.pad(small, (0, 0, 0, 0, 0, 2))[:, None]
            logits[steers] = agent.policy(small, first, agent.policy.initial_state(1)).buttons_logits[0, 0]  # fmt: skip
    good, bad = (int(env_to_indices(EnvActions.stack([one])).buttons[0]) for one in (GOOD, BAD))
    odds = {steers: float(found[good] - found[bad]) for steers, found in logits.items()}
    assert odds[True] > odds[False]
    check_agent(partial(SteerVectorAgent, result.run, device="cpu"))
    with pytest.raises(ConfigError, match="basalt train agent=steer_vector"):
        SteerVectorAgent(start, device="cpu")
