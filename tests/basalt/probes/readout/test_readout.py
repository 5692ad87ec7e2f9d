"""Read-outs of a policy's latents describe recordings of other worlds, with known error rates."""

from pathlib import Path

import pytest

from basalt.cli.main import run as basalt
from basalt.io.errors import ConfigError
from basalt.probes.readout.fit import readout
from basalt.probes.settings import ReadoutConfig
from leaderboard.oversight.expert import Readouts
from tests.support.three_players import record
from tests.support.tiny_policy import tiny_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in which a cave has another colour, and a policy of random weights, which sees colours."""
    folder = tmp_path_factory.mktemp("readout")
    for seed in (100_001, 100_002, 100_003):
        record(folder / "fitted", seed, steps=100, cave_steps=50, cave_colour=(250, 250, 60))
    record(folder / "described", 100_101, steps=100, cave_steps=50, cave_colour=(250, 250, 60))
    tiny_run(folder / "policy")
    return folder


def config(folder: Path, out: Path, **settings: object) -> ReadoutConfig:
    given = {
        "policy": str(folder / "policy"), "task": "find_cave", "training": str(folder / "fitted"),
        "recordings": str(folder / "described"), "out": str(out), "device": "cpu", "progress": False,
    }  # fmt: skip
    return ReadoutConfig(**{**given, **settings})


def test_they_see_what_the_policy_sees(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    found = readout(config(folder, tmp_path / "expert.json"))
    assert Readouts.read(tmp_path / "expert.json") == found
    assert (found.seeds, found.fitted, list(found.rates)) == (
        (100_001, 100_002, 100_003),
        3,
        ["in_cave"],
    )
    rates = found.rates["in_cave"]
    assert (rates.states, rates.share, rates.is_number) == (100, pytest.approx(49 / 100), False)
    assert rates.seen is not None and rates.seen > 0.6
    assert rates.imagined is not None and rates.imagined < 0.2
    (described,) = found.recordings.values()
    # It says so a moment later, since it looks back over half a second.
    assert described.last == 100 and 51 <= described.changes["in_cave"][0] <= 65
    fewer = readout(config(folder, tmp_path / "weak.json", limit=1))
    assert fewer.fitted == 1 and len(fewer.seeds) == 1


def test_worlds_that_they_were_fitted_to_are_refused(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    both = config(folder, tmp_path / "expert.json", recordings=str(folder / "fitted"))
    with pytest.raises(
        ConfigError, match="expected other worlds than in training, got 3 of the same"
    ):
        readout(both)
    with pytest.raises(
        ConfigError, match="training: expected recordings of make_waterfall, found none"
    ):
        readout(config(folder, tmp_path / "expert.json", task="make_waterfall"))
    assert not (tmp_path / "expert.json").exists()
    words = ["policy=none", "task=find_cave", f"training=[{tmp_path}]", f"recordings=[{tmp_path}]"]
    assert basalt(["probe", "readout", *words]) == 1
    assert capsys.readouterr().err.startswith("basalt probe: ")
