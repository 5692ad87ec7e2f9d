"""Sparse autoencoders recover known directions, fold exactly and are read back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from basalt.io.errors import ConfigError
from basalt.probes.sae.active_entries import DenseEntries, SparseEntries
from basalt.probes.sae.base import TrainingSAE
from basalt.probes.sae.config import ARCHITECTURES, Architecture, SAEConfig
from basalt.probes.sae.files import SAEInfo, load_sae, save_sae
from basalt.probes.sae.jumprelu import Active, Jump
from basalt.probes.sae.model import SAE
from basalt.probes.sae.relu import ReLUTraining
from basalt.probes.sae.training import Trainer, new_training, train_sae, train_saes
from basalt.probes.suite.metrics import reconstruction
from benchmarks.synthetic_sparse import SyntheticData, chance_of, recovery, synthetic


@pytest.fixture(scope="module")
def dictionary() -> SyntheticData:
    return synthetic(60_000, features=128, d=64, l0=3.0, seed=0)


@pytest.fixture(scope="module")
def trained(dictionary: SyntheticData) -> dict[str, SAE]:
    """One of each architecture on the same dictionary."""
    x = 7 * dictionary.activations[:50_000] + 3
    config = {"width": 256, "target_l0": 3.0, "steps": 300}
    return {name: train_sae(x, SAEConfig(name, **config)) for name in ARCHITECTURES}


@pytest.mark.parametrize("architecture", tuple(ARCHITECTURES))
def test_recovers_a_synthetic_dictionary(
    architecture: str, trained: dict[str, SAE], dictionary: SyntheticData
) -> None:
    held_out = SyntheticData(
        7 * dictionary.activations[50_000:] + 3, dictionary.directions, dictionary.active[50_000:]
    )
    found = recovery(trained[architecture], held_out)
    chance = chance_of(dictionary.directions, 256)
    print(architecture, found, f"chance {chance:.3f}")
    assert chance < 0.45
    assert found["mmcs"] > 0.9
    assert found["recovered"] > 0.9
    # TopK must always take three, however many are active: it cannot follow them.
    assert found["f1"] > (0.75 if architecture == "topk" else 0.9)
    assert found["l0"] == pytest.approx(3, rel=0.35)
    metrics = reconstruction(trained[architecture], held_out.activations).metrics()
    assert metrics.variance_explained.value == pytest.approx(1 - found["unexplained"], abs=1e-4)
    if architecture == "relu":  # the penalty's known fault, and why there are others
        assert metrics.gamma.value is not None
        assert metrics.gamma.value < 0.8
    else:
        assert metrics.gamma.value == pytest.approx(1, abs=0.05)


def test_a_random_dictionary_recovers_nothing(dictionary: SyntheticData) -> None:
    sae = SAE(64, 256)
    sae.W_dec.copy_(torch.randn(256, 64, generator=torch.Generator().manual_seed(2)))
    sae.W_enc.copy_(sae.W_dec.T)
    found = recovery(sae, dictionary)
    assert found["mmcs"] < 0.45
    assert found["recovered"] == 0
    assert found["f1"] < 0.2


def test_the_papers_linear_penalty_trades_sparsity_for_error() -> None:
    x = synthetic(4000, features=24, d=16, l0=2.0, seed=2).activations
    for architecture in ("relu", "gated", "jumprelu"):
        metrics = []
        for sparsity in (0.003, 0.3):
            config = SAEConfig(architecture, width=32, sparsity=sparsity, steps=300, batch=256)
            metrics.append(reconstruction(train_sae(x, config), x).metrics())
        weak, strong = metrics
        assert strong.l0.value < weak.l0.value
        assert strong.variance_explained.value < weak.variance_explained.value


def test_directions_have_unit_length(trained: dict[str, SAE]) -> None:
    for sae in trained.values():
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(256))


def scaled(architecture: str) -> TrainingSAE:
    """An autoencoder in mid-training, all its parameters away from where they begin."""
    torch.manual_seed(0)
    sae = new_training(12, SAEConfig(architecture, width=40, target_l0=6))
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(0.3 * torch.randn_like(parameter))
            if name == "threshold":
                parameter.copy_(0.05 + 0.5 * torch.rand_like(parameter))
    return sae


@pytest.mark.parametrize("architecture", tuple(ARCHITECTURES))
def test_folding_changes_neither_output_nor_active_set(architecture: str) -> None:
    sae, x = scaled(architecture), torch.randn(500, 12)
    if architecture in ("batchtopk", "matryoshka"):
        sae.active(x @ sae.W_enc.T)  # sets the threshold, which training would do
    plain, folded = sae.folded(1.0), sae.folded(5.5)
    torch.testing.assert_close(folded(5.5 * x), 5.5 * plain(x), rtol=1e-5, atol=1e-4)
    latents, raw = plain.encode(x), folded.encode(5.5 * x)
    torch.testing.assert_close(raw, 5.5 * latents, rtol=1e-5, atol=1e-4)
    assert 0.05 < (latents > 0).float().mean() < 0.9
    assert torch.equal(raw > 0, latents > 0)


def test_a_folded_gate_is_the_gate() -> None:
    sae, x = scaled("gated"), torch.randn(500, 12)
    u = (x - sae.b_dec) @ sae.W_enc.T
    size = (sae.r_mag.exp() * u + sae.b_mag).relu()  # type: ignore[operator]
    expected = (u + sae.b_enc > 0) * size
    torch.testing.assert_close(sae.folded(1.0).encode(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", tuple(ARCHITECTURES))
def test_gathers_give_the_gradients_of_dense_products(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sae, x = scaled(architecture), torch.randn(64, 12)
    dead = torch.zeros(40, dtype=torch.bool)
    results = []
    for share in (2.0, 0.0):  # always sparse, always dense
        monkeypatch.setattr("basalt.probes.sae.active_entries.SPARSE_BELOW", share)
        if share == 0.0:
            monkeypatch.setattr("basalt.probes.sae.topk.SparseEntries", masked_dense_entries)
        sae.zero_grad()
        objective = sae.objective(x, dead, 1.0)
        objective.loss.backward()
        grads = {name: p.grad for name, p in sae.named_parameters() if p.grad is not None}
        results.append((objective, grads))
    (gathered, by_gather), (dense, by_product) = results
    torch.testing.assert_close(gathered.loss, dense.loss)
    assert torch.equal(gathered.fired, dense.fired)
    assert by_gather.keys() == by_product.keys()
    for name, grad in by_gather.items():
        torch.testing.assert_close(grad, by_product[name], rtol=1e-4, atol=1e-6, msg=name)


class masked_dense_entries(DenseEntries):  # noqa: N801
    """Dense entries, far below 0 where not active: what the TopK family's gathers must equal."""

    def __init__(
        self, x: torch.Tensor, weight: torch.Tensor, _: torch.Tensor, active: torch.Tensor
    ) -> None:
        super().__init__(x, weight)
        self.pre_acts = torch.where(active, self.pre_acts, -1e9)

    def prefixes(
        self, values: torch.Tensor, directions: torch.Tensor, ends: list[int]
    ) -> list[torch.Tensor]:
        return [values[:, :end] @ directions[:end] for end in ends]


def test_both_forms_of_entries_agree() -> None:
    generator = torch.Generator().manual_seed(4)
    x, weight = torch.randn(5, 6, generator=generator), torch.randn(9, 6, generator=generator)
    active = torch.rand(5, 9, generator=generator) < 0.3
    active[2] = False  # a row without any
    product = x @ weight.T
    some, everything = SparseEntries(x, weight, product, active), DenseEntries(x, weight)
    assert torch.equal(some.pre_acts, product[active])
    dense = product * active
    torch.testing.assert_close(some.decode(some.pre_acts, weight), everything.decode(dense, weight))
    ends = [2, 5, 9]
    for end, part in zip(ends, some.prefixes(some.pre_acts, weight, ends), strict=True):
        torch.testing.assert_close(part, dense[:, :end] @ weight[:end])
    assert torch.equal(some.fired(some.pre_acts), everything.fired(dense))


def test_straight_through_gradients_are_the_papers() -> None:
    z = torch.tensor([0.10, 0.26, 0.34, 0.90], requires_grad=True)
    threshold = torch.full((4,), 0.3, requires_grad=True)
    Jump.apply(z, threshold, 0.1).sum().backward()
    assert z.grad is not None
    assert threshold.grad is not None
    assert z.grad.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(threshold.grad, torch.tensor([0.0, -3.0, -3.0, 0.0]))
    for active_only, expected in ((False, [0.0, -10.0, -10.0, 0.0]), (True, [0.0, 0, -10.0, 0.0])):
        z.grad, threshold.grad = None, None
        Active.apply(z, threshold, 0.1, active_only).sum().backward()
        assert z.grad is None
        torch.testing.assert_close(threshold.grad, torch.tensor(expected))


def test_the_gates_auxiliary_loss_does_not_move_the_decoder() -> None:
    sae, x = scaled("gated"), torch.randn(64, 12)
    with torch.no_grad():
        sae.b_mag.fill_(-1e3)  # type: ignore[operator]  # nothing gets through but the gate's own path
    sae.objective(x, torch.zeros(40, dtype=torch.bool), 1.0).loss.backward()
    assert sae.W_dec.grad is None or not sae.W_dec.grad.any()
    assert sae.W_enc.grad is not None
    assert sae.W_enc.grad.any()


def test_dead_latents_of_topk_learn_from_the_error() -> None:
    sae, x = scaled("topk"), torch.randn(64, 12)
    dead = torch.zeros(40, dtype=torch.bool)
    with torch.no_grad():
        sae.b_enc[:5] = -1e3
    sae.objective(x, dead, 1.0).loss.backward()
    assert sae.W_enc.grad is not None
    assert not sae.W_enc.grad[:5].any()
    dead[:5] = True
    with torch.no_grad():
        sae.b_enc[:5] = -0.5
        sae.b_enc[5:] += 5
    sae.zero_grad()
    sae.objective(x, dead, 1.0).loss.backward()
    assert sae.W_enc.grad[:5].any()


@pytest.mark.parametrize("width", [32, 16])  # 16: as many as dimensions
def test_dead_latents_of_relu_are_re_initialised(width: int) -> None:
    x = synthetic(2000, features=24, d=16, l0=2.0, seed=3).activations
    config = SAEConfig(
        "relu", width=width, steps=20, batch=100, dead_after=500, resample=1, sparsity=0.01
    )
    trainer = Trainer(config, x, 1.0)
    with torch.no_grad():
        trainer.sae.b_enc[:4] = -1e3
    for step in range(10):
        trainer.step(x[step * 100 : (step + 1) * 100])
    assert (trainer.sae.b_enc[:4] == 0).all()
    torch.testing.assert_close(trainer.sae.W_dec[:4].norm(dim=1), torch.ones(4))
    assert trainer.sae.b_dec.all()


def test_batchtopk_keeps_as_many_as_the_batch_may() -> None:
    sae = new_training(12, SAEConfig("batchtopk", width=40, target_l0=3))
    pre = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))
    assert int(sae.active(pre).sum()) == 150
    assert int(sae.active(pre).sum()) == 150  # by the shortcut
    assert int(sae.active(pre / 100).sum()) == 150  # which does not hold here
    assert not sae.active(pre.abs().neg()).any()


def test_the_loss_of_a_matryoshka_is_the_mean_over_prefixes() -> None:
    sae, x = scaled("matryoshka"), torch.randn(64, 12)
    loss = sae.objective(x, torch.zeros(40, dtype=torch.bool), 1.0).loss
    pre = (x - sae.b_dec) @ sae.W_enc.T + sae.b_enc
    latents = pre * sae.active(pre)
    errors = []
    for end in (5, 10, 20, 40):
        rebuilt = latents[:, :end] @ sae.W_dec[:end] + sae.b_dec
        errors.append((rebuilt - x).square().sum(1).mean())
    torch.testing.assert_close(loss, torch.stack(errors).mean())


def test_training_is_the_seeds() -> None:
    x = synthetic(2000, features=24, d=16, l0=2.0, seed=3).activations
    runs = [
        train_sae(x, SAEConfig(width=8, steps=5, batch=64, seed=seed)).W_enc for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_several_in_one_pass_are_those_of_single_passes() -> None:
    x = synthetic(2000, features=24, d=16, l0=2.0, seed=3).activations
    configs = [
        SAEConfig("jumprelu", width=8, steps=5, batch=64, target_l0=2),
        SAEConfig("topk", width=16, steps=3, batch=64, target_l0=2),
    ]

    def batches() -> object:
        return (x[i * 64 : (i + 1) * 64] for i in range(20))

    both = train_saes(batches(), x, 2.0, configs)  # type: ignore[arg-type]
    for sae, config in zip(both, configs, strict=True):
        (alone,) = train_saes(batches(), x, 2.0, [config])  # type: ignore[arg-type]
        assert torch.equal(sae.W_dec, alone.W_dec)
    with pytest.raises(ConfigError, match="expected 5 batches, got 2"):
        train_saes(iter([x[:64], x[:64]]), x, 2.0, configs)


@pytest.mark.parametrize("architecture", tuple(ARCHITECTURES))
def test_saved_files_are_read_back_by_name(
    architecture: str, trained: dict[str, SAE], dictionary: SyntheticData, tmp_path: Path
) -> None:
    sae, x = trained[architecture], 7 * dictionary.activations[:500] + 3
    save_sae(tmp_path / "sae", sae, SAEInfo(hook_point="lastlayer"))
    save_sae(tmp_path / "sae", sae, SAEInfo(hook_point="latent"))  # replaces
    assert sorted(p.name for p in (tmp_path / "sae").iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
    ]
    weights = load_file(tmp_path / "sae" / "sae_weights.safetensors")
    shapes = {k: list(v.shape) for k, v in weights.items()}
    function = {"topk": "topk", "relu": "standard"}.get(architecture, "jumprelu")
    expected = {"W_enc": [64, 256], "W_dec": [256, 64], "b_enc": [256], "b_dec": [64]}
    assert shapes == expected | ({"threshold": [256]} if function == "jumprelu" else {})
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"]) == (function, 64, 256)
    loaded, info = load_sae(tmp_path / "sae")
    assert info == SAEInfo(hook_point="latent", trained_as=architecture)
    assert config["metadata"] == {"site": "latent", "trained_as": architecture}
    assert loaded.architecture == architecture
    assert torch.equal(loaded(x), sae(x))


@pytest.mark.parametrize("architecture", tuple(ARCHITECTURES))
def test_saelens_reads_the_files(
    architecture: str, trained: dict[str, SAE], dictionary: SyntheticData, tmp_path: Path
) -> None:
    sae_lens = pytest.importorskip("sae_lens", reason="SAELens, an optional peer, is not installed")
    sae, x = trained[architecture], 7 * dictionary.activations[:500] + 3
    save_sae(tmp_path / "sae", sae, SAEInfo(hook_point="latent"))
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    torch.testing.assert_close(theirs.encode(x), sae.encode(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs(x), sae(x), rtol=1e-4, atol=1e-4)


def test_files_that_are_not_ours_are_refused(trained: dict[str, SAE], tmp_path: Path) -> None:
    save_sae(tmp_path / "sae", trained["jumprelu"], SAEInfo())
    file = tmp_path / "sae" / "cfg.json"
    config = json.loads(file.read_text())
    for change, message in (
        ({"architecture": "gated"}, "architecture 'gated' cannot be read"),
        ({"apply_b_dec_to_input": True}, "folded to take raw"),
        ({"d_sae": 3}, "does not fit cfg.json"),
        ({"architecture": "topk"}, "expected a saved autoencoder"),
    ):
        file.write_text(json.dumps(config | change))
        with pytest.raises(ConfigError, match=message):
            load_sae(tmp_path / "sae")
    with pytest.raises(ConfigError, match="expected a saved autoencoder"):
        load_sae(tmp_path)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [3.0, 1.0]]), "1 of 3 .* in row 1"),
        (torch.tensor([[1.0, float("inf")], [0.0, 1.0]]), "1 of 2 .* in row 0"),
        (torch.ones(5, 3), "all activations are equal"),
        (torch.ones(5), r"expected activations \[n, d\] with n >= 2"),
        (torch.ones(1, 3), r"expected activations \[n, d\] with n >= 2"),
    ],
)
def test_unusable_activations_are_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_sae(x, SAEConfig(width=4, steps=2, batch=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "jumprel"}, "did you mean 'jumprelu'"),
        ({"architecture": "topk"}, "target_l0: expected k of topk, .*, got null"),
        ({"architecture": "topk", "target_l0": 300}, "between 1 and width=256"),
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"target_l0": -1}, "target_l0: expected a value above 0, got -1"),
        ({"decay": 1.5}, "decay: expected a value below 1, got 1.5"),
    ],
)
def test_unusable_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SAEConfig(**settings)


def test_metrics_of_known_autoencoders() -> None:
    x = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0)) + 2
    perfect, nothing = SAE(6, 12), SAE(6, 12)
    # Each coordinate by a pair of latents, one for either sign.
    perfect.W_dec.copy_(torch.cat([torch.eye(6), -torch.eye(6)]))
    perfect.W_enc.copy_(perfect.W_dec.T)
    nothing.threshold.fill_(1e9)
    nothing.b_dec.copy_(x.mean(0))
    metrics = reconstruction(perfect, x).metrics()
    assert metrics.variance_explained.value == pytest.approx(1)
    assert metrics.l0.value == pytest.approx(6)
    assert metrics.dead_share == 0
    assert metrics.gamma.value == pytest.approx(1)
    metrics = reconstruction(nothing, x).metrics()
    assert metrics.variance_explained.value == pytest.approx(0, abs=1e-5)
    assert (metrics.l0.value, metrics.dead_share) == (0, 1)


def test_every_architecture_has_a_training() -> None:
    for name in ARCHITECTURES:
        assert isinstance(new_training(4, SAEConfig(name, width=8, target_l0=2)), TrainingSAE)


class Mine(ReLUTraining):
    """An architecture of another package."""


def test_an_architecture_is_added_by_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._entries))
    ARCHITECTURES.register("mine", Architecture(f"{__name__}:Mine"))
    assert isinstance(new_training(4, SAEConfig("mine", width=8)), Mine)
    with pytest.raises(ConfigError, match="registered already"):
        ARCHITECTURES.register("relu", Architecture(f"{__name__}:Mine"))
