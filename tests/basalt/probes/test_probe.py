"""Activations belong to their frames, patches do what they say, and the smoke test reports it."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.imitation import encode_episodes, evaluate
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import collect, stream
from basalt.probes.hooks.points import patch
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.files import load_sae
from basalt.probes.sae.model import SAE
from basalt.probes.settings import SmokeTestConfig
from basalt.probes.smoke_record import SmokeReport
from basalt.probes.smoke_test import patched_losses, smoke_test
from tests.support.synthetic import write_episodes

QUICK = SAEConfig(width=16, target_l0=4.0, sparsity=0.3, steps=20, batch=32)


def quick(run: Path, folder: Path, **changes: object) -> SmokeTestConfig:
    settings: dict = {"sae": QUICK, "device": "cpu"} | changes
    return SmokeTestConfig(str(run), str(folder), **settings)


@torch.no_grad()
@pytest.mark.parametrize(
    "site", ["embed", "blocks.0.attn_z", "blocks.1.resid_post", "lastlayer", "latent"]
)
def test_activations_are_those_of_their_frame(
    policy: VPTPolicy, episodes: list[Episode], site: str
) -> None:
    encoded = encode_episodes(policy, episodes)
    got = collect(policy, encoded, [site], batch_size=3, seq_len=7)
    assert len(got.values[site]) == sum(map(len, episodes))
    index = 2
    mine = got.episode == index
    assert got.frame[mine].tolist() == list(range(len(episodes[index])))
    seen: list[torch.Tensor] = []
    handle = policy.hook_points()[site].register_forward_hook(lambda _m, _i, out: seen.append(out))
    state = policy.initial_state(1)
    for frame in episodes[index].read():
        img = torch.from_numpy(np.array(frame))[None, None]
        state = policy(img, torch.zeros(1, 1, dtype=torch.bool), state).state
    handle.remove()
    alone = torch.cat(seen, 1)[0]
    torch.testing.assert_close(got.values[site][torch.from_numpy(mine)], alone, rtol=0, atol=2e-4)


def test_loss_from_encoded_frames_equals_loss_from_pictures(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    plain = evaluate(policy, episodes, batch_size=2, seq_len=9)
    encoded = evaluate(policy, encode_episodes(policy, episodes))
    assert plain["frames"] == encoded["frames"] == sum(map(len, episodes))
    for key in ("loss", "buttons", "camera", "esc", "buttons_accuracy", "esc_expected"):
        assert plain[key] == pytest.approx(encoded[key], abs=2e-4), key


def test_loss_is_the_mean_over_frames_of_single_episodes(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    together = evaluate(policy, episodes)
    alone = [evaluate(policy, [e]) for e in episodes]
    frames = [e["frames"] for e in alone]
    mean = np.average([e["loss"] for e in alone], weights=frames)
    assert together["loss"] == pytest.approx(mean, abs=1e-4)
    assert alone[0]["loss_interval"] is None
    low, high = together["loss_interval"]
    assert min(e["loss"] for e in alone) <= low <= high <= max(e["loss"] for e in alone)


@pytest.mark.parametrize("site", ["embed", "blocks.1.mlp_out", "lastlayer", "latent"])
def test_patching_in_the_activation_itself_changes_nothing(
    policy: VPTPolicy, episodes: list[Episode], site: str
) -> None:
    clean = evaluate(policy, episodes)
    with patch(policy, site, lambda x: x.clone()):
        patched = evaluate(policy, episodes)
    assert patched == clean
    with patch(policy, site, torch.zeros_like):
        assert evaluate(policy, episodes)["loss"] != clean["loss"]
    assert evaluate(policy, episodes) == clean  # the hook is gone


def test_patched_losses_of_known_autoencoders(
    policy: VPTPolicy, self_labelled: list[Episode]
) -> None:
    encoded = encode_episodes(policy, self_labelled)
    mean = torch.zeros(32)
    perfect = SAE(32, 64)
    zero = SAE(32, 64)
    with torch.no_grad():
        perfect.W_dec.copy_(torch.cat([torch.eye(32), -torch.eye(32)]))
        perfect.W_enc.copy_(perfect.W_dec.T)
        zero.W_dec.zero_()
    losses = patched_losses(policy, encoded, "lastlayer", perfect, mean)
    assert losses.loss_change.value == pytest.approx(0, abs=1e-6)
    assert losses.loss_recovered == pytest.approx(1, abs=1e-4)
    losses = patched_losses(policy, encoded, "lastlayer", zero, mean)
    assert losses.loss_patched == losses.loss_zero == losses.loss_mean
    assert losses.loss_recovered == 0
    assert losses.loss_change.value != 0


def test_an_unknown_hook_point_is_answered(policy: VPTPolicy) -> None:
    with (
        pytest.raises(
            ConfigError, match=r"unknown hook point 'lastlayr'; did you mean 'lastlayer'"
        ),
        patch(policy, "lastlayr", torch.zeros_like),
    ):
        pass


def test_the_smoke_test_reports_held_out_metrics_beside_a_random_network(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    report = smoke_test(quick(run, folder, out=str(tmp_path / "probe")))
    assert report.label.startswith("smoke test")
    assert report.held_out_episodes == tuple(f"episode-{seed}" for seed in range(100_003, 100_008))
    for row in (report.trained, report.random_network):
        assert row.variance_explained.value is not None
        assert row.l0.value is not None
        assert row.loss_change.value == pytest.approx(row.loss_patched - row.loss_clean)
        assert 0 <= row.dead_share <= 1
    assert report.trained != report.random_network
    assert SmokeReport.read(tmp_path / "probe" / "report.json") == report
    sae, info = load_sae(tmp_path / "probe" / "sae-trained")
    assert sae.W_enc.shape == (32, 16)
    assert info.network == "trained"
    text = "\n".join(report.lines())
    assert "smoke test" in text
    assert "random network" in text


def test_the_command_runs_it(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", f"out={tmp_path}/p"]
    quick = ["sae.steps=3", "sae.batch=8", "sae.width=8", "device=cpu", "site=latent"]
    assert cli.run(["probe", "sae", *arguments, *quick]) == 0
    assert "sparse autoencoder on latent" in capsys.readouterr().out
    assert (tmp_path / "p" / "report.json").is_file()
    assert cli.run(["probe", "sea", *arguments]) == 1
    assert "did you mean 'sae'" in capsys.readouterr().err
    assert cli.run(["probe", "sae", "checkpoint=x", "stie=latent"]) == 1
    assert "stie" in capsys.readouterr().err


def test_data_without_held_out_episodes_is_refused(run: Path, folder: Path, tmp_path: Path) -> None:
    write_episodes(tmp_path, range(100_000, 100_002), 10)
    with pytest.raises(
        ConfigError, match=r"episodes that .* was trained on and others, got 2 and 0 in "
    ):
        smoke_test(quick(run, tmp_path))


def test_a_stream_gives_the_activations_that_are_there(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    truth = collect(policy, encode_episodes(policy, episodes), ["lastlayer"]).values["lastlayer"]
    n = sum(map(len, episodes))
    with patch(policy, "embed", lambda x: x):  # beside other hooks
        batches = list(
            islice(stream(policy, episodes, "lastlayer", 10, pool=50, seq_len=9), n // 5)
        )
    apart = torch.cdist(torch.cat(batches), truth, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = apart.min(1)
    assert nearest.values.max() < 1e-3
    assert len(nearest.indices.unique()) > 0.9 * n  # two passes, less what the pool still holds
    jumps = (nearest.indices.diff().abs() > 1).float().mean()
    assert jumps > 0.8  # neighbours do not stay together
    again = next(stream(policy, episodes, "lastlayer", 10, pool=50, seq_len=9))
    assert torch.equal(again, batches[0])
    with pytest.raises(ConfigError, match=f"at least {n + 1} frames for one batch, got {n}"):
        next(stream(policy, episodes, "lastlayer", n + 1))
    with pytest.raises(ConfigError, match="pool: expected at least 1 activation, got -1"):
        next(stream(policy, episodes, "lastlayer", 10, pool=-1))


def test_an_autoencoder_may_be_trained_from_a_stream(run: Path, folder: Path) -> None:
    held, streamed = (
        smoke_test(quick(run, folder, sae=replace(QUICK, steps=100), pool=pool)) for pool in (0, 64)
    )
    for name in ("trained", "random_network"):
        explained = [getattr(report, name).variance_explained.value for report in (held, streamed)]
        assert explained[1] > explained[0] - 0.1
