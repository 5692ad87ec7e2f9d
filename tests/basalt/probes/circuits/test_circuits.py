"""Faithfulness of known circuits, and contributions that add up to the policy's own logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from basalt.cli import main as cli
from basalt.io.errors import ConfigError
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.circuits.direct import (
    BIAS,
    DirectReport,
    attribute,
    latent_gradient,
    latent_parts,
)
from basalt.probes.circuits.faithfulness import (
    CircuitReport,
    circuit_sizes,
    faithfulness,
    measure_circuits,
)
from basalt.probes.patching.exact import Pairs, effects_of_nodes
from basalt.probes.patching.metrics import Metric, find_metric
from basalt.probes.patching.nodes import NodeSpace
from basalt.probes.patching.window import Windows
from basalt.probes.settings import CircuitConfig, DirectConfig
from benchmarks.planted_circuit import FRAMES, Planted, planted_policy
from tests.support.tiny_policy import TINY

T = 6
EPISODES = np.arange(8)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return planted_policy()


@pytest.fixture(scope="module")
def pairs(planted: Planted) -> Pairs:
    space = NodeSpace(planted.policy, FRAMES, ("z", "mlp", "embed"))
    windows = Windows(planted.policy, find_metric("camera.yaw"), FRAMES)
    return Pairs.of(windows, space, planted.inputs(8, 1), planted.inputs(8, 2))


def test_the_planted_circuit_carries_the_choice_and_random_nodes_do_not(
    pairs: Pairs, planted: Planted
) -> None:
    true = torch.nonzero(planted.true_nodes(pairs.space, "camera.yaw"))[:, 0].tolist()
    others = [n for n in range(len(pairs.space)) if n not in true]
    sizes = circuit_sizes(len(pairs.space))
    enough = next(row for row, size in enumerate(sizes) if size >= len(true))
    backwards = [others + true]
    for ablation in ("zero", "mean", "resample"):
        curve = faithfulness(pairs, [true + others], ablation, EPISODES)
        assert curve.faithfulness[0] == pytest.approx(0, abs=1e-6)
        assert curve.faithfulness[-1] == pytest.approx(1)
        last = faithfulness(pairs, backwards, ablation, EPISODES)
        assert curve.cpr.value is not None and last.cpr.value is not None
        assert curve.cpr.value > last.cpr.value + 0.4
        if ablation != "zero":  # without the constant, the norms are others
            assert curve.faithfulness[enough] == pytest.approx(1, abs=0.05)
            assert curve.cmd is not None and curve.cmd < 0.1
    assert curve.cpr.interval is not None


def test_the_areas_are_those_of_a_known_curve(pairs: Pairs) -> None:
    """With the last block's MLP at the last frame alone outside, f jumps to 1 when it joins, at a known share."""
    name = "blocks.1.mlp@-0"
    index = [str(node) for node in pairs.space.nodes].index(name)
    order = [n for n in range(len(pairs.space)) if n != index] + [index]
    curve = faithfulness(pairs, [order], "resample", EPISODES)
    sizes = circuit_sizes(len(pairs.space))
    share = np.array(sizes) / len(pairs.space)
    wanted = np.trapezoid(np.array(curve.faithfulness, dtype=float), share)
    assert curve.cpr.value == pytest.approx(wanted)
    assert max(abs(f or 0) for f in curve.faithfulness[:-1]) < 0.1
    assert curve.cpr.value == pytest.approx((share[-1] - share[-2]) / 2, abs=0.05)


def test_a_report_compares_ablations_and_random_nodes(pairs: Pairs) -> None:
    cfg = CircuitConfig("", "", metric="camera.yaw", method="ig", random=3)
    report = measure_circuits(pairs, EPISODES, cfg)
    assert [curve.ablation for curve in report.curves] == ["zero", "mean", "resample"]
    for mine, control in zip(report.curves[1:], report.random_curves[1:], strict=True):
        assert (mine.cpr.value or 0) > (control.cpr.value or 0) + 0.3
    assert CircuitReport.from_json(report.to_json(), "x") == report
    assert "resample" in "\n".join(report.lines())
    with pytest.raises(ConfigError, match="ablations: expected zero, mean, resample, got 'none'"):
        measure_circuits(pairs, EPISODES, CircuitConfig("", "", ablations=("none",)))


def tiny(seed: int = 3, **changes: bool) -> VPTPolicy:
    torch.manual_seed(seed)
    policy = VPTPolicy(type(TINY)(**(TINY.to_dict() | changes))).eval().requires_grad_(False)
    for parameter in policy.parameters():
        if parameter.dim() == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
    policy.esc_head.linear.weight.normal_()
    return policy


@pytest.mark.parametrize("norm", [False, True])
def test_parts_and_biases_are_the_latent_and_every_logit(norm: bool) -> None:
    policy = tiny(use_pre_lstm_ln=norm)
    x = torch.randn(3, T, 32)
    for metric, bias in (
        (find_metric("ESC"), policy.esc_head.linear.bias[0]),
        (_logit(77), policy.pi_head["buttons"].linear_layer.bias[77]),  # type: ignore[union-attr, index]
    ):
        windows = Windows(policy, metric, T)
        parts, _ = latent_parts(windows, x)
        output = windows.output(x)
        torch.testing.assert_close(
            parts.values.sum(1).float(), output.latent[:, 0], rtol=0, atol=1e-4
        )
        direction = latent_gradient(windows, x)
        wrote = (parts.values * direction[:, None]).sum((1, 2)) + bias
        torch.testing.assert_close(wrote.float(), windows.run(x), rtol=0, atol=1e-4)
    assert len(parts.names) == len(set(parts.names)) == 2 + 2 * (2 * T + 1)
    assert parts.names[:2] == [BIAS, "embed"]
    for seen in parts.attention.values():
        torch.testing.assert_close(seen.sum(1), torch.ones(3).double())


def _logit(number: int) -> Metric:
    def metric(output: PolicyOutput, _pair: Tensor) -> Tensor:
        return output.buttons_logits[:, 0, number]

    return metric


def test_direct_and_total_effects_agree_where_nothing_follows_and_differ_where_it_does(
    pairs: Pairs,
) -> None:
    report = attribute(pairs, EPISODES, DirectConfig("", "", metric="camera.yaw"))
    rows = {row.name: row for row in report.parts}
    mlp = rows["blocks.1.mlp"]
    assert report.parts[0] == mlp  # the only part that writes to the camera
    assert mlp.direct == pytest.approx(mlp.total, rel=0.3)
    for name in ("blocks.0.z.0", "blocks.1.z.1"):  # lamp and light act through that MLP
        assert rows[name].total > 1 and rows[name].direct < 0.1
    assert rows["blocks.1.z.3"].total < 0.1
    lamp, light = (
        next(head for head in report.memory if head.name == name)
        for name in ("blocks.0.z.0", "blocks.1.z.1")
    )
    assert set(np.argsort(lamp.attention)[-2:]) == {5, 8}
    assert sum(lamp.attention[age] for age in (5, 8)) > 0.99
    assert sum(light.attention[age] for age in (1, 3)) > 0.85
    parts = sum(row.contribution.value or 0 for row in report.parts)
    assert report.value.value == pytest.approx(parts + report.biases + report.rest, abs=1e-3)
    assert DirectReport.from_json(report.to_json(), "x") == report
    last = [n for n, node in enumerate(pairs.space.nodes) if str(node) == "blocks.1.mlp@-0"]
    assert mlp.total == pytest.approx(float(effects_of_nodes(pairs, last).abs().mean()))


def test_the_commands_run(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", "device=cpu"]
    quick = ["frames=6", "count=4", "metric=ESC"]
    assert cli.run(["probe", "circuit", *arguments, *quick, f"out={tmp_path}/c.json"]) == 0
    assert "random nodes" in capsys.readouterr().out
    assert CircuitReport.read(tmp_path / "c.json").n_pairs == 4
    assert cli.run(["probe", "direct", *arguments, *quick, f"out={tmp_path}/d.json"]) == 0
    assert "writes most" in capsys.readouterr().out
    assert DirectReport.read(tmp_path / "d.json").n_pairs == 4
