"""Films for the docs: which frames they show, and that the film can be opened."""

from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.synthetic import write_episode
from tools.gallery import SIZE, frames_shown, main


def test_a_film_shows_the_end_at_twice_its_speed() -> None:
    shown = frames_shown(states=1000, fps=20, seconds=18, speed=2, pictures=10)
    assert (shown.start, shown[-1], shown.step, len(shown)) == (639, 999, 4, 91)


@given(st.integers(1, 500), st.floats(0, 60), st.integers(1, 8), st.sampled_from([5, 10, 20]))
def test_a_film_always_ends_with_the_last_frame(
    states: int, seconds: float, speed: int, pictures: int
) -> None:
    shown = frames_shown(states, 20, seconds, speed, pictures)
    assert len(shown) >= 1 and shown.start >= 0 and shown[-1] == states - 1


def test_the_command_writes_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = write_episode(tmp_path, 1, steps=40)
    main([str(recording.stem), str(tmp_path / "film.webp"), "--seconds", "1"])
    assert "6 pictures" in capsys.readouterr().out
    opened, film = cv2.imreadanimation(str(tmp_path / "film.webp"))
    assert opened and film.frames[0].shape[:2] == (SIZE[1], SIZE[0])


def test_a_missing_recording_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nothing"), str(tmp_path / "film.webp")])
    assert capsys.readouterr().err.count("\n") == 1
