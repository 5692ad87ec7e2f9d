"""Probes without labels follow whatever differs most between the sides of a pair, and the checks notice it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from basalt.cli import main as cli
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy
from basalt.probes.elicitation.checks import PLANTED, TEMPLATES, PairSet, Variant, run_checks
from basalt.probes.elicitation.methods import (
    UNSUPERVISED,
    Normalisation,
    Sides,
    consistency_loss,
    supervised,
)
from basalt.probes.elicitation.pairs import LOOKS, Example, pair_set, turns, twin_examples
from basalt.probes.elicitation.probe import ElicitationReport
from basalt.probes.twins.library import Twin
from basalt.probes.twins.windows import TwinWindows

N, D = 240, 32


def planted(truth: float, distractor: float, seed: int = 0) -> tuple[Sides, Tensor, Tensor]:
    """Pairs whose sides differ along one direction by the truth and along another by a distractor, with a common offset."""
    generator = torch.Generator().manual_seed(seed)
    u, v, always = torch.linalg.qr(torch.randn(D, 3, generator=generator)).Q.T
    labels, marks = (torch.rand(N, generator=generator) < 0.5 for _ in range(2))
    common = torch.randn(N, D, generator=generator)
    apart = truth * _sign(labels) * u + distractor * _sign(marks) * v + 5 * always
    noise = torch.randn(2, N, D, generator=generator)
    return Sides(common + apart / 2 + noise[0], common - apart / 2 + noise[1]), labels, marks


def _sign(flags: Tensor) -> Tensor:
    return torch.where(flags, 1.0, -1.0)[:, None]


def accuracy(said: Tensor, flags: Tensor) -> float:
    right = float((said == flags).float().mean())
    return max(right, 1 - right)


def test_any_feature_that_is_opposite_on_both_sides_has_no_loss() -> None:
    """So the loss cannot single out what a model knows (Farquhar et al. 2023, theorem 1)."""
    for seed in range(5):
        h = (torch.rand(100, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
        assert float(consistency_loss(h, 1 - h)) == 0
    half = torch.full((100,), 0.5)
    assert float(consistency_loss(half, half)) == pytest.approx(0.25)
    assert float(consistency_loss(torch.ones(100), torch.ones(100))) == pytest.approx(2.0)


@pytest.mark.parametrize("method", UNSUPERVISED)
def test_the_larger_difference_wins_whatever_is_true(method: str) -> None:
    for distractor, follows in ((2.0, 0), (10.0, 1)):
        sides, *flags = planted(5.0, distractor)
        sides = Normalisation.of(sides)(sides)
        said = UNSUPERVISED[method](sides, 0).says(sides)
        found = [accuracy(said, one) for one in flags]
        assert found[follows] > 0.95 and found[1 - follows] < 0.65, (distractor, found)


def test_labels_always_find_the_truth() -> None:
    sides, labels, _ = planted(5.0, 10.0)
    sides = Normalisation.of(sides)(sides)
    train, test = Sides(*(x[:160] for x in sides)), Sides(*(x[160:] for x in sides))
    assert accuracy(supervised(train, labels[:160], test), labels[160:]) > 0.9


def test_an_offset_between_the_sides_is_no_cue() -> None:
    sides, _, _ = planted(1.0, 0.0)
    normal = Normalisation.of(sides)(sides)
    assert all(x.mean(0).abs().max() < 1e-5 for x in normal)
    moved = Sides(sides.plus + 100, sides.minus - 3)
    for ours, theirs in zip(normal, Normalisation.of(moved)(moved), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def synthetic_pairs(distractor: float) -> PairSet:
    """Pairs in all looks; in those with a planted distractor it differs that much, the truth by 5."""
    variants = {}
    for look in (*TEMPLATES, *PLANTED):
        sides, labels, marks = planted(5.0, distractor if look in PLANTED else 0.0)
        variants[look] = Variant(sides, marks if look in PLANTED else None)
    group = np.arange(N) // 20
    return PairSet(variants, labels, group, torch.from_numpy(group % 2 == 1))


def test_a_probe_passes_every_check_only_if_no_distractor_leads_it_away() -> None:
    for distractor, passes in ((1.0, True), (12.0, False)):
        results = run_checks(synthetic_pairs(distractor))
        assert results.ceiling.value == pytest.approx(1.0, abs=0.06)
        assert 0.55 < results.floor < 0.93
        for one in results.methods:
            assert one.accuracy.value is not None and one.accuracy.value > 0.95
            failed = {name for name, passed in one.checks.items() if not passed}
            assert failed == (set() if passes else {"square", "arrow"}), one.method
            shown = one.planted["square"]
            better, worse = (shown.truth, shown.planted)[:: 1 if passes else -1]
            assert better.value > 0.95 and worse.value < 0.7  # type: ignore[operator]
        report = ElicitationReport(
            pairs="mirror", statement="it is so", hook_point="latent", n_training=200, n_held_out=200, groups=5,
            ceiling=results.ceiling, floor=results.floor, methods=results.methods,
        )  # fmt: skip
        assert ("knows" in "\n".join(report.lines())) == passes == bool(report.passed)


def test_what_is_not_there_is_not_found() -> None:
    """Without any difference between the sides but noise, no method is above random directions."""
    sides, _, marks = planted(0.0, 0.0)
    variant = Variant(sides, marks)
    pairs = synthetic_pairs(0.0)
    pairs = pairs._replace(variants=dict.fromkeys((*TEMPLATES, *PLANTED), variant))
    for one in run_checks(pairs).methods:
        assert not one.checks["above_random"] and not one.checks["templates"]


def test_looks_are_mirror_images_of_each_other() -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 36, 64, 3)).astype(np.uint8)
    for look, change in LOOKS.items():
        left, right = (change(images, mark) for mark in (True, False))
        assert left.shape == images.shape and left.dtype == np.uint8
        mirrored = change(images[:, :, ::-1], False)[:, :, ::-1]
        assert np.array_equal(left, mirrored), look
        assert np.array_equal(left, right) == (look not in PLANTED), look
        assert np.array_equal(left, images) == (look == "plain"), look


def test_pairs_of_turns_are_of_both_sides_and_of_held_out_groups(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    found = turns(episodes, 64, 4)
    # The only turns in these recordings are to the right.
    assert found and not any(one.truth for one in found)
    assert {one.group for one in found} >= {0, 1, 3, 4, 5, 6, 7}
    one = found[0]
    assert one.plus.shape == (4, 32, 32, 3) and np.array_equal(one.plus[:, :, ::-1], one.minus)
    pairs = pair_set(policy, "lastlayer", found[:12] + found[-12:], 0)
    assert set(pairs.variants) == {*TEMPLATES, *PLANTED}
    assert not set(pairs.group[pairs.test.numpy()]) & set(pairs.group[~pairs.test.numpy()])
    plain, square = pairs.variants["plain"], pairs.variants["square"]
    assert plain.planted is None and square.planted is not None
    assert plain.sides.plus.shape == (24, 32) and not torch.equal(plain.sides[0], square.sides[0])
    with pytest.raises(ConfigError, match="of at least 5 episodes or seeds, got 2 pairs of 1"):
        pair_set(policy, "lastlayer", found[:2], 0)


def test_twins_are_in_random_order() -> None:
    twin = Twin(
        seed=7, change="black", edit={}, seen=0, differs=None, fields=(), moment=3, picture=1
    )
    plain, changed = np.zeros((1, 2, 2, 3), np.uint8), np.ones((1, 2, 2, 3), np.uint8)
    found = twin_examples([TwinWindows(twin, plain, changed, None)] * 40, 0)  # type: ignore[arg-type]
    assert {bool(one.plus.any()) == one.truth for one in found} == {True}
    assert 10 < sum(one.truth for one in found) < 30 and {one.group for one in found} == {7}
    assert Example(plain, changed, False, 7).minus.all()


def test_the_command_reports_and_claims_nothing_of_a_random_network(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", "device=cpu"]
    elicit = ["probe", "elicit", *arguments, "count=24", "frames=4"]
    assert cli.run([*elicit, "pairs=twin"]) == 1
    assert "pairs: expected mirror or twins, got 'twin'" in capsys.readouterr().err
    assert cli.run([*elicit, "frames=500"]) == 1
    assert "got 0 pairs of 0" in capsys.readouterr().err
    assert cli.run([*elicit, f"out={tmp_path}/r.json"]) == 0
    report = ElicitationReport.read(tmp_path / "r.json")
    assert report.groups == 3 and [one.method for one in report.methods] == [*UNSUPERVISED]
    # The only turns in these recordings are to the right.
    shown = capsys.readouterr().out
    assert not report.passed and "so nothing is claimed" in shown and "knows" not in shown
