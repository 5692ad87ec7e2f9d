"""Steps that a reward model finds better than usual weigh more, and large temperatures make it plain cloning."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.awr import train as awr
from agents.awr.advantage import advantages, returns_of
from agents.awr.agent import AWRAgent
from agents.awr.config import AWRConfig
from agents.common.latents import load_latents
from agents.preferences.likelihood import of_latents
from basalt.core.actions import EnvActions, env_to_indices
from basalt.core.recording import Recording
from basalt.io.errors import ConfigError
from basalt.policies.source import open_policy
from basalt.testing import check_agent
from tests.support.choice_recordings import BAD, GOOD, chosen, record_choices
from tests.support.tiny_policy import tiny_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def test_returns_are_means_of_what_follows() -> None:
    assert returns_of(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.5, 2.5, 4.5, 6.0]
    assert returns_of(np.array([1.0, 2.0, 3.0]), 10).tolist() == [2.0, 2.5, 3.0]


def test_advantages_are_what_the_latents_do_not_predict() -> None:
    rng = np.random.default_rng(0)
    latents, luck = rng.normal(size=(4_000, 6)), rng.normal(size=4_000)
    found = advantages(latents, latents @ rng.normal(size=6) + 0.5 * luck + 3)
    assert found.mean() == pytest.approx(0, abs=1e-9) and found.std() == pytest.approx(1)
    assert np.corrcoef(found, luck)[0, 1] > 0.99


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return record_choices(tmp_path_factory.mktemp("awr") / "recordings", range(100_001, 100_005))


@pytest.fixture(scope="module")
def start(played: list[Recording]) -> Path:
    return tiny_run(played[0].stem.parents[1] / "start")


@pytest.fixture(autouse=True)
def _latents(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path_factory.getbasetemp() / "awr-cache"))


def method(
    played: list[Recording], start: Path, out: Path, **changes: Any
) -> tuple[AWRConfig, awr.AWR]:
    """AWR whose reward is 1 where the good action is done."""
    settings = {
        "out": str(out), "recordings": str(played[0].stem.parent), "init": str(start), "reward": "planted", "steps": 40,
        "batch_size": 2, "frames": 64, "lr": 3e-2, "kl_limit": 20.0, "horizon": 1, "device": "cpu", "progress": False,
    } | changes  # fmt: skip
    cfg = AWRConfig(**settings)
    found, _ = load_latents(cfg.recordings, cfg.init, progress=False)
    episodes = list(found.values())
    rewards = [chosen(one.meta.seed, one.meta.player).astype(float) for one in episodes]
    return cfg, awr.AWR(cfg, open_policy(start, CPU), episodes, rewards, "planted", CPU)


def odds(policy: Any, start: Path, played: list[Recording]) -> float:
    """Mean log-odds of the good action against the bad one."""
    found, _ = load_latents([str(played[0].stem.parent)], str(start), progress=False)
    latents = torch.from_numpy(np.array(next(iter(found.values())).values))[None]
    with torch.no_grad():
        logits = of_latents(policy, latents).buttons_logits[0].mean(0)
    good, bad = env_to_indices(EnvActions.stack([GOOD, BAD])).buttons.tolist()
    return float(logits[good] - logits[bad])


def test_the_better_steps_are_imitated_more(
    played: list[Recording], start: Path, tmp_path: Path
) -> None:
    after = {}
    for temperature in (0.5, 1e9):
        cfg, made = method(played, start, tmp_path / str(temperature), temperature=temperature)
        result = awr.improve(cfg, made)
        assert result.report is not None and not result.report.ended
        after[temperature] = odds(open_policy(result.run, CPU), start, played)
    assert after[0.5] > after[1e9] + 0.5
    check_agent(partial(AWRAgent, tmp_path / "0.5", device="cpu"))


def test_a_large_temperature_has_the_gradient_of_cloning(
    played: list[Recording], start: Path, tmp_path: Path
) -> None:
    gradients = []
    for changes in ({"temperature": 1e9}, {"temperature": 1.0}):
        _, made = method(played, start, tmp_path / "run", **changes)
        if not gradients:  # cloning by hand
            rows = np.sort(np.random.default_rng(0).integers(len(made._latents), size=128))
            output = of_latents(made.network, torch.from_numpy(made._latents[rows])[None])
            likely = output.buttons_logits[0].log_softmax(-1)[
                torch.arange(128), made._buttons[rows]
            ]
            (-likely.mean()).backward()
            gradients.append(made.network.pi_head["buttons"].linear_layer.weight.grad.clone())  # type: ignore[union-attr]
            made.network.zero_grad()
        made.loss(np.random.default_rng(0))[0].backward()
        gradients.append(made.network.pi_head["buttons"].linear_layer.weight.grad.clone())  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(gradients[2], gradients[0], rtol=1e-2, atol=1e-6)


def test_a_reward_model_is_needed() -> None:
    with pytest.raises(ConfigError, match="reward: expected a run of a reward model"):
        AWRConfig(out="x", recordings=("x",), init="x")
