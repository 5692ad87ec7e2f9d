"""Grokking as it is known, and predictions that hold where they should."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from basalt.cli import main as cli
from basalt.probes.grokking.networks import NETWORKS, Summed
from basalt.probes.grokking.probe import GrokReport, RunResult, critical_size, make_report
from basalt.probes.grokking.training import Point, Task, train
from basalt.probes.settings import GrokConfig


def network(seed: int = 0, p: int = 53) -> Summed:
    torch.manual_seed(seed)
    return Summed(p)


def test_pairs_are_unordered_and_the_order_is_the_seeds() -> None:
    task = Task.make(53, 0)
    assert len(task.pairs) == 1431 and (task.pairs[:, 0] <= task.pairs[:, 1]).all()
    assert len({tuple(pair) for pair in task.pairs.tolist()}) == 1431
    assert torch.equal(task.answers, task.pairs.sum(1) % 53)
    assert torch.equal(task.pairs, Task.make(53, 0, random_labels=True).pairs)
    assert not torch.equal(task.pairs, Task.make(53, 1).pairs)
    random = Task.make(53, 0, random_labels=True).answers
    assert (random == task.answers).float().mean() < 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_what_their_formulas_say(name: str) -> None:
    torch.manual_seed(0)
    made = NETWORKS[name](7)
    pairs = Task.make(7, 0).pairs
    logits = made(pairs)
    assert logits.shape == (28, 7)
    torch.testing.assert_close(made(pairs[3:4]), logits[3:4], rtol=0, atol=1e-5)
    if isinstance(made, Summed):
        a, b = made.embedding[pairs[:, 0]], made.embedding[pairs[:, 1]]
        wanted = F.relu((a + b) @ made.inner) @ made.outer
        torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)
        with torch.no_grad():
            for weight in made.parameters():
                weight.mul_(2)
        torch.testing.assert_close(made(pairs), 2**made.DEGREE * logits, rtol=1e-4, atol=1e-4)


def test_it_memorises_first_and_generalises_later() -> None:
    """80% of the pairs: fitted within 150 steps, held-out accuracy below a tenth then, and above 99% at 1,000."""
    found = train(network(), Task.make(53, 0), 1144, steps=1000, lr=3e-3, weight_decay=1.0)
    fitted = next(point for point in found.curve if point.train == 1.0)
    assert fitted.step <= 200 and fitted.test < 0.1
    assert found.curve[-1].test > 0.99 and found.curve[-1].step == 1000


@pytest.mark.long
def test_it_grokks_late_and_ungrokks_below_the_critical_size() -> None:
    made, task = network(), Task.make(53, 0)
    found = train(made, task, 715, steps=5000, lr=3e-3, weight_decay=1.0)
    at_1000 = next(point for point in found.curve if point.step >= 1000)
    assert at_1000.train == 1.0 and at_1000.test < 0.2 and found.curve[-1].test >= 0.99
    weights = {name: x.clone() for name, x in made.state_dict().items()}
    for n, low, high in ((150, 0.0, 0.05), (900, 0.99, 1.0)):
        made.load_state_dict(weights)
        ends = train(made, task, n, steps=4000, lr=3e-3, weight_decay=1.0).curve[-1].test
        assert low <= ends <= high


@pytest.mark.long
def test_memorising_more_is_less_efficient() -> None:
    task = Task.make(53, 0, random_labels=True)
    efficiency = []
    for n in (200, 500):
        found = train(network(), task, n, steps=4000, lr=3e-3, weight_decay=1.0)
        assert found.curve[-1].train == 1.0
        efficiency.append(found.margin / found.norm**3)
    assert efficiency[0] > 2 * efficiency[1]


def result(kind: str, n: int, *, efficiency: float = 2.0, test: float = 0.0, decay: float = 1.0, late: bool = False) -> RunResult:  # fmt: skip
    rises = 900 if late else 100
    curve = [
        Point(step=step, train=float(step >= 100), test=test * (step >= rises))
        for step in range(0, 1100, 100)
    ]
    return RunResult(
        kind=kind, seed=0, n=n, weight_decay=decay, curve=tuple(curve), margin=1, norm=1, efficiency=efficiency,
    )  # type: ignore[arg-type]  # fmt: skip


def test_the_critical_size_is_where_the_efficiencies_cross() -> None:
    flat = [result("generalise", n) for n in (900, 1300)]
    # 1000 / n crosses 2 at 500, and is linear in logarithms.
    falls = [result("memorise", n, efficiency=1000 / n) for n in (200, 900, 400)]
    assert critical_size([*flat, *falls]) == pytest.approx(500)
    assert critical_size([*flat, *falls[:1]]) is None


def test_predictions_hold_where_they_should() -> None:
    cfg = GrokConfig(seeds=(0,))
    base = [
        *(result("memorise", n, efficiency=1000 / n) for n in (200, 400, 900)),
        *(result("generalise", n, test=1.0) for n in (900, 1300)),
        *(result("ungrok", 150, test=0.01, decay=decay) for decay in (0.5, 2)),
        *(result("ungrok", 900, test=0.99, decay=decay) for decay in (0.5, 2)),
        result("ungrok", 500, test=0.5),
    ]
    held = make_report(cfg, [*base, result("scratch", 500, test=0.5, late=True)])
    assert [one.held for one in held.predictions] == [(True,)] * 4
    assert "critical number of pairs: 500" in held.lines()[0]
    early = make_report(cfg, [*base, result("scratch", 500, test=0.5)])
    assert [one.held[0] for one in early.predictions] == [True, True, True, False]
    far = make_report(cfg, [*base, result("scratch", 900, test=0.5, late=True)])
    assert not far.predictions[3].held[0]
    decays = [*base, result("ungrok", 900, test=0.8, decay=8), result("scratch", 500)]
    assert not make_report(cfg, decays).predictions[2].held[0]
    flat = [run.model_copy(update={"efficiency": 2.0}) for run in base]
    assert [one.held[0] for one in make_report(cfg, flat).predictions[:2]] == [False, False]


def test_the_command_resumes_and_refuses_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["memorise=[20,60]", "generalise=[80]", "source=80", "scratch=[40]", "ungrok=[20]"]
    grok = ["probe", "grok", "p=13", "steps=30", "seeds=[3]", *sizes, f"out={tmp_path}/g"]
    assert cli.run(grok) == 0
    report = GrokReport.read(tmp_path / "g" / "report.json")
    assert len(report.runs) == 7 and report.seeds == (3,)
    first = {file: file.stat().st_mtime_ns for file in (tmp_path / "g" / "runs").iterdir()}
    assert cli.run([*grok, "decays=[0.5,1.0,2.0,4.0]"]) == 0
    after = {file: file.stat().st_mtime_ns for file in (tmp_path / "g" / "runs").iterdir()}
    assert len(after) == 8 and first.items() <= after.items()
    capsys.readouterr()
    for wrong, words in (
        ("lr=0.1", "made with lr=0.003, not lr=0.1"),
        ("network=smal", "unknown network 'smal'; did you mean 'small'"),
        ("ungrok=[91]", "ungrok: expected numbers of pairs from 1 to 90, got [91]"),
        ("source=81", "source: expected one of generalise=[80], got 81"),
    ):
        assert cli.run([*grok, wrong]) == 1
        assert words in capsys.readouterr().err
