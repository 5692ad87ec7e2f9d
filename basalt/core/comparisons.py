"""Comparisons: the portable form of preferences, as Parquet, CSV or JSON.

A row says which of two episodes, or clips of them, was preferred. Episodes are named by the SHA-256 of their
video, so a row means the same on every machine. Left and right are as the rater saw them.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from basalt.core.registry import did_you_mean
from basalt.io.atomic import replacing
from basalt.io.errors import BasaltError
from basalt.io.spreadsheet import inert, original

FORMAT_VERSION = 3

SUFFIXES = (".parquet", ".csv", ".json")

MAX_COMPARISONS = 1_000_000
"""Largest number of comparisons in a file."""

MAX_BYTES = 256 * 2**20
"""Largest size of a file, compressed or not."""

MAX_JSON_BYTES = 32 * 2**20
"""Largest JSON file of comparisons, which is parsed as a whole; Parquet and CSV take larger ones."""

_ROWS = 10_000
"""Rows of a group of a Parquet file."""

MAX_ROW = 2**20
"""Largest number of characters of a row of a CSV file."""

MAX_TEXT = 100_000
"""Largest number of characters of a reason; CSV readers refuse fields that are not much longer."""

Winner = Literal["left", "right", "draw", "both_bad", "skip"]
Strength = Literal["much", "slightly"]
Source = Literal["human", "bedd", "telemetry", "model", "synthetic"]

MIRRORED: Mapping[Winner, Winner] = {
    "left": "right", "right": "left", "draw": "draw", "both_bad": "both_bad", "skip": "skip",
}  # fmt: skip
"""Each answer with the sides swapped."""


class ComparisonError(BasaltError):
    """A file of comparisons that cannot be read or written."""


Name = Annotated[str, Field(min_length=1, max_length=1_000)]
VideoHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Step = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared: an episode, or a clip of it.

    Attributes:
        agent: Name of the player.
        seed: Seed of the episode.
        episode: SHA-256 of the video, hexadecimal.
        start: First step of the clip; None for the whole episode.
        stop: Step after the last one of the clip; None for the whole episode.
    """

    agent: str
    seed: int
    episode: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which of two episodes of the same task did better, as one rater answered one question.

    The values are checked where a file is read or written, not here.

    Attributes:
        comparison_id: Opaque id, unique in a file.
        study: Name of the study it was made in.
        task: Name of the task.
        world: World that both were played in.
        world_version: Version of that world.
        seed: Seed of both; of the left one only where `right_seed` is given.
        left_agent: Name of the left player.
        right_agent: Name of the right player.
        left_episode: SHA-256 of the left video, hexadecimal.
        right_episode: SHA-256 of the right video, hexadecimal.
        winner: `left`, `right`, `draw`, `both_bad` (neither is acceptable) or `skip` (no opinion).
        source: Who judged: `human`, `bedd`, `telemetry` (a rule instead of people), `model`, or `synthetic` (a
            teacher that is a program).
        created: Time of the judgment, in UTC.
        left_start: First step of the left clip; None if whole episodes were compared.
        left_stop: Step after the last one of the left clip, or None.
        right_start: First step of the right clip, or None.
        right_stop: Step after the last one of the right clip, or None.
        rater: Opaque id of the rater, or the name of a synthetic teacher; None for rules and models.
        justification: Reason in the rater's words.
        seconds: Time that the rater took.
        question: Question that was answered; empty for "which did better?".
        right_seed: Seed of the right episode where it is another one than `seed`.
        round: Round of a loop that asked, from 0; None outside a loop.
        selector: Name of the rule that chose the pair; None where nothing chose.
        selection_probability: Chance with which that rule takes this pair from its candidates, above 0.
        pair_of: For a repeat: `comparison_id` of the first time, usually with the sides swapped.
        gold: For a check of the rater: the known answer.
        speed: Playback speed of the videos; 1 is as played. None if unknown.
        strength: How much better the winner is; None where the study does not ask, and for answers without a winner.
    """

    comparison_id: Name
    study: Annotated[str, Field(max_length=1_000)]
    task: Name
    world: Name
    world_version: Name
    seed: Seed
    left_agent: Name
    right_agent: Name
    left_episode: VideoHash
    right_episode: VideoHash
    winner: Winner
    source: Source
    created: AwareDatetime
    left_start: Step | None = None
    left_stop: Step | None = None
    right_start: Step | None = None
    right_stop: Step | None = None
    rater: Name | None = None
    justification: Text = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    question: Annotated[str, Field(max_length=1_000)] = ""
    right_seed: Seed | None = None
    round: Step | None = None
    selector: Name | None = None
    selection_probability: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    pair_of: Name | None = None
    gold: Literal["left", "right", "draw"] | None = None
    speed: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    strength: Strength | None = None

    @property
    def decisive(self) -> bool:
        """Whether the rater ranked the two: one won, or both did equally well."""
        return self.winner in ("left", "right", "draw")

    @property
    def preference(self) -> float | None:
        """Target of a model of preferences: 1 for left, 0 for right, 0.5 for a draw.

        None for `both_bad`, which is about an acceptable level and not about a difference, and for `skip`.
        """
        return {"left": 1.0, "draw": 0.5, "right": 0.0}.get(self.winner)

    @property
    def is_check(self) -> bool:
        """Whether it checks the rater (gold, repeat), and so neither rates nor teaches anything."""
        return self.gold is not None or self.pair_of is not None

    @property
    def left(self) -> Side:
        """What was shown on the left."""
        return Side(
            self.left_agent, self.seed, self.left_episode, self.left_start, self.left_stop
        )  # fmt: skip

    @property
    def right(self) -> Side:
        """What was shown on the right."""
        seed = self.seed if self.right_seed is None else self.right_seed
        return Side(self.right_agent, seed, self.right_episode, self.right_start, self.right_stop)

    def with_sides(self, left: Side, right: Side) -> "Comparison":
        """The same answer about other sides."""
        return replace(
            self,
            seed=left.seed,
            right_seed=None if right.seed == left.seed else right.seed,
            **{
                f"{place}_{name}": getattr(side, name)
                for place, side in (("left", left), ("right", right))
                for name in ("agent", "episode", "start", "stop")
            },
        )

    def swapped(self) -> "Comparison":
        """The same opinion with the sides swapped."""
        gold = self.gold and MIRRORED[self.gold]
        answer = replace(self, winner=MIRRORED[self.winner], gold=gold)  # type: ignore[arg-type]
        return answer.with_sides(self.right, self.left)

    @property
    def winner_loser(self) -> tuple[str, str]:
        """Names of the winner and the loser; of a draw, the left agent and the right one."""
        sides = self.left_agent, self.right_agent
        return sides[::-1] if self.winner == "right" else sides


_ARROW: dict[str, pa.DataType] = {
    "seed": pa.int64(),
    "created": pa.timestamp("us", tz="UTC"),
    "left_start": pa.int32(),
    "left_stop": pa.int32(),
    "right_start": pa.int32(),
    "right_stop": pa.int32(),
    "seconds": pa.float64(),
    "right_seed": pa.int64(),
    "round": pa.int32(),
    "selection_probability": pa.float64(),
    "speed": pa.float64(),
}
_OPTIONAL = {
    "left_start", "left_stop", "right_start", "right_stop", "rater", "seconds", "right_seed", "round",
    "selector", "selection_probability", "pair_of", "gold", "speed", "strength",
}  # fmt: skip

SCHEMA = pa.schema(
    [
        pa.field(item.name, _ARROW.get(item.name, pa.string()), nullable=item.name in _OPTIONAL)
        for item in fields(Comparison)
    ],
    metadata={"basalt-comparisons": str(FORMAT_VERSION)},
)
"""Columns of a file of comparisons, in order."""

_COLUMNS = {
    1: SCHEMA.names[: SCHEMA.names.index("seconds") + 1],
    2: SCHEMA.names[: SCHEMA.names.index("speed") + 1],
    FORMAT_VERSION: SCHEMA.names,
}
"""Columns of each version; each has those of the versions before it."""

_CHECKED = TypeAdapter(Comparison)


def to_table(comparisons: Iterable[Comparison]) -> pa.Table:
    """Convert comparisons to an Arrow table with the columns of `SCHEMA`."""
    return pa.Table.from_pylist([_row(one) for one in comparisons], schema=SCHEMA)


def write_comparisons(path: str | Path, comparisons: Iterable[Comparison]) -> int:
    """Write comparisons to a .parquet, .csv or .json file; readers never see a partial one.

    They are written as they come: an iterator of a million does not fill the memory.

    Returns:
        Number of comparisons written.

    Raises:
        ComparisonError: The file has another suffix or would be too large to be read, or a comparison has a value that
            is not valid.
        WriteError: The file cannot be written.
    """
    path = Path(path)
    write = {".parquet": _write_parquet, ".csv": _write_csv, ".json": _write_json}[_suffix(path)]
    number = 0

    def checked() -> Iterator[Comparison]:  # what is written can be read
        nonlocal number
        for number, one in enumerate(_check(path, map(_row, comparisons)), start=1):  # noqa: B007
            yield one

    with replacing(path) as partial:
        write(partial, checked())
        _check_size(partial, path)
    return number


def read_comparisons(path: str | Path) -> list[Comparison]:
    """Read a file of comparisons of this or an older version, in any of the forms that are written.

    The file may come from strangers: sizes are bounded, and each value is checked.

    Raises:
        ComparisonError: The file is missing, too large, of another form or a newer version, or has a column or
            value that is not valid; the message names the first fault.
    """
    path = Path(path)
    suffix = _suffix(path)
    _check_size(path)
    read: Callable[[Path], Iterator[dict[str, Any]]] = {
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".json": _read_json,
    }[suffix]
    return list(_check(path, read(path)))


def _check_size(file: Path, path: Path | None = None) -> None:
    """Refuse a file that is too large; `path` is its final name."""
    path = path or file
    if not file.is_file():
        raise ComparisonError(f"{path}: no such file; expected a file of comparisons")
    limit = MAX_JSON_BYTES if path.suffix == ".json" else MAX_BYTES
    if (size := file.stat().st_size) > limit:
        raise ComparisonError(
            f"{path}: expected at most {limit:,} bytes, got {size:,}; "
            + ("use .parquet or .csv" if limit == MAX_JSON_BYTES else "split the comparisons")
        )


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise ComparisonError(
            f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}, got {path.name!r}"
        )
    return path.suffix


def _row(one: Comparison) -> dict[str, Any]:
    return {name: getattr(one, name) for name in SCHEMA.names}


# ---- values ----


def _check(path: Path, rows: Iterable[dict[str, Any]]) -> Iterator[Comparison]:
    """Comparisons from rows of values, each checked by itself and beside the others."""
    ids: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if number > MAX_COMPARISONS:
            raise ComparisonError(f"{path}: expected at most {MAX_COMPARISONS} comparisons")
        try:
            one = _CHECKED.validate_python(row)
            one = replace(one, created=one.created.astimezone(UTC))
        except ValidationError as err:  # a ValueError, so it comes first
            raise ComparisonError(f"{path}, row {number}: {_value_fault(err)}") from None
        except (OverflowError, ValueError) as err:
            raise ComparisonError(f"{path}, row {number}: created: {err}") from None
        if fault := _pair_fault(one):
            raise ComparisonError(f"{path}, row {number}: {fault}")
        if (first := ids.setdefault(one.comparison_id, number)) != number:
            raise ComparisonError(
                f"{path}, row {number}: comparison_id: expected a new one, got {one.comparison_id!r} of row {first}"
            )
        yield one


def _value_fault(err: ValidationError) -> str:
    fault = err.errors(include_url=False)[0]
    name, value = str(fault["loc"][0]), fault["input"]
    if fault["type"] == "missing" or value is None:
        return f"{name}: expected a value, got none"
    options = {
        "winner": get_args(Winner),
        "source": get_args(Source),
        "strength": get_args(Strength),
    }.get(name)
    expected = f"one of {', '.join(options)}" if options else fault["msg"].removeprefix("Input ")
    expected = expected.removeprefix("should ").removeprefix("be ")
    return f"{name}: expected {expected}, got {repr(value)[:80]}"


def _pair_fault(one: Comparison) -> str | None:
    """What is wrong with a comparison as a whole; None if nothing is."""
    clips = (one.left_start, one.left_stop, one.right_start, one.right_stop)
    if None in clips and set(clips) != {None}:
        return f"expected start and stop of both clips or of neither, got {clips}"
    for place, side in (("left", one.left), ("right", one.right)):
        if side.start is not None and side.stop is not None and side.start >= side.stop:
            return f"{place}_stop: expected a step after {side.start}, got {side.stop}"
    if one.pair_of == one.comparison_id:
        return "pair_of: expected the id of another comparison, got its own"
    if one.strength is not None and one.winner not in ("left", "right"):
        return f"strength: belongs to the winners left and right, got it with {one.winner!r}"
    return None


# ---- Parquet ----


def _write_parquet(path: Path, comparisons: Iterator[Comparison]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while some := list(islice(comparisons, _ROWS)):
            writer.write_table(to_table(some))


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        columns = _parquet_columns(path)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as err:
        raise ComparisonError(f"{path}: expected a Parquet file of comparisons ({err})") from err
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    schema = pq.read_schema(path)
    version = (schema.metadata or {}).get(b"basalt-comparisons", b"").decode()
    if version not in map(str, _COLUMNS):
        raise ComparisonError(
            f"{path}: expected comparisons of version 1 to {FORMAT_VERSION}, got "
            f"{f'version {version}' if version else 'a file without a version'}"
        )
    names = _COLUMNS[int(version)]
    for name in names:
        if name not in schema.names:
            raise ComparisonError(f"{path}: column {name!r} is missing")
        if (found := schema.field(name).type) != (wanted := SCHEMA.field(name).type):
            raise ComparisonError(f"{path}: column {name!r}: expected {wanted}, got {found}")
    # A text that many rows share is stored once; so it is in memory, or a small file could fill it.
    text = [name for name in names if pa.types.is_string(SCHEMA.field(name).type)]
    with pq.ParquetFile(path, read_dictionary=text) as file:
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        if file.metadata.num_rows > MAX_COMPARISONS:
            raise ComparisonError(
                f"{path}: expected at most {MAX_COMPARISONS} comparisons, got {file.metadata.num_rows}"
            )
        if (size := sum(group.total_byte_size for group in groups)) > MAX_BYTES:
            raise ComparisonError(
                f"{path}: expected at most {MAX_BYTES} bytes of values, got {size}"
            )
        table = file.read(columns=names)
    return {name: _values(table.column(name)) for name in names}


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    found: list[Any] = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        found += [None if n is None else words[n] for n in chunk.indices.to_pylist()]
    return found


# ---- CSV and JSON ----


def _plain(one: Comparison) -> dict[str, Any]:
    return _row(one) | {"created": one.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _write_csv(path: Path, comparisons: Iterable[Comparison]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        # Rows end with \r\n: the module quotes a \r in a text only if it ends rows, too.
        writer = csv.DictWriter(file, SCHEMA.names)
        writer.writeheader()
        for one in comparisons:
            values = _plain(one).items()
            writer.writerow({k: inert(v) if isinstance(v, str) else v for k, v in values})


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(csv_rows(path)):
        if number == 0:
            _check_names(path, list(row))
            continue
        values = {name: original(value) for name, value in row.items()}
        yield {name: value for name, value in values.items() if value or name not in _OPTIONAL}


class _RowTexts:
    """Lines of a CSV file, of which no row may have more than `MAX_ROW` characters.

    Args:
        file: The file.

    Attributes:
        used: Number of characters of the row that is being read; the reader of rows sets it back.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.used = 0

    def __iter__(self) -> "_RowTexts":
        return self

    def __next__(self) -> str:
        text = self._file.readline(MAX_ROW + 1)
        self.used += len(text)
        if self.used > MAX_ROW:
            raise csv.Error(
                f"a row has more than {MAX_ROW:,} characters, expected at most that many"
            )
        if not text:
            raise StopIteration
        return text


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a stranger's CSV file by column; the first is the header itself.

    Raises:
        ComparisonError: The file is missing, too large, not CSV in UTF-8, or has a row of another width.
    """
    _check_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            texts = _RowTexts(file)
            rows = csv.reader(texts, strict=True)
            names = next(rows, [])
            for name, times in Counter(names).items():
                if times > 1:
                    raise ComparisonError(f"{path}: column {name[:100]!r} appears {times} times")
            yield dict(zip(names, names, strict=True))
            texts.used = 0
            for number, values in enumerate(rows, start=1):
                texts.used = 0
                if len(values) != len(names):
                    raise ComparisonError(
                        f"{path}, row {number}: expected {len(names)} values, got {len(values)}"
                    )
                yield dict(zip(names, values, strict=True))
    except (csv.Error, UnicodeDecodeError) as err:
        raise ComparisonError(f"{path}: expected a CSV file of comparisons ({err})") from err


def _write_json(path: Path, comparisons: Iterable[Comparison]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, one in enumerate(comparisons):
            text = json.dumps([_plain(one)], indent=1, ensure_ascii=False)
            file.write(("," if number else "") + text.removeprefix("[").removesuffix("\n]"))
        file.write("\n]" if file.tell() > 1 else "]")


def _read_json(path: Path) -> Iterator[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise ComparisonError(f"{path}: expected a JSON list of comparisons ({err})") from err
    if not isinstance(rows, list):
        raise ComparisonError(f"{path}: expected a JSON list, got {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ComparisonError(
                f"{path}, row {number}: expected an object, got {type(row).__name__}"
            )
        _check_names(f"{path}, row {number}", list(row))
        yield row


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not valid JSON")


def _check_names(where: Path | str, names: Sequence[str]) -> None:
    for name in _COLUMNS[1]:
        if name not in names and name not in _OPTIONAL:
            raise ComparisonError(f"{where}: column {name!r} is missing")
    for name in names:
        if name not in SCHEMA.names:
            raise ComparisonError(
                f"{where}: unknown column {name!r}; {did_you_mean(name, SCHEMA.names)}"
                f"expected {', '.join(SCHEMA.names)}"
            )
