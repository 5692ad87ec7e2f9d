"""`basalt bench search` finds what comparing everything finds, and says so of what it measured."""

import json

import numpy as np
import pytest

from basalt.cli import main as cli
from benchmarks.search import exact, squares, synthetic_index, walk

SMALL = ["--frames", "2000", "--width", "64", "--length", "200", "--queries", "20"]


def result(capsys, arguments):
    assert cli.run(["bench", "search", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_with_all_frames_as_candidates_the_recall_is_whole(capsys):
    found = result(capsys, [*SMALL, "--candidates", "2000", "--components", "2"])
    assert set(found) == {"name", "figures", "peer", "ratio", "machine"}
    figures = found["figures"]
    assert figures["frames"] == 2000 and figures["width"] == 64 and figures["components"] == 2
    assert figures["recall_at_1"] == 1 and figures["recall_at_1_interval"][0] == pytest.approx(
        0.839
    )


def test_few_candidates_in_few_components_find_less(capsys):
    figures = result(capsys, [*SMALL, "--candidates", "1", "--components", "1"])["figures"]
    assert figures["recall_at_1"] < 1


def test_an_index_is_measured_on_its_own_frames(capsys, tmp_path):
    synthetic_index(tmp_path / "index", 1000, 64, 200, 8)
    figures = result(capsys, ["--index", str(tmp_path / "index"), "--queries", "5"])["figures"]
    assert figures["frames"] == 1000 and figures["build_cpu_s"] is None


def test_the_exact_search_knows_its_own_frames_and_what_is_forbidden(tmp_path):
    index = synthetic_index(tmp_path / "index", 600, 64, 200, 8)
    query = walk(1, 200, 64)[7]
    lengths = squares(index)
    assert exact(index, lengths, query) == 207
    assert not 150 <= exact(index, lengths, query, [(150, 260)]) < 260


def test_synthetic_latents_move_slowly_and_have_length_one():
    latents = walk(3, 300, 64).astype(np.float32)
    assert np.linalg.norm(latents, axis=1) == pytest.approx(np.ones(300), abs=2e-3)
    near = np.linalg.norm(latents[1:] - latents[:-1], axis=1).mean()
    assert near < np.linalg.norm(latents[200:] - latents[:-200], axis=1).mean()


def test_a_wrong_number_is_refused(capsys):
    assert cli.run(["bench", "search", "--frames", "0"]) == 1
    assert "expected at least 1" in capsys.readouterr().err
