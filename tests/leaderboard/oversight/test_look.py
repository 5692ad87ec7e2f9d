"""The judge that learned: its regression has known answers, it has no side, and it is kept from what it has seen."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from basalt.cli.main import run as basalt
from basalt.io.errors import ConfigError, RecordingError
from leaderboard.oversight.look import PIXELS, LearnConfig, Look, learn, logistic, see
from leaderboard.oversight.run import RunConfig, run
from tests.support.three_players import record

BRIGHT = (240, 240, 120)


def test_a_regression_of_one_number_has_the_odds_as_its_answer() -> None:
    x, positive = np.ones((4, 1)), np.array([True, True, True, False])
    assert logistic(x, positive, 1e-9) == pytest.approx([math.log(3)], abs=1e-6)
    # The gradient vanishes: 3 (1 - p) - p = w for a penalty of 1.
    (weight,) = logistic(x, positive, 1.0)
    chance = 1 / (1 + math.exp(-weight))
    assert 3 * (1 - chance) - chance == pytest.approx(weight, abs=1e-9)


def test_more_pixels_than_pairs_change_nothing() -> None:
    rng = np.random.default_rng(0)
    x, positive = rng.standard_normal((6, 3)), np.array([True, False, True, True, False, False])
    turned, _ = np.linalg.qr(rng.standard_normal((50, 3)))
    wide = logistic(x @ turned.T, positive, 0.5)
    assert wide @ turned == pytest.approx(logistic(x, positive, 0.5), abs=1e-6)
    assert np.linalg.norm(wide) == pytest.approx(np.linalg.norm(wide @ turned), abs=1e-6)


def test_eyes_take_pictures_only() -> None:
    _, jpeg = cv2.imencode(".jpg", np.full((180, 320, 3), 255, np.uint8))
    assert see(jpeg.tobytes()) == pytest.approx(np.full(PIXELS, 0.5), abs=0.01)
    with pytest.raises(RecordingError, match="expected a JPEG"):
        see(b"\x00" * 100)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Recordings to learn from and others to judge: a cave is bright, and one of two players ends in it."""
    folders = (tmp_path_factory.mktemp("learned"), tmp_path_factory.mktemp("judged"))
    for folder, first, count in zip(folders, (100_001, 100_101), (6, 3), strict=True):
        for seed in range(first, first + count):
            for player, steps_in_cave in (("good", 10), ("poor", 0)):
                record(
                    folder / player, seed, player=player, steps=24, cave_steps=steps_in_cave,
                    cave_colour=BRIGHT,
                )  # fmt: skip
    return folders


def config(recordings: Path, out: Path, **settings: object) -> LearnConfig:
    given = {
        "task": "find_cave",
        "recordings": str(recordings),
        "truth": "success",
        "frames": [4, 1],
        "out": str(out),
    }
    return LearnConfig(**{**given, "progress": False, **settings})


def test_it_learns_to_look_and_is_the_same_in_both_orders(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned, judged = folders
    look = learn(config(learned, tmp_path / "look.json"))
    assert Look.read(tmp_path / "look.json") == look
    assert [(one.frames, one.right) for one in look.heads] == [(1, 6), (4, 6)]
    assert "4 frames: right in 1.000 (0.61 to 1.00) of the pairs of worlds left out" in look.lines()
    words = [
        "oversight", "run", "task=find_cave", f"recordings={judged}", "truth=[success]", "judges=[learned]",
        f"eyes={tmp_path / 'look.json'}", "arms=[floor,debate]", "look=null", "progress=false",
    ]  # fmt: skip
    assert basalt([*words, "frames=4", f"out={tmp_path / 'run'}"]) == 0
    assert "debate" in capsys.readouterr().out
    made = run(RunConfig(**_settings(judged, tmp_path, frames=4, out=str(tmp_path / "again"))))
    floor = next(row for row in made.tables["success"][0].rows if row.arm == "floor")
    assert (floor.accuracy.hits, floor.accuracy.trials) == (3, 3)
    assert floor.consistency.value == 1 and floor.none.hits == 0
    blind = run(RunConfig(**_settings(judged, tmp_path, frames=0, out=str(tmp_path / "blind"))))
    assert blind.tables["success"][0].rows[0].none.hits == 3  # without frames it cannot tell


def _settings(recordings: Path, folder: Path, **settings: object) -> dict[str, object]:
    return {
        "task": "find_cave", "recordings": str(recordings), "truth": ["success"], "judges": ["learned"], "arms": ["floor"],
        "eyes": str(folder / "look.json"), "progress": False, **settings,
    }  # fmt: skip


def test_worlds_that_it_has_seen_and_other_tasks_are_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    learned, judged = folders
    look = learn(config(learned, tmp_path / "look.json", frames=[1]))
    with pytest.raises(ConfigError, match="eyes: expected ones that have not seen the worlds"):
        run(RunConfig(**_settings(learned, tmp_path, out=str(tmp_path / "run"))))
    look.model_copy(update={"task": "make_waterfall"}).write(tmp_path / "look.json")
    with pytest.raises(ConfigError, match="eyes: expected ones trained on find_cave"):
        run(RunConfig(**_settings(judged, tmp_path, out=str(tmp_path / "run"))))
    with pytest.raises(ConfigError, match="judges: learned needs what it has learned"):
        RunConfig(task="find_cave", judges=["learned"])
    with pytest.raises(ConfigError, match="expected pairs of 5 worlds or more, got 3"):
        learn(config(judged, tmp_path / "other.json"))
    (tmp_path / "look.json").write_text('{"format": "basalt-look"}')
    with pytest.raises(ConfigError):
        run(RunConfig(**_settings(judged, tmp_path, out=str(tmp_path / "run"))))
