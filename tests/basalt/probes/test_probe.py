"""Activations belong to their frames, splices do what they say, and the smoke test reports it."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.data.dataset import Episode
from basalt.io.errors import ConfigError
from basalt.policies.imitation import encode_episodes, evaluate
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import collect, replaced, stream
from basalt.probes.sae import SAE, SAEConfig, load_sae
from basalt.probes.smoke_test import probe_smoke, summary_lines
from basalt.probes.suite.metrics import splice
from tests.support.synthetic import write_episodes

QUICK = SAEConfig(width=16, target_l0=4.0, sparsity=0.3, steps=20, batch=32)


@torch.no_grad()
@pytest.mark.parametrize(
    "site", ["embed", "blocks.0.attn_z", "blocks.1.resid_post", "lastlayer", "latent"]
)
def test_activations_are_those_of_their_frame(
    policy: VPTPolicy, episodes: list[Episode], site: str
) -> None:
    encoded = encode_episodes(policy, episodes)
    got = collect(policy, episodes, site, encoded, rows=3, length=7)
    assert len(got.values) == sum(map(len, episodes))
    index = 2
    mine = got.episode == index
    assert got.frame[mine].tolist() == list(range(len(episodes[index])))
    seen: list[torch.Tensor] = []
    handle = policy.sites()[site].register_forward_hook(lambda _m, _i, out: seen.append(out))
    state = policy.initial_state(1)
    for frame in episodes[index].frames:
        img = torch.from_numpy(np.array(frame))[None, None]
        state = policy(img, torch.zeros(1, 1, dtype=torch.bool), state).state
    handle.remove()
    alone = torch.cat(seen, 1)[0]
    torch.testing.assert_close(got.values[torch.from_numpy(mine)], alone, rtol=0, atol=2e-4)


def test_loss_from_encoded_frames_equals_loss_from_pictures(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    plain = evaluate(policy, episodes, rows=2, length=9)
    encoded = evaluate(policy, episodes, encoded=encode_episodes(policy, episodes))
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
def test_splicing_in_the_activation_itself_changes_nothing(
    policy: VPTPolicy, episodes: list[Episode], site: str
) -> None:
    clean = evaluate(policy, episodes)
    with replaced(policy, site, lambda x: x.clone()):
        spliced = evaluate(policy, episodes)
    assert spliced == clean
    with replaced(policy, site, torch.zeros_like):
        assert evaluate(policy, episodes)["loss"] != clean["loss"]
    assert evaluate(policy, episodes) == clean  # the hook is gone


def test_splice_losses_of_known_autoencoders(policy: VPTPolicy, taught: list[Episode]) -> None:
    encoded = encode_episodes(policy, taught)
    mean = torch.zeros(32)
    perfect = SAE(32, 64)
    zero = SAE(32, 64)
    with torch.no_grad():
        perfect.W_dec.copy_(torch.cat([torch.eye(32), -torch.eye(32)]))
        perfect.W_enc.copy_(perfect.W_dec.T)
        zero.W_dec.zero_()
    figures = splice(policy, taught, "lastlayer", perfect, mean, encoded)
    assert figures["bc_loss_change"] == pytest.approx(0, abs=1e-6)
    assert figures["loss_recovered"] == pytest.approx(1, abs=1e-4)
    figures = splice(policy, taught, "lastlayer", zero, mean, encoded)
    assert figures["loss_spliced"] == figures["loss_zero"] == figures["loss_mean"]
    assert figures["loss_recovered"] == 0
    assert figures["bc_loss_change"] != 0


def test_an_unknown_site_is_answered(policy: VPTPolicy) -> None:
    with (
        pytest.raises(ConfigError, match=r"unknown site 'lastlayr'; did you mean 'lastlayer'"),
        replaced(policy, "lastlayr", torch.zeros_like),
    ):
        pass


def test_the_smoke_test_reports_held_out_figures_beside_a_random_network(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    report = probe_smoke(run, folder, tmp_path / "probe", config=QUICK, device="cpu")
    assert report["label"].startswith("smoke test")
    assert report["held_out_episodes"] == [f"episode-{seed}" for seed in range(100_003, 100_008)]
    for name in ("trained", "random_network"):
        row = report[name]
        assert {"variance_explained", "l0", "dead_share", "bc_loss_change"} <= set(row)
        assert row["bc_loss_change"] == pytest.approx(row["loss_spliced"] - row["loss_clean"])
        assert 0 <= row["dead_share"] <= 1
    assert report["trained"] != report["random_network"]
    assert json.loads((tmp_path / "probe" / "report.json").read_text()) == report
    sae, metadata = load_sae(tmp_path / "probe" / "sae-trained")
    assert sae.W_enc.shape == (32, 16)
    assert metadata["network"] == "trained"
    text = "\n".join(summary_lines(report))
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
        ConfigError, match=r"2 episodes that .* was trained on and 0 that it was not"
    ):
        probe_smoke(run, tmp_path, config=QUICK, device="cpu")


def test_a_stream_gives_the_activations_that_are_there(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    truth = collect(policy, episodes, "lastlayer", encode_episodes(policy, episodes)).values
    n = sum(map(len, episodes))
    with replaced(policy, "embed", lambda x: x):  # beside other hooks
        batches = list(islice(stream(policy, episodes, "lastlayer", 10, pool=50, length=9), n // 5))
    apart = torch.cdist(torch.cat(batches), truth, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = apart.min(1)
    assert nearest.values.max() < 1e-3
    assert len(nearest.indices.unique()) > 0.9 * n  # two passes, less what the pool still holds
    jumps = (nearest.indices.diff().abs() > 1).float().mean()
    assert jumps > 0.8  # neighbours do not stay together
    again = next(stream(policy, episodes, "lastlayer", 10, pool=50, length=9))
    assert torch.equal(again, batches[0])
    with pytest.raises(ConfigError, match=f"{n} frames for batches of {n + 1}"):
        next(stream(policy, episodes, "lastlayer", n + 1))
    with pytest.raises(ConfigError, match="a pool of -1"):
        next(stream(policy, episodes, "lastlayer", 10, pool=-1))


def test_an_autoencoder_may_be_trained_from_a_stream(run: Path, folder: Path) -> None:
    held, streamed = (
        probe_smoke(run, folder, config=replace(QUICK, steps=100), pool=pool, device="cpu")
        for pool in (0, 64)
    )
    for name in ("trained", "random_network"):
        explained = [report[name]["variance_explained"] for report in (held, streamed)]
        assert explained[1] > explained[0] - 0.1
