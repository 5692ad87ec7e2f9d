"""Comparisons travel as Parquet, CSV or JSON and come back as they were; a bad file is one clear error."""

import csv
import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basalt.core import comparisons as module
from basalt.core.comparisons import (
    SCHEMA,
    SUFFIXES,
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
            good.replace_schema_metadata({"basalt-comparisons": "4"}),
            "expected comparisons of version 1 to 3, got version 4",
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


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
STEPS = st.integers(0, 2**30)


def clip() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(STEPS, st.integers(1, 2**30 - 1)).map(lambda both: (both[0], sum(both)))


@st.composite
def any_comparison(draw: st.DrawFn) -> Comparison:
    clips: dict[str, int] = {}
    if draw(st.booleans()):
        for side in ("left", "right"):
            clips[f"{side}_start"], clips[f"{side}_stop"] = draw(clip())
    hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
    seconds = st.floats(0, allow_infinity=False, allow_nan=False)
    zones = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    moments = st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=zones)
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
    return Comparison(
        comparison_id=draw(NAMES), study=draw(texts), task=draw(NAMES), world=draw(NAMES),
        world_version=draw(NAMES), seed=draw(st.integers(0, 2**63 - 1)), left_agent=draw(NAMES),
        right_agent=draw(NAMES), left_episode=draw(hashes), right_episode=draw(hashes),
        winner=draw(st.sampled_from(["left", "right", "draw", "both_bad", "skip"])),
        source=draw(st.sampled_from(["human", "bedd", "telemetry", "model", "synthetic"])),
        created=draw(moments), rater=draw(st.none() | NAMES), justification=draw(texts),
        seconds=draw(st.none() | seconds), question=draw(texts),
        right_seed=draw(st.none() | st.integers(0, 2**63 - 1)), round=draw(st.none() | STEPS),
        selector=draw(st.none() | NAMES),
        selection_probability=draw(st.none() | st.floats(0, 1, exclude_min=True)),
        pair_of=draw(st.none() | NAMES.map("x".__add__)),
        gold=draw(st.none() | st.sampled_from(["left", "right", "draw"])),
        speed=draw(st.none() | st.floats(0, 100, exclude_min=True)), **clips,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(st.lists(any_comparison(), max_size=4, unique_by=lambda one: one.comparison_id))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_comparisons_come_back_from_any_form(
    tmp_path: Path, suffix: str, everything: list[Comparison]
) -> None:
    everything = [one for one in everything if one.pair_of != one.comparison_id]
    path = tmp_path / f"c{suffix}"
    assert write_comparisons(path, everything) == len(everything)
    assert read_comparisons(path) == everything


@given(any_comparison())
@settings(max_examples=30, deadline=None)
def test_swapping_twice_changes_nothing_and_swapping_once_means_the_same(one: Comparison) -> None:
    swapped = one.swapped()
    back = swapped.swapped()
    assert (back.left, back.right, back.winner) == (one.left, one.right, one.winner)
    assert (swapped.left, swapped.right) == (one.right, one.left)
    score = {one.left: 0.7, one.right: -0.4}  # of a model of the sides
    assert loss(swapped, score) == pytest.approx(loss(one, score), nan_ok=True)


def loss(one: Comparison, score: dict[Any, float]) -> float:
    """Bradley-Terry with soft targets; NaN for what never enters it."""
    if one.preference is None:
        return math.nan
    chance = 1 / (1 + math.exp(score[one.right] - score[one.left]))
    return -one.preference * math.log(chance) - (1 - one.preference) * math.log1p(-chance)


def test_both_bad_and_skip_have_no_preference() -> None:
    targets = {
        winner: replace(WHOLE, winner=winner).preference  # type: ignore[arg-type]
        for winner in ("left", "right", "draw", "both_bad", "skip")
    }
    assert targets == {"left": 1, "right": 0, "draw": 0.5, "both_bad": None, "skip": None}


def version_1(path: Path, *comparisons: Comparison) -> Path:
    table = to_table(comparisons).select(SCHEMA.names[:20])
    return broken(table.replace_schema_metadata({"basalt-comparisons": "1"}), path)


def test_version_2_still_reads(tmp_path: Path) -> None:
    table = to_table([WHOLE, STRETCHES]).select(SCHEMA.names[:-1])
    path = broken(
        table.replace_schema_metadata({"basalt-comparisons": "2"}), tmp_path / "old.parquet"
    )
    assert "strength" not in pq.read_schema(path).names
    assert read_comparisons(path) == [WHOLE, STRETCHES]


def test_version_1_still_reads(tmp_path: Path) -> None:
    path = version_1(tmp_path / "old.parquet", WHOLE, STRETCHES)
    assert len(pq.read_schema(path).names) == 20
    assert read_comparisons(path) == [WHOLE, STRETCHES]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_files_of_version_1_in_other_forms_still_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"old{suffix}"
    write_comparisons(path, [WHOLE, STRETCHES])
    names = SCHEMA.names[:20]
    if suffix == ".json":
        rows = json.loads(path.read_text())
        path.write_text(json.dumps([{name: row[name] for name in names} for row in rows]))
    else:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    assert read_comparisons(path) == [WHOLE, STRETCHES]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seconds", "nan", "seconds: expected a finite number"),
        ("seconds", "-1", "seconds: expected greater than or equal to 0"),
        ("selection_probability", "0", "selection_probability: expected greater than 0"),
        ("selection_probability", "inf", "selection_probability: expected"),
        ("speed", "nan", "speed: expected"),
        ("seed", "-1", "seed: expected greater than or equal to 0"),
        ("seed", str(2**63), "seed: expected less than"),
        ("left_stop", str(2**31), "left_stop: expected less than"),
        ("left_stop", "0", "left_stop: expected a step after 0, got 0"),
        ("right_start", None, "expected start and stop of both clips or of neither"),
        ("left_episode", "../../secret", "left_episode: expected .*match pattern"),
        ("left_episode", "A" * 64, "left_episode: expected .*match pattern"),
        ("gold", "skip", "gold: expected"),
        ("winner", "me", "winner: expected one of left, .*, got 'me'"),
        ("source", "oracle", "source: expected one of human, .*, got 'oracle'"),
        ("created", "2026-11-23T12:00:00", "created: expected .*timezone"),
        ("created", "soon", "created: expected a valid datetime"),
        ("comparison_id", "c1", "comparison_id: expected a new one, got 'c1' of row 1"),
        ("pair_of", "c2", "pair_of: expected the id of another comparison"),
        ("task", "", "task: expected"),
        ("justification", "x" * 100_001, "justification: expected .*at most 100000 characters"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_with_its_row_and_name(
    tmp_path: Path, suffix: str, name: str, value: str | None, message: str
) -> None:
    path = tmp_path / f"bad{suffix}"
    write_comparisons(tmp_path / "good.json", [WHOLE, STRETCHES])
    rows = json.loads((tmp_path / "good.json").read_text())
    rows[1][name] = value
    if suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, SCHEMA.names)
            writer.writeheader()
            writer.writerows(rows)
    with pytest.raises(ComparisonError, match=f"bad{suffix}, row 2: .*{message}") as caught:
        read_comparisons(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_values_in_a_parquet_file_are_checked_too(tmp_path: Path) -> None:
    good = to_table([WHOLE])
    for name, array, message in (
        ("seconds", pa.array([math.nan]), "seconds: expected a finite number, got nan"),
        ("left_episode", pa.array(["../x"]), "left_episode: expected"),
        ("rater", pa.array(["y" * 2_000]), "rater: expected .*1000 characters"),
        ("created", pa.array([2**62], pa.timestamp("us", "UTC")), "expected a Parquet file"),
    ):
        table = good.set_column(SCHEMA.names.index(name), name, array)
        with pytest.raises(ComparisonError, match=message):
            read_comparisons(broken(table, tmp_path / "x.parquet"))
    both = pa.concat_tables([good, good])
    with pytest.raises(ComparisonError, match="row 2: comparison_id: expected a new one"):
        read_comparisons(broken(both, tmp_path / "x.parquet"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "column 'comparison_id' is missing"),
        (b"\xff\xfe", "expected a CSV file"),
        (b"a,b\n1,2\n", "column 'comparison_id' is missing"),
        (b"HEADER,rond\n", "unknown column 'rond'; did you mean 'round'?"),
        (b"HEADER,round,round\n", "column 'round' appears 2 times"),
        (b"HEADER\n1,2\n", "row 1: expected 20 values, got 2"),
        (b'HEADER\n"', "expected a CSV file"),
    ],
)
def test_a_csv_file_of_another_shape_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content.replace(b"HEADER", ",".join(SCHEMA.names[:20]).encode()))
    with pytest.raises(ComparisonError, match=message.replace("?", "\\?")):
        read_comparisons(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a JSON list, got dict"),
        ("[1]", "row 1: expected an object, got int"),
        ("[{}]", "row 1: column 'comparison_id' is missing"),
        ("[NaN]", "NaN is not valid JSON"),
        ("[" * 100_000, "expected a JSON list"),
        ('["' + "\\ud800" + '"]', "expected an object, got str"),
    ],
)
def test_a_json_file_of_another_shape_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ComparisonError, match=message):
        read_comparisons(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_huge_file_is_refused_unread(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"huge{suffix}"
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(ComparisonError, match=r"expected at most .* bytes"):
        read_comparisons(path)
    write_comparisons(path, [WHOLE, replace(WHOLE, comparison_id="c3")])
    monkeypatch.setattr(module, "MAX_COMPARISONS", 1)
    with pytest.raises(ComparisonError, match="expected at most 1 comparisons"):
        read_comparisons(path)


def test_one_long_text_in_many_rows_does_not_fill_the_memory(
    tmp_path: Path,
) -> None:
    rows = 5_000
    table = pa.concat_tables([to_table([WHOLE])] * rows)
    text = pa.array(["z" * 10**6]).dictionary_encode()
    many = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text.dictionary)
    # 5 GB of text where each row has its own copy, in a file of a few kB.
    schema = SCHEMA.set(SCHEMA.names.index("justification"), pa.field("justification", many.type))
    columns = [many if name == "justification" else table[name] for name in SCHEMA.names]
    path = tmp_path / "bomb.parquet"
    with pq.ParquetWriter(path, schema, store_schema=False, compression="zstd") as writer:
        writer.write_table(pa.table(columns, schema=schema))
        writer.add_key_value_metadata({"basalt-comparisons": "2"})
    assert pq.read_schema(path).field("justification").type == pa.string()
    assert path.stat().st_size < 10**6
    with pytest.raises(
        ComparisonError, match=r"justification: expected .*at most 100000 characters"
    ):
        read_comparisons(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_comparisons(path, [WHOLE])
    before = path.read_bytes()
    for bad, message in (
        (replace(WHOLE, seconds=math.inf), "seconds: expected a finite number"),
        (replace(WHOLE, justification="\ud800"), "justification: expected"),
        (replace(WHOLE, left_start=1), "expected start and stop of both"),
    ):
        with pytest.raises(ComparisonError, match=message):
            write_comparisons(path, [bad])
    assert path.read_bytes() == before
    with pytest.raises(ComparisonError, match=r"ends in .parquet, .csv, .json"):
        write_comparisons(tmp_path / "c.txt", [WHOLE])


def test_every_optional_column_has_a_default() -> None:
    optional = {field.name for field in SCHEMA if field.nullable}
    assert optional == {item.name for item in fields(Comparison) if item.default is None}


def many(count: int) -> list[Comparison]:
    return [replace(WHOLE, comparison_id=f"c{number}") for number in range(count)]


def test_what_is_too_large_to_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.json"
    write_comparisons(path, many(20))
    size = path.stat().st_size
    monkeypatch.setattr(module, "MAX_JSON_BYTES", size - 1)
    for use in (read_comparisons, lambda place: write_comparisons(place, many(20))):
        with pytest.raises(ComparisonError, match=f"at most {size - 1:,} bytes, got {size:,}; use"):
            use(path)
    write_comparisons(tmp_path / "c.csv", many(20))
    assert read_comparisons(tmp_path / "c.csv") == many(20)


def test_a_csv_row_is_bounded_however_many_lines_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.csv"
    write_comparisons(path, many(1))
    most = len(path.read_text())
    monkeypatch.setattr(module, "MAX_ROW", most)
    write_comparisons(path, many(20))
    assert read_comparisons(path) == many(20)
    with path.open("a") as file:
        file.write('"\n",' * most)
    with pytest.raises(ComparisonError, match=f"a row has more than {most:,} characters"):
        read_comparisons(path)
