"""The measurement runs, and says so where its peers are not there."""

import pytest

from benchmarks import sae

SMALL = ["--d", "16", "--width", "64", "--l0", "4", "--batch", "64", "--steps", "3"]


def test_without_peers_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sae.PEERS_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = sae.run([*SMALL, "--tokens", "2048"])
    assert result["ratio"] is None
    assert "not installed" in result["peer"]["missing"]
    for architecture in sae.PEERS:
        row = result["figures"][architecture]
        assert row["ours"]["activations_per_second"] > 0
        assert "missing" in row["peer"]


def test_a_python_that_cannot_run_them_is_named() -> None:
    found = sae._theirs("/bin/false", {}, {})
    assert "/bin/false could not run the peers" in found["missing"]
