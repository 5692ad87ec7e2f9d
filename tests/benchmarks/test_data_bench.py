"""`basalt bench data` measures what the formulas say, on a catalogue that training opens."""

import pytest

from basalt.cli import main as cli
from basalt.data.catalogue import load_catalogued
from benchmarks.data import full_quality, lengths, window_quality, write_synthetic


def test_the_synthetic_catalogue_has_all_plays_and_frames(tmp_path):
    counts = lengths(70, 3000)
    assert counts.sum() == 3000 and counts.min() >= 1
    write_synthetic(tmp_path / "plays.parquet", counts)
    episodes = load_catalogued(tmp_path / "plays.parquet", embedded=False)
    assert [len(one) for one in episodes] == counts.tolist()


def test_measured_shuffling_is_that_of_the_formulas():
    counts = lengths(120, 12_000)
    window, full = window_quality(counts, 4, 12), full_quality(counts, 4)
    for found in (window, full):
        assert found["neighbour_draws"] == pytest.approx(found["expected_neighbour_draws"], rel=0.1)
    assert window["same_play_share"] == pytest.approx(1 / 12, rel=0.2)


def test_a_wrong_number_is_refused(capsys):
    assert cli.run(["bench", "data", "--plays", "0"]) == 1
    assert "expected at least 1" in capsys.readouterr().err
