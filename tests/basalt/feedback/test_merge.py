"""Files of answers are checked and joined: ours of any version and form, and those of other programs."""

import csv
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basalt.core.comparisons import ComparisonError, read_comparisons, write_comparisons
from basalt.feedback.merge import MergeConfig, merge
from basalt.io.errors import BasaltError, ConfigError
from tests.support.clip_recordings import record_cave
from tests.support.synthetic_comparisons import one_comparison

HEADER = ["query_id", "label", "start_indices_1", "end_indices_1", "start_indices_2", "end_indices_2"]  # fmt: skip


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of 30 steps, and one of 40, in order of path."""
    root = tmp_path_factory.mktemp("played")
    record_cave(root, 100_001, player="a", steps=30)
    record_cave(root, 100_001, player="b", steps=30)
    record_cave(root, 100_002, player="a", steps=40)
    return root


def label_csv(path: Path, *rows: list[Any], more: tuple[str, ...] = ()) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*HEADER, *more], *rows])
    return path


def read(path: Path, recordings: Path) -> list[Any]:
    return list(merge(MergeConfig(files=str(path), recordings=str(recordings))).comparisons)  # type: ignore[arg-type]


def test_flat_indices_count_the_steps_of_all_recordings(tmp_path: Path, recordings: Path) -> None:
    path = label_csv(
        tmp_path / "label.csv", ["q1", "0", 5, 25, 30, 50], ["q2", 1, 60, 100, 29, 30], ["q3", "-1", 0, 5, 95, 100]
    )  # fmt: skip
    first, second, third = read(path, recordings)
    assert (first.left.agent, first.left.start, first.left.stop) == ("a", 5, 25)
    assert (first.right.agent, first.right.start, first.right.stop) == ("b", 0, 20)
    assert (second.left.seed, second.left.start, second.left.stop) == (100_002, 0, 40)
    assert (second.right.seed, second.right.start, second.right.stop) == (100_001, 29, 30)
    assert [one.winner for one in (first, second, third)] == ["left", "right", "draw"]
    assert {one.source for one in (first, second, third)} == {"human"}


def test_named_videos_and_all_annotators_are_read_and_their_names_are_not_kept(
    tmp_path: Path, recordings: Path
) -> None:
    label = "{'7': {'0': 1}, 'bob': {'0': 'left'}}"
    path = label_csv(
        tmp_path / "label.csv",
        ["q1", label, 0, 20, 10, 30, "find_cave-100002-a.mp4", "find_cave-100001-a", "2024-01-02 03:04:05", 0],
        ["q2", "", 0, 20, 10, 30, "find_cave-100002-a", "find_cave-100001-a", "", 2],
        ["q3", "", 0, 20, 10, 30, "find_cave-100002-a", "find_cave-100001-a", "", 0],
        more=("video_1", "video_2", "completion_time", "skip_num"),
    )  # fmt: skip
    found = read(path, recordings)
    assert [one.winner for one in found] == ["right", "left", "skip"]
    assert (found[0].seed, found[0].right_seed) == (100_002, 100_001)
    assert found[0].created.isoformat() == "2024-01-02T03:04:05+00:00"
    assert len({one.rater for one in found}) == 3 and found[2].rater is None
    assert "bob" not in str(found)


def test_several_questions_are_kept_apart(tmp_path: Path, recordings: Path) -> None:
    path = label_csv(tmp_path / "label.csv", ["q1", "{'7': {'0': 0, '1': 1}}", 0, 20, 30, 50])
    assert [(one.question, one.winner) for one in read(path, recordings)] == [
        ("question 0", "left"),
        ("question 1", "right"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["q1", "2", 0, 20, 30, 50], "row 1: label: expected one of 0, 1, .*got '2'"),
        (["q1", "{oops", 0, 20, 30, 50], "row 1: label: expected an answer, or answers by user"),
        (["q1", "{" * 5_000, 0, 20, 30, 50], "row 1: label: expected an answer"),
        (["q1", "{" + "1:1," * 5_000 + "}", 0, 20, 30, 50], "row 1: label: expected at most 10000"),
        (["q1", "0", "nan", 20, 30, 50], "start_indices_1, end_indices_1: expected whole numbers"),
        (["q1", "0", "9" * 5_000, 20, 30, 50], "expected whole numbers"),
        (["q1", "0", -1, 20, 30, 50], "expected steps inside one recording, got -1, 20"),
        (["q1", "0", 20, 20, 30, 50], "expected steps inside one recording, got 20, 20"),
        (["q1", "0", 20, 31, 30, 50], "expected steps inside one recording, got 20, 31"),
        (["q1", "0", 0, 20, 90, 101], "start_indices_2, .*expected steps inside one recording"),
        (["q0", "0", 0, 20, 30, 50], "row 1: query_id: 'q0' was in row 0 already"),
    ],
)  # fmt: skip
def test_a_bad_row_is_one_line(
    tmp_path: Path, recordings: Path, row: list[Any], message: str
) -> None:
    good = ["q0", "0", 0, 20, 30, 50]
    rows = [good, row] if row[0] == "q0" else [row]
    message = message.replace("row 1: query_id", "row 2: query_id").replace("row 0", "row 1")
    with pytest.raises(ComparisonError, match=message) as caught:
        read(label_csv(tmp_path / "label.csv", *rows), recordings)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "video", ["../../etc/passwd", "/etc/passwd", "no", "find_cave-100001-a/.."]
)
def test_a_path_in_a_file_opens_nothing(tmp_path: Path, recordings: Path, video: str) -> None:
    path = label_csv(
        tmp_path / "label.csv", ["q1", "0", 0, 20, 0, 20, video, "find_cave-100001-a"], more=("video_1", "video_2")
    )  # fmt: skip
    with pytest.raises(ComparisonError, match="video_1: expected the path of a recording"):
        read(path, recordings)


@given(
    st.lists(
        st.lists(st.text(max_size=30) | st.integers(-5, 120), min_size=6, max_size=6), max_size=4
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_csv_gives_answers_or_one_error(
    tmp_path: Path, recordings: Path, rows: list[list[Any]]
) -> None:
    try:
        path = label_csv(tmp_path / "label.csv", *rows)
    except (UnicodeEncodeError, csv.Error):
        return
    try:
        found = read(path, recordings)
    except BasaltError as err:
        assert str(path) in str(err)
    else:
        write_comparisons(tmp_path / "c.parquet", found)
        assert read_comparisons(tmp_path / "c.parquet") == found


def test_their_files_need_recordings_and_every_column(tmp_path: Path, recordings: Path) -> None:
    path = label_csv(tmp_path / "label.csv", ["q1", "0", 0, 20, 30, 50])
    with pytest.raises(ConfigError, match=r"recordings: .*label\.csv is about clips"):
        merge(MergeConfig(files=str(path)))  # type: ignore[arg-type]
    path.write_text("query_id,label\nq1,0\n")
    with pytest.raises(ComparisonError, match="column 'start_indices_1' is missing"):
        read(path, recordings)


def test_recordings_of_one_name_in_two_folders_are_counted_and_are_not_confused(
    tmp_path: Path, recordings: Path
) -> None:
    record_cave(tmp_path / "other", 100_001, player="a", steps=20)
    folders = (str(tmp_path / "other"), str(recordings))
    flat = label_csv(tmp_path / "flat.csv", ["q1", "0", 0, 20, 20, 40])
    (one,) = merge(MergeConfig(files=str(flat), recordings=folders)).comparisons  # type: ignore[arg-type]
    assert one.left_episode != one.right_episode and (one.left.stop, one.right.stop) == (20, 20)
    named = label_csv(
        tmp_path / "named.csv", ["q1", "0", 0, 20, 0, 20, "find_cave-100001-a", "find_cave-100001-b"],
        more=("video_1", "video_2"),
    )  # fmt: skip
    with pytest.raises(ComparisonError, match=r"video_1: .* in one folder .* of 2 folders"):
        merge(MergeConfig(files=str(named), recordings=folders))  # type: ignore[arg-type]


def test_recordings_of_test_seeds_and_of_several_worlds_are_refused(
    tmp_path: Path, recordings: Path
) -> None:
    path = label_csv(tmp_path / "label.csv", ["q1", "0", 0, 20, 30, 50])
    record_cave(tmp_path / "held", 230_001)
    with pytest.raises(ConfigError, match="230001 is a held-out seed"):
        read(path, tmp_path / "held")
    record_cave(tmp_path / "two", 100_001)
    record_cave(tmp_path / "two", 100_002, world_version="2")
    with pytest.raises(ComparisonError, match="one task, world and version, got 2"):
        read(path, tmp_path / "two")


def test_files_are_joined_and_an_answer_is_in_one_of_them_only(
    tmp_path: Path, recordings: Path
) -> None:
    ours = tmp_path / "ours.csv"
    write_comparisons(ours, [one_comparison("a", "b", "left"), one_comparison("a", "b", "skip", 1)])
    theirs = label_csv(tmp_path / "label.csv", ["q1", "0", 0, 20, 30, 50])
    out = tmp_path / "all.parquet"
    config = {"files": [str(ours), str(theirs)], "recordings": str(recordings), "out": str(out)}
    merged = merge(MergeConfig(**config))  # type: ignore[arg-type]
    assert read_comparisons(out) == list(merged.comparisons)
    assert merged.lines()[:2] == [
        f"3 comparisons in {out}",
        "find_cave, human, which did better?: 2 left, 1 skip; 0 checks of raters",
    ]
    with pytest.raises(ComparisonError, match=r"'c0' is in .*ours\.csv, too"):
        merge(MergeConfig(files=[str(ours), str(out)]))  # type: ignore[arg-type]


def test_a_biased_rater_is_reported(tmp_path: Path) -> None:
    answers = []
    for n in range(20):
        first = replace(
            one_comparison("a", "b", "left"),
            comparison_id=f"c{n}",
            left_episode=sha256(b"l%d" % n).hexdigest(),
            right_episode=sha256(b"r%d" % n).hexdigest(),
        )
        again = first.with_sides(first.right, first.left)
        answers += [first, replace(again, comparison_id=f"d{n}", pair_of=f"c{n}")]
    path = tmp_path / "c.json"
    write_comparisons(path, answers)
    lines = merge(MergeConfig(files=str(path))).lines()  # type: ignore[arg-type]
    assert "  left side: 100.0% of 40 (95% 91.2% to 100.0%)" in lines
    assert "  same answer to a repeated pair: 0.0% of 20 (95% 0.0% to 16.1%)" in lines
