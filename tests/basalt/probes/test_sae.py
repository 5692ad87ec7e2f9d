"""Sparse autoencoders find planted directions, fold exactly and are read back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from basalt.errors import ConfigError
from basalt.probes.metrics import mean_max_cosine, reconstruction
from basalt.probes.sae import JumpReLUSAE, SAEConfig, load_sae, save_sae, train_sae


def planted(
    n: int, features: int, d: int, active: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations [n, d] that are sparse sums of unit directions [features, d], and the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(features, d, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    on = torch.rand(n, features, generator=generator) < active / features
    size = 1 + 0.25 * torch.randn(n, features, generator=generator).abs()
    x = (on * size) @ directions + 0.01 * torch.randn(n, d, generator=generator)
    return x, directions


@pytest.fixture(scope="module")
def small_sae() -> tuple[JumpReLUSAE, torch.Tensor]:
    x, _ = planted(4000, 24, 16, 2.0, seed=1)
    x = 7 * x + 3
    config = SAEConfig(width=32, target_l0=2.5, sparsity=0.3, steps=200, batch=256)
    return train_sae(x, config), x


def test_recovers_a_planted_dictionary() -> None:
    x, directions = planted(60_000, 128, 64, 3.0, seed=0)
    config = SAEConfig(width=256, target_l0=3.0, sparsity=0.3, bandwidth=0.1, steps=400, batch=512)
    sae = train_sae(x, config)
    chance = mean_max_cosine(
        torch.randn(256, 64, generator=torch.Generator().manual_seed(9)), directions
    )
    found = mean_max_cosine(sae.W_dec, directions)
    print(f"mean max cosine {found:.3f}, chance {chance:.3f}")
    assert chance < 0.45
    assert found > 0.9
    fresh, _ = planted(2000, 128, 64, 3.0, seed=0)
    figures = reconstruction(sae, fresh)
    assert figures["variance_explained"] > 0.9
    assert 2 < figures["l0"] < 6
    assert figures["gamma"] == pytest.approx(1, abs=0.05)


def test_the_papers_linear_penalty_trades_sparsity_for_error() -> None:
    x, _ = planted(4000, 24, 16, 2.0, seed=2)
    figures = []
    for sparsity in (0.003, 0.3):
        sae = train_sae(x, SAEConfig(width=32, sparsity=sparsity, steps=300, batch=256))
        figures.append(reconstruction(sae, x))
    weak, strong = figures
    assert strong["l0"] < weak["l0"]
    assert strong["variance_explained"] < weak["variance_explained"]


def test_directions_have_unit_length(small_sae: tuple[JumpReLUSAE, torch.Tensor]) -> None:
    torch.testing.assert_close(small_sae[0].W_dec.norm(dim=1), torch.ones(32))


def test_folding_changes_neither_output_nor_active_set() -> None:
    torch.manual_seed(0)
    sae = JumpReLUSAE(12, 40, scale=5.5)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec):
            parameter.normal_()
        sae.threshold.uniform_(0.05, 0.6)
    x = 5.5 * torch.randn(500, 12)
    folded = sae.folded()
    assert (folded.scale, folded.centre) == (1.0, False)
    torch.testing.assert_close(folded(x), sae(x), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(folded.encode(x), 5.5 * sae.encode(x), rtol=1e-5, atol=1e-4)
    active = sae.encode(x) > 0
    assert 0.1 < active.float().mean() < 0.9
    assert torch.equal(folded.encode(x) > 0, active)


def test_thresholds_gate_and_train() -> None:
    torch.manual_seed(0)
    sae = JumpReLUSAE(4, 6)
    with torch.no_grad():
        sae.threshold.fill_(0.5)
    latents = sae.encode(torch.randn(1000, 4))
    assert (latents[latents > 0] > 0.5).all()
    x, _ = planted(2000, 24, 16, 2.0, seed=3)
    trained = train_sae(x, SAEConfig(width=32, target_l0=2.0, sparsity=0.3, steps=100, batch=256))
    scale = float(x.square().sum(1).mean().sqrt())
    assert (trained.threshold / scale).max() > 0.02  # began at 0.001


def test_straight_through_gradients_are_the_papers() -> None:
    from basalt.probes.sae import _Active, _Jump

    z = torch.tensor([[0.10, 0.26, 0.34, 0.90]], requires_grad=True)
    threshold = torch.full((4,), 0.3, requires_grad=True)
    _Jump.apply(z, threshold, 0.1).sum().backward()
    assert z.grad is not None and threshold.grad is not None
    assert z.grad.tolist() == [[0, 0, 1, 1]]
    torch.testing.assert_close(threshold.grad, torch.tensor([0.0, -3.0, -3.0, 0.0]))
    z.grad, threshold.grad = None, None
    _Active.apply(z, threshold, 0.1).sum().backward()
    assert z.grad is None
    torch.testing.assert_close(threshold.grad, torch.tensor([0.0, -10.0, -10.0, 0.0]))


def test_training_is_the_seeds(small_sae: tuple[JumpReLUSAE, torch.Tensor]) -> None:
    _, x = small_sae
    runs = [
        train_sae(x, SAEConfig(width=8, steps=5, batch=64, seed=seed)).W_enc for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_saved_files_are_read_back_by_name(
    small_sae: tuple[JumpReLUSAE, torch.Tensor], tmp_path: Path
) -> None:
    sae, x = small_sae
    save_sae(tmp_path / "sae", sae, {"site": "lastlayer"})
    save_sae(tmp_path / "sae", sae, {"site": "latent"})  # replaces
    assert sorted(p.name for p in (tmp_path / "sae").iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
    ]
    shapes = {
        k: list(v.shape) for k, v in load_file(tmp_path / "sae" / "sae_weights.safetensors").items()
    }
    assert shapes == {
        "W_enc": [16, 32],
        "W_dec": [32, 16],
        "b_enc": [32],
        "b_dec": [16],
        "threshold": [32],
    }
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"]) == ("jumprelu", 16, 32)
    loaded, metadata = load_sae(tmp_path / "sae")
    assert metadata == {"site": "latent"}
    assert torch.equal(loaded(x), sae(x))
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(config | {"architecture": "topk"}))
    with pytest.raises(ConfigError, match="only folded jumprelu"):
        load_sae(tmp_path / "sae")
    with pytest.raises(ConfigError, match="not a saved autoencoder"):
        load_sae(tmp_path)


def test_an_unfolded_autoencoder_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fold"):
        save_sae(tmp_path / "sae", JumpReLUSAE(4, 8, scale=2.0), {})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [3.0, 1.0]]), "1 of 3 .* in row 1"),
        (torch.tensor([[1.0, float("inf")], [0.0, 1.0]]), "1 of 2 .* in row 0"),
        (torch.ones(5, 3), "all activations are equal"),
        (torch.ones(5), "expected at least two rows"),
        (torch.ones(1, 3), "expected at least two rows"),
    ],
)
def test_unusable_activations_are_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_sae(x, SAEConfig(width=4, steps=2, batch=2))


def test_figures_of_known_autoencoders() -> None:
    x = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0)) + 2
    perfect = JumpReLUSAE(6, 12, centre=False)
    nothing = JumpReLUSAE(6, 12, centre=False)
    with torch.no_grad():
        # Each coordinate by a pair of latents, one for either sign.
        perfect.W_dec.copy_(torch.cat([torch.eye(6), -torch.eye(6)]))
        perfect.W_enc.copy_(perfect.W_dec.T)
        nothing.threshold.fill_(1e9)
        nothing.b_dec.copy_(x.mean(0))
    figures = reconstruction(perfect, x)
    assert figures["variance_explained"] == pytest.approx(1)
    assert figures["l0"] == pytest.approx(6)
    assert figures["dead_share"] == 0
    assert figures["gamma"] == pytest.approx(1)
    figures = reconstruction(nothing, x)
    assert figures["variance_explained"] == pytest.approx(0, abs=1e-5)
    assert (figures["l0"], figures["dead_share"]) == (0, 1)
