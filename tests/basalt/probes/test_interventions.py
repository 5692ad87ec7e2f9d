"""A steered latent moves the policy along its direction, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.registry import make_agent
from agents.steered.agent import SteeredAgent
from basalt.cli import main as cli
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.imitation import encode_episodes
from basalt.policies.vpt import VPTPolicy
from basalt.probes.sae.files import SAEInfo, save_sae
from basalt.probes.sae.model import SAE
from basalt.probes.steering import (
    MeasureChange,
    RolloutComparison,
    Steering,
    change_of_choices,
    compare_rollouts,
    read_steering,
)
from tests.support import synthetic
from tests.support.synthetic import write_episodes


@pytest.fixture(scope="module")
def sae() -> SAE:
    made = SAE(32, 16)
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(16, 32, generator=generator)
    made.W_dec.copy_(directions / directions.norm(dim=1, keepdim=True))
    made.W_enc.copy_(made.W_dec.T)
    return made


@pytest.fixture(scope="module")
def folder_of_sae(sae: SAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sae") / "jumprelu"
    save_sae(folder, sae, SAEInfo(hook_point="lastlayer"))
    return folder


def test_modes_set_the_latent(sae: SAE) -> None:
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    f = sae.encode(x)[..., 4]
    for mode, value, wanted in (
        ("clamp", 2.5, torch.full_like(f, 2.5)),
        ("clamp", 0.0, torch.zeros_like(f)),
        ("scale", 3.0, 3 * f),
        ("scale", 1.0, f),
        ("add", 1.5, f + 1.5),
    ):
        moved = Steering("lastlayer", sae, 4, value, mode)(x) - x
        torch.testing.assert_close(moved @ sae.W_dec[4], wanted - f, rtol=1e-4, atol=1e-5)
        along = moved - (moved @ sae.W_dec[4])[..., None] * sae.W_dec[4]
        assert along.abs().max() < 1e-4
    control = Steering("lastlayer", sae, 4, 2.5).at_random()
    torch.testing.assert_close((control(x) - x).norm(dim=-1), (2.5 - f).abs())


def test_nothing_changed_changes_nothing_and_more_changes_more(
    policy: VPTPolicy, episodes: list[Episode], sae: SAE
) -> None:
    encoded = encode_episodes(policy, episodes)
    still = change_of_choices(policy, encoded, Steering("lastlayer", sae, 4, 1.0, "scale"))
    assert all(row.change.value == 0 for row in still.measures)
    little, much = (
        change_of_choices(policy, encoded, Steering("lastlayer", sae, 4, value, "add"))
        for value in (0.5, 4.0)
    )
    largest = [abs(report.measures[0].change.value or 0) for report in (much, little)]
    assert largest[0] > largest[1] > 0
    assert much.frames == sum(map(len, episodes))
    assert np.array(much.camera).shape == (11, 11)
    row = much.measures[0]
    assert isinstance(row, MeasureChange)
    assert row.change.interval is not None
    assert row.change.interval[0] <= row.change.value <= row.change.interval[1]
    sizes = [abs(row.change.value or 0) for row in much.measures]
    assert sizes == sorted(sizes, reverse=True)


def test_a_steered_agent_plays_otherwise(run: Path, folder_of_sae: Path) -> None:
    pov = np.random.default_rng(0).integers(0, 255, (1, 360, 640, 3), dtype=np.uint8)
    seen = []
    for steer in (None, ["lastlayer", 4, 60.0, "add"]):
        player = {"name": "bc", "device": "cpu", "deterministic": True}
        agent: Any
        if steer is None:
            agent = make_agent(**player, checkpoint=str(run))
            policy = agent.policy
        else:
            agent = SteeredAgent(str(run), steer, str(folder_of_sae), player=player)
            policy = agent._player.policy
        agent.act(pov, np.array([True]))
        latent: list[torch.Tensor] = []
        handle = policy.hook_points()["latent"].register_forward_hook(
            lambda _m, _i, out, kept=latent: kept.append(out)
        )
        agent.act(pov, np.array([False]))
        handle.remove()
        seen.append(latent[0])
    assert not torch.allclose(seen[0], seen[1], atol=0.1)


def test_the_control_steers_as_far_another_way(policy: VPTPolicy, folder_of_sae: Path) -> None:
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    asked = ["lastlayer", 4, 60.0, "add"]
    own, control = (
        read_steering(asked, folder_of_sae, policy, along)(x) - x for along in ("latent", "random")
    )
    torch.testing.assert_close(own.norm(dim=-1), control.norm(dim=-1))
    assert torch.cosine_similarity(own, control, dim=-1).abs().max() < 0.7
    with pytest.raises(ConfigError, match="along: expected latent or random, got 'sideways'"):
        read_steering(asked, folder_of_sae, policy, "sideways")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["lastlayer", 4], "expected"),
        (["lastlayer", "4", 1.0], "expected an integer as latent, got '4'"),
        (["lastlayer", 4, "much"], "expected a number as value, got 'much'"),
        (["lastlayer", 16, 1.0], "expected a latent from 0 to 15, got 16"),
        (["lastlayer", 4, float("nan")], "expected a finite value, got nan"),
        (["lastlayer", 4, 1.0, "double"], "expected mode clamp, scale, add, got 'double'"),
        (["lastlayr", 4, 1.0], "did you mean 'lastlayer'"),
        (["latent", 4, 1.0], "expected an autoencoder of 'latent', got .* of 'lastlayer'"),
    ],
)
def test_steering_that_cannot_be_is_refused(
    asked: list, message: str, policy: VPTPolicy, folder_of_sae: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_steering(asked, folder_of_sae, policy)


def test_an_autoencoder_of_another_policy_is_refused(policy: VPTPolicy, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add sae=SUITE/saes/SITE/NAME"):
        read_steering(["lastlayer", 0, 1.0], None, policy)
    save_sae(tmp_path / "wide", SAE(64, 8), SAEInfo(hook_point="lastlayer"))
    with pytest.raises(
        ConfigError, match=r"of width 32, that of this policy's lastlayer, got .* of width 64"
    ):
        read_steering(["lastlayer", 0, 1.0], tmp_path / "wide", policy)


def test_rollouts_are_compared_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = synthetic.telemetry
    write_episodes(tmp_path / "plain", range(100_000, 100_004), 20)
    monkeypatch.setattr(
        synthetic, "telemetry", lambda step: real(step).model_copy(update={"pitch": 40.0})
    )
    write_episodes(tmp_path / "steered", range(100_001, 100_005), 20)
    report = compare_rollouts(tmp_path / "plain", tmp_path / "steered")
    assert report.seeds == (100_001, 100_002, 100_003)
    pitch = report.readings["mean_pitch"]
    assert (pitch.plain, pitch.steered, pitch.difference.interval) == (0, 40, (40, 40))
    assert report.readings["steps"].difference.value == 0
    arguments = [f"plain={tmp_path}/plain", f"steered={tmp_path}/steered", f"out={tmp_path}/r.json"]
    assert cli.run(["probe", "steered", *arguments]) == 0
    assert "+40.00" in capsys.readouterr().out
    assert RolloutComparison.read(tmp_path / "r.json") == report
    with pytest.raises(ConfigError, match="expected seeds that are also in"):
        write_episodes(tmp_path / "other", range(100_010, 100_011), 20)
        compare_rollouts(tmp_path / "plain", tmp_path / "other")


def test_the_command(
    run: Path, folder: Path, folder_of_sae: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [f"checkpoint={run}", "data=folder", f"data.source={folder}", "device=cpu"]
    assert cli.run(["probe", "latent", *data, "steer=[lastlayer,4,0]", f"sae={folder_of_sae}"]) == 0
    assert "random direction" in capsys.readouterr().out
