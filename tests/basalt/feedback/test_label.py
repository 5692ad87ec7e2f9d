"""Labels by a synthetic teacher: the same settings give the same answers, and controls are printed with them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.teachers.labels import FILE, LABELS, LabelSet
from basalt.cli.main import run
from basalt.core.comparisons import Comparison, read_comparisons
from basalt.feedback.label import LabelConfig, label
from basalt.io.errors import ConfigError, RecordingError
from tests.support.clip_recordings import record_cave

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Config = Callable[..., LabelConfig]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("played")
    for seed in (100_001, 100_002):
        record_cave(root, seed, player="good", cave_from=30)
        record_cave(root, seed, player="bad")
    return root


@pytest.fixture
def config(recordings: Path, tmp_path: Path) -> Config:
    def make(out: str = "labels", **changes: object) -> LabelConfig:
        values = {"task": "find_cave", "recordings": str(recordings), "n": 60, "clip": 20}
        return LabelConfig(**{**values, "out": str(tmp_path / out), "progress": False, **changes})  # type: ignore[arg-type]

    return make


def without_times(comparisons: list[Comparison]) -> list[Comparison]:
    return [replace(one, created=NOON) for one in comparisons]


def test_labels_are_synthetic_answers_about_clips(config: Config, tmp_path: Path) -> None:
    made = label(config(teacher="oracle"))
    found = read_comparisons(tmp_path / "labels" / LABELS)
    assert len(found) == sum(made.answers.values()) == 60
    assert LabelSet.read(tmp_path / "labels" / FILE) == made
    assert {one.source for one in found} == {"synthetic"}
    assert {one.selector for one in found} == {"uniform", "event"}
    for one in found:
        assert one.left_start is not None and one.left_stop == one.left_start + 20
        entered = [
            side.agent == "good" and side.start is not None and side.start < 30 <= side.start + 20
            for side in (one.left, one.right)
        ]
        expected = "draw" if entered[0] == entered[1] else "left" if entered[0] else "right"
        assert one.winner == expected
    assert made.truth == 1.0
    assert {one.name for one in made.controls} == {"length", "start", "brightness", "seed"}
    length = next(one for one in made.controls if one.name == "length")
    assert length.accuracy == 0.5 and length.pairs == made.answers["left"] + made.answers["right"]


def test_equal_settings_give_equal_answers_and_another_seed_others(
    config: Config, tmp_path: Path
) -> None:
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        label(config(out, seed=seed))
    a, b, c = (read_comparisons(tmp_path / out / LABELS) for out in "abc")
    assert without_times(a) == without_times(b)
    assert [one.winner for one in a] != [one.winner for one in c]


def test_a_killed_labelling_is_made_again_and_a_finished_one_kept(
    config: Config, tmp_path: Path
) -> None:
    made = label(config())
    labels = tmp_path / "labels" / LABELS
    before = labels.read_bytes()
    assert label(config()) == made and labels.read_bytes() == before
    (tmp_path / "labels" / FILE).unlink()  # killed between the two files
    again = label(config())
    assert again == made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 61}, "made with n=60, not 61; use another out=FOLDER"),
        ({"teacher": "oracle"}, "made with teacher_name='mixed', not 'oracle'"),
        ({"seed": 3}, "made with seed=0, not 3"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(
    config: Config, changes: dict[str, object], message: str
) -> None:
    label(config())
    with pytest.raises(ConfigError, match=message):
        label(config(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "oracel"}, "teacher: unknown option 'oracel'; did you mean 'oracle'"),
        ({"n": 0}, "n: expected at least 1, got 0"),
        ({"uniform_share": 0.1}, r"uniform_share: expected at least 0\.2, got 0\.1"),
        ({"recordings": []}, "recordings: expected at least 1 value"),
    ],
)
def test_wrong_settings_are_named(config: Config, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_what_cannot_be_labelled_leaves_no_folder(config: Config, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="recordings: expected at least two recordings"):
        label(config(clip=12_000))
    assert not (tmp_path / "labels").exists()


def test_the_command_prints_the_controls(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"recordings={recordings}", f"out={tmp_path / 'out'}", "progress=false"]
    assert run(["feedback", "label", "task=find_cave", *where, "n=40", "clip=20"]) == 0
    printed = capsys.readouterr().out
    assert "40 answers by the synthetic teacher 'mixed' (find_cave, 4 episodes" in printed
    for name in ("length", "start", "brightness", "seed"):
        assert f"  {name} alone: " in printed
    assert run(["feedback", "merge", f"files={tmp_path / 'out' / LABELS}"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("40 comparisons\nfind_cave, synthetic, which did better?: ")
    assert run(["feedback", "lable"]) == 1
    assert "did you mean 'label'" in capsys.readouterr().err
    assert run(["feedback"]) == 0 and "merge" in capsys.readouterr().out
