"""`basalt bench patching` scores every method against patching every node, and against a circuit that is known."""

import json

import pytest

from basalt.cli import main as cli


def test_methods_are_scored_on_the_planted_circuit(capsys):
    arguments = ["--pairs", "2", "--frames", "6", "--draws", "1", "--sets", "16"]
    assert cli.run(["bench", "patching", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"name", "figures", "peer", "ratio", "machine"}
    figures = found["figures"]
    methods = figures["planted forward"]["methods"]
    assert methods["exhaustive"]["auroc"] > 0.9
    assert methods["exhaustive"]["relative_cost"] == pytest.approx(1)
    assert methods["random"]["auroc"] < 0.8 < methods["ig"]["auroc"]
    nodes = figures["random small policy"]["nodes"]
    assert nodes == 6 * 2 * (4 * 5 + 1)
    assert found["ratio"] == nodes / 10 / 50
