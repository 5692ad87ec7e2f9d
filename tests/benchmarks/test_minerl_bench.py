"""The benchmark of the client, small."""

import json

from basalt.cli.bench import main


def test_the_benchmark_reports_what_it_measured(capsys):
    assert main(["minerl", "--steps", "20"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"name", "figures", "peer", "ratio", "machine"}
    for figures in report["figures"].values():
        assert figures["steps_per_s"] > 0 and figures["client_cpu_ms"] > 0
    assert report["ratio"] > 0 and "640x360" in report["peer"]
