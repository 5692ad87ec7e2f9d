"""A head whose queries or keys have few dimensions needs no more of them, and a choice among four needs three."""

from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.core.actions import VPTActions
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy
from basalt.probes.circuits.subspaces import Subspace, SubspaceReport, measure_subspaces
from basalt.probes.patching.contexts import Contexts
from basalt.probes.settings import SubspaceConfig
from tests.support.tiny_policy import TINY

T, N = 5, 24


def test_a_choice_among_four_needs_three_dimensions() -> None:
    """Queries near the corners of a simplex in 64 dimensions, and the four corners as keys."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.eye(4) - 0.25
    corners = 14 * corners / corners.norm(dim=1, keepdim=True)
    embed = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q[:4]
    keys = corners @ embed
    option = torch.randint(4, (400,), generator=generator)
    queries = keys[option] + 0.4 * torch.randn(400, 64, generator=generator)
    mean = queries.mean(0)
    axes = Subspace.of(queries - mean)
    assert axes.explained[:3].min() > 0.25 and axes.explained[3] < 0.01
    right = [
        float(((axes.project(queries, mean, rank) @ keys.T).argmax(1) == option).float().mean())
        for rank in range(4)
    ]
    assert right[0] < 0.4 and right[0] < right[1] < right[2] < 0.95 and right[3] == 1.0


def policy_of_rank(rank: int) -> VPTPolicy:
    """Head 1 of block 0 has queries of that rank; its attention is strong enough to matter."""
    torch.manual_seed(3)
    policy = VPTPolicy(TINY).eval().requires_grad_(False)
    attention = policy.net.recurrent_layer.blocks[0].r.orc_block  # type: ignore[union-attr]
    weight = attention.q_layer.weight  # type: ignore[union-attr]
    weight[16:] = torch.randn(16, rank) @ torch.randn(rank, 32)  # type: ignore[index, operator]
    attention.k_layer.weight.mul_(20)  # type: ignore[operator, union-attr]
    policy.esc_head.linear.weight.normal_()
    return policy


def contexts() -> Contexts:
    clean, noise = torch.randn(2, N, T, 32, generator=torch.Generator().manual_seed(1))
    esc = np.arange(N) % 4 == 0
    actions = VPTActions(np.zeros(N, np.int64), np.zeros(N, np.int64), esc)
    return Contexts(clean, noise, actions, np.arange(N) // 4)


def config(**changes: object) -> SubspaceConfig:
    settings = {"head": "blocks.0.1", "ranks": (0, 1, 2, 16), "metric": "ESC", "frames": T}
    return SubspaceConfig(checkpoint="x", data="y", **{**settings, **changes})


def test_no_more_dimensions_are_needed_than_there_are() -> None:
    report = measure_subspaces(policy_of_rank(2), contexts(), config())
    found = {(one.part, one.rank): one for one in report.ranks}
    assert len(found) == 16 and (report.fitted, report.n_windows, report.episodes) == (12, 12, 3)
    for part in ("q", "k", "v", "qk"):
        everything, nothing = found[part, 16], found[part, 0]
        for one in (everything.kl, everything.random_kl, everything.other_kl, everything.change):
            assert one.value == pytest.approx(0, abs=1e-5)
        assert everything.explained == pytest.approx(1) and nothing.explained == 0
        assert everything.class_share == pytest.approx(1)
        assert nothing.kl.value is not None and nothing.kl.value > 1e-5
    queries = found["q", 2]
    assert queries.explained == pytest.approx(1)
    for one in (queries.kl, queries.other_kl):
        assert one.value == pytest.approx(0, abs=1e-5)
    assert queries.random_kl.value > 10 * 1e-5  # type: ignore[operator]
    assert queries.class_share == pytest.approx(1)
    assert found["q", 1].kl.value > 1e-5 and found["q", 1].explained < 1  # type: ignore[operator]
    assert "blocks.0.1, 16 dimensions" in report.lines()[0] and len(report.lines()) == 18
    camera = measure_subspaces(
        policy_of_rank(2), contexts(), config(metric="camera.yaw", ranks=(3,))
    )
    assert camera.ranks[0].class_share is None


def test_faults_are_named(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"up to blocks\.1\.1, got 'blocks\.2\.0'"):
        measure_subspaces(policy_of_rank(2), contexts(), config(head="blocks.2.0"))
    single = contexts()._replace(episode=np.zeros(N, np.int64))
    with pytest.raises(ConfigError, match="at least 2 episodes, got 1"):
        measure_subspaces(policy_of_rank(2), single, config())
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", "device=cpu"]
    quick = ["frames=4", "count=10", "ranks=[0,2]", f"out={tmp_path}/r.json"]
    assert cli.run(["probe", "subspace", *arguments, *quick]) == 0
    report = SubspaceReport.read(tmp_path / "r.json")
    assert len(report.ranks) == 8 and report.n_windows == 6
    assert "dimensions; axes of" in capsys.readouterr().out
