"""Controls: what predicts the answers is seen, and what does not comes out at a half."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basalt.core.comparisons import Comparison, Side
from basalt.core.controls import clip_brightness, control, controls
from basalt.io.errors import RecordingError
from tests.support.clip_recordings import record_cave
from tests.support.synthetic_comparisons import one_comparison

PAIRS = 2_000


def test_a_number_that_decides_is_right_in_either_direction_and_one_that_says_nothing_is_not() -> (
    None
):
    rng = np.random.default_rng(0)
    differences = rng.normal(size=PAIRS)
    for won in (differences > 0, differences < 0):
        assert control("x", differences, won).accuracy == 1.0
    noise = control("x", differences, rng.random(PAIRS) < 0.5)
    assert noise.accuracy == pytest.approx(0.5, abs=0.03)
    assert noise.interval[0] < 0.5 < noise.interval[1]
    assert control("x", np.zeros(PAIRS), differences > 0).accuracy == 0.5


def test_without_decided_pairs_nothing_is_known() -> None:
    found = controls([one_comparison("a", "b", "draw")], {})
    assert [one.name for one in found] == ["length", "start", "brightness", "seed"]
    assert all((one.accuracy, one.interval, one.pairs) == (0.5, (0, 1), 0) for one in found)


def clips(number: int, rng: np.random.Generator) -> tuple[Side, Side]:
    sides = []
    for place in (0, 1):
        start = int(rng.integers(500))
        sides.append(
            Side("a", 100_000 + int(rng.integers(6)), f"{2 * number + place:064x}", start, start + 64)
        )  # fmt: skip
    return sides[0], sides[1]


def labelled(by: str) -> tuple[list[Comparison], dict[Side, float]]:
    """Answers that one number decides, and the clips' brightness."""
    rng = np.random.default_rng(1)
    found, brightness = [], {}
    for number in range(PAIRS):
        left, right = clips(number, rng)
        for side in (left, right):
            brightness[side] = float(rng.normal())
        value = {
            "start": lambda side: side.start,
            "brightness": lambda side: brightness[side],
            "seed": lambda side: side.seed % 3,
        }[by]
        ahead = value(left) - value(right)
        winner = "left" if ahead > 0 or (ahead == 0 and rng.random() < 0.5) else "right"
        one = replace(one_comparison("a", "a", winner), comparison_id=str(number))
        found.append(one.with_sides(left, right))
    return found, brightness


@pytest.mark.parametrize("by", ["start", "brightness", "seed"])
def test_the_number_that_decided_the_answers_is_found_and_no_other(by: str) -> None:
    found = {one.name: one for one in controls(*labelled(by))}
    assert found["length"].accuracy == 0.5  # all clips are as long
    assert found[by].accuracy > 0.8
    for name in {"start", "brightness", "seed"} - {by}:
        assert found[name].accuracy == pytest.approx(0.5, abs=0.05)
    assert str(found[by]).startswith(f"{by} alone: ")


def test_longer_clips_that_win_are_seen() -> None:
    rng = np.random.default_rng(2)
    found = []
    for number in range(200):
        left, right = clips(number, rng)
        left = replace(left, stop=left.start + int(rng.integers(10, 100)))  # type: ignore[operator]
        winner = "left" if left.stop - left.start > 64 else "right"  # type: ignore[operator]
        one = replace(one_comparison("a", "a", winner), comparison_id=str(number))
        found.append(one.with_sides(left, right))
    length = next(one for one in controls(found) if one.name == "length")
    assert length.accuracy > 0.98


def test_checks_of_raters_are_left_out() -> None:
    one = replace(one_comparison("a", "b", "left"), gold="left", left_start=0, left_stop=1, right_start=0, right_stop=1)  # fmt: skip
    assert all(found.pairs == 0 for found in controls([one]))


def test_brightness_is_that_of_the_frames_in_the_clip(tmp_path: Path) -> None:
    shades = [40] * 40 + [200] * 41
    video = record_cave(tmp_path, 100_001, steps=80, grey=shades).video_path
    whole = Side("a", 1, "0" * 64)
    dark, bright, brief = (
        replace(whole, start=a, stop=b) for a, b in ((0, 40), (40, 80), (45, 47))
    )
    found = clip_brightness(video, [whole, dark, bright, brief])
    assert found[dark] == pytest.approx(40, abs=4)
    assert found[bright] == pytest.approx(200, abs=4)
    assert found[brief] == pytest.approx(200, abs=4)  # no key frame in it: the one before
    assert 40 < found[whole] < 200
    (tmp_path / "no.mp4").write_bytes(b"no")
    with pytest.raises(RecordingError, match="not a video"):
        clip_brightness(tmp_path / "no.mp4", [dark])
