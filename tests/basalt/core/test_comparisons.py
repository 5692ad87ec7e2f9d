"""Comparisons travel as Parquet and come back as they were."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from basalt.core.comparisons import (
    SCHEMA,
    Comparison,
    ComparisonError,
    read_comparisons,
    to_table,
    write_comparisons,
)
from basalt.io.errors import WriteError

WHOLE = Comparison(
    comparison_id="c1",
    study="demo",
    task="find_cave",
    world="luanti",
    world_version="5.6.1",
    seed=2**62,
    left_agent="bc",
    right_agent="wälker 🪨",
    left_episode="0" * 64,
    right_episode="f" * 64,
    winner="both_bad",
    source="human",
    created=datetime(2026, 11, 23, 12, 0, 0, 123456, UTC),
    rater="r1",
    justification='neither, "really";\nsee the end',
    seconds=41.5,
)
STRETCHES = replace(
    WHOLE, comparison_id="c2", winner="left", source="model", rater=None, seconds=None,
    left_start=0, left_stop=40, right_start=20, right_stop=60,
)  # fmt: skip


def test_comparisons_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "comparisons.parquet"
    assert write_comparisons(path, [WHOLE, STRETCHES]) == 2
    assert read_comparisons(path) == [WHOLE, STRETCHES]
    assert [one.name for one in path.parent.iterdir()] == ["comparisons.parquet"]


def test_no_comparisons_are_a_valid_file(tmp_path: Path) -> None:
    write_comparisons(tmp_path / "none.parquet", [])
    assert read_comparisons(tmp_path / "none.parquet") == []


def test_other_programs_read_named_and_typed_columns(tmp_path: Path) -> None:
    write_comparisons(tmp_path / "c.parquet", [WHOLE])
    frame = pq.read_table(tmp_path / "c.parquet").to_pandas()
    assert frame.loc[0, "winner"] == "both_bad"
    assert str(frame["created"].dtype).endswith("UTC]")


def broken(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def test_files_that_are_not_comparisons_are_refused(tmp_path: Path) -> None:
    good = to_table([WHOLE])
    path = tmp_path / "x.parquet"
    with pytest.raises(ComparisonError, match="no such file"):
        read_comparisons(path)
    path.write_bytes(b"not parquet")
    with pytest.raises(ComparisonError, match="expected a Parquet file"):
        read_comparisons(path)
    for table, message in (
        (pa.table({"a": [1]}), "got a file without a version"),
        (
            good.replace_schema_metadata({"basalt-comparisons": "2"}),
            "expected comparisons of version 1, got version 2",
        ),
        (good.drop_columns(["winner"]), "column 'winner' is missing"),
        (
            good.set_column(5, "seed", pa.array([1.5])),
            "column 'seed': expected int64, got double",
        ),
        (
            good.set_column(10, "winner", pa.array(["me"])),
            "row 1: winner: expected one of left, .*, got 'me'",
        ),
        (
            good.set_column(11, "source", pa.array(["oracle"])),
            "row 1: source: expected one of human, .*, got 'oracle'",
        ),
        (
            pa.table(
                [
                    good[name] if name != "task" else pa.array([None], pa.string())
                    for name in SCHEMA.names
                ],
                names=SCHEMA.names,
                metadata=SCHEMA.metadata,
            ),
            "row 1: task: expected a value",
        ),
    ):
        if not table.schema.metadata:
            assert "without a version" in message
        with pytest.raises(ComparisonError, match=message):
            read_comparisons(broken(table, path))


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="file: expected a folder, got a file"):
        write_comparisons(tmp_path / "file" / "c.parquet", [WHOLE])
