"""Removing the planted feature of a concept takes that concept from its probe, and no other feature does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.data.episodes import Episode
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.store import write_store
from basalt.probes.removal.bases import Basis, controls
from basalt.probes.removal.probe import RemovalReport
from basalt.probes.removal.scores import Perturbation, Split, SpuriousPair, balanced
from basalt.probes.sae.files import SAEInfo, save_sae
from basalt.probes.sae.model import SAE

N, D = 800, 24


def split(seed: int, noise: float = 0.3) -> Split:
    """Three concepts on directions 0, 1 and 2, turned by a fixed rotation; the first two mostly go together."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(9))).Q
    spurious = torch.rand(N, generator=generator) < 0.5
    differs = torch.rand(N, generator=generator) < 0.3
    third = torch.rand(N, generator=generator) < 0.5
    flags = {"target": spurious ^ differs, "spurious": spurious, "third": third}
    x = noise * torch.randn(N, D, generator=generator)
    for column, (name, size) in enumerate((("target", 1.0), ("spurious", 2.0), ("third", 1.0))):
        x[:, column] += size * flags[name]
    return Split(x @ rotation, flags, np.arange(N) // 80)


def true_basis() -> Basis:
    rotation = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(9))).Q
    return Basis("true", lambda x: x @ rotation.T, rotation)


def value(estimates: list) -> float:  # type: ignore[type-arg]
    (estimate,) = estimates
    assert estimate.value is not None and estimate.interval is not None
    low, high = estimate.interval
    assert low <= estimate.value <= high
    return float(estimate.value)


def test_removing_the_spurious_feature_leaves_the_target() -> None:
    pair = SpuriousPair(split(0), split(1), "target", "spurious", 0)
    assert pair.accuracy < 0.7 < 0.9 < pair.oracle
    closed = {
        basis.name: value(pair.score(basis, [1]))
        for basis in (true_basis(), *controls(split(0).x, 0))
    }
    assert closed["true"] > 0.8
    assert closed["random directions"] < 0.3 and closed["neurons"] < 0.4
    everything = pair.score(true_basis(), [D])[0].value
    assert everything is not None and everything < 0.3, "a probe of nothing does not gain"


def test_removing_a_concept_takes_it_from_its_own_probe_alone() -> None:
    test = Perturbation(split(0), split(1), 0)
    assert value(test.score(true_basis(), [1])) > 0.25
    random = controls(split(0).x, 0)[2]
    assert abs(value(test.score(random, [1]))) < 0.1


def test_a_pair_that_cannot_be_measured_says_why() -> None:
    training, held_out = split(0, noise=0.01), split(1, noise=0.01)
    # The larger of two concepts is what the biased probe finds anyway.
    larger = SpuriousPair(training, held_out, "spurious", "target", 0)
    assert larger.oracle - larger.accuracy < 0.02
    assert larger.score(true_basis(), [1])[0].value is None
    same = Split(
        training.x, training.flags | {"spurious": training.flags["target"]}, training.episode
    )
    with pytest.raises(
        ValueError, match=r"only 0 training frames are (not )?target and (not )?spurious"
    ):
        SpuriousPair(same, held_out, "target", "spurious", 0)


def test_rows_are_balanced() -> None:
    cells = torch.tensor([0] * 7 + [1] * 3 + [3] * 5)
    rows = balanced(cells, 0)
    assert cells[rows].bincount().tolist() == [3, 3, 0, 3]
    assert len(balanced(torch.zeros(4, dtype=torch.long), 0)) == 0


def random_sae(width: int) -> SAE:
    sae = SAE(width, 2 * width)
    torch.manual_seed(0)
    for weight in (sae.W_enc, sae.W_dec):
        weight.data = torch.nn.functional.normalize(torch.randn_like(weight), dim=1)
    return sae


def test_the_command_measures_a_suite(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ["training"] * 4 + ["held_out"] * 4
    write_store(tmp_path / "activations", policy, episodes, splits, ["lastlayer"], checkpoint="x")
    command = ["probe", "removal", f"suite={tmp_path}", "features=[1,4]"]
    assert cli.run(command) == 1
    assert "expected a hook point with autoencoders, found none" in capsys.readouterr().err
    save_sae(tmp_path / "saes" / "lastlayer" / "mine", random_sae(32), SAEInfo())
    pairs = "pairs=['in_cave:looking_down','in_cave:dark']"
    assert cli.run([*command, pairs, f"out={tmp_path}/r.json"]) == 0
    report = RemovalReport.read(tmp_path / "r.json")
    names = ["mine", "neurons", "principal axes", "random directions"]
    assert report.concepts == ("in_cave", "looking_down") and list(report.tpp) == names
    assert all(len(row) == 2 for row in report.tpp.values())
    assert [(one.target, one.spurious, list(one.scores)) for one in report.scr] == [
        ("in_cave", "looking_down", names)
    ]
    assert report.left_out["in_cave:dark"].startswith("dark: on 0 of")
    assert "features removed" in capsys.readouterr().out
    assert cli.run([*command, "pairs=['in_cave:drak']"]) == 1
    assert "expected TARGET:SPURIOUS with two of in_cave, looking_down" in capsys.readouterr().err
