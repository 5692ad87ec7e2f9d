"""Values of strangers: JSON of any depth is a clear error, and what cannot be stored is named."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core.records import Record
from basalt.io.claims import claim
from basalt.io.errors import ConfigError
from basalt.io.untrusted import MAX_DEPTH, bounded_lines, parse_json, read_bounded, unfit
from tests.support import ROOT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(value=VALUES)
def test_what_is_fit_can_be_written_as_strict_json_and_utf_8(value: object) -> None:
    if unfit(value) is None:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        assert json.loads(text) == value and b"\\u0000" not in text


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("\ud800", "half of a surrogate pair"),
        ({"\udfff": 1}, "half of a surrogate pair"),
        ([["a\0b"]], "without NUL"),
        (float("nan"), "a finite number, got nan"),
        ([1e999], "a finite number, got inf"),
        (json.loads("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)), "levels of nesting"),
    ],
)
def test_what_is_unfit_is_named(value: object, fault: str) -> None:
    assert fault in str(unfit(value))


def test_harmless_values_are_fit() -> None:
    harmless = json.loads("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    for value in ("🪨 שלום", 10**400, -0.5, None, True, {"a": [1, {}]}, harmless):
        assert unfit(value) is None


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "[" * 200_000 + "]" * 200_000, b"\xff", "", "nul"]
)
def test_every_fault_of_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_deep_records_and_claims_are_one_line(tmp_path: Path) -> None:
    class Small(Record):
        FORMAT = "small"

    (tmp_path / "small.json").write_text("[" * 200_000)
    with pytest.raises(ConfigError, match=r"small\.json: expected a small file"):
        Small.read(tmp_path / "small.json")
    with pytest.raises(ConfigError, match=r"small\.json: expected the settings of a run"):
        claim(tmp_path / "small.json", "run", {})


OWN = {
    "basalt/io/untrusted.py",
    # Written by the engine, or by this project in the same run.
    "basalt/worlds/luanti/games.py",
    "basalt/worlds/luanti/worldcache.py",
    "basalt/worlds/minerl/protocol.py",
    "basalt/worlds/minerl/info.py",
    "basalt/probes/hooks/store.py",
    "basalt/data/sources.py",
    # They refuse NaN as well, and catch what a deep file raises.
    "basalt/core/comparisons.py",
    "leaderboard/bedd/answers.py",
}
"""Modules that may parse JSON by themselves."""


def test_files_of_others_are_parsed_by_one_function() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("basalt", "agents", "leaderboard", "eval_ui")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bjson\.loads?\(", path.read_text())
    }
    assert found <= OWN


@given(lines=st.lists(st.binary(max_size=12)), limit=st.integers(1, 12))
def test_lines_are_whole_or_refused_with_their_number(lines: list[bytes], limit: int) -> None:
    text = b"\n".join(lines)
    found: list[bytes] = []
    try:
        found.extend(bounded_lines(io.BytesIO(text), limit))
    except ValueError as err:
        expected = list(io.BytesIO(text))
        long = next(n for n, line in enumerate(expected, start=1) if len(line) > limit)
        assert str(err).startswith(f"line {long}: expected at most {limit} bytes")
    else:
        assert found == list(io.BytesIO(text)) and max(map(len, found), default=0) <= limit


@given(size=st.integers(0, 300), limit=st.integers(0, 300))
def test_files_are_whole_or_refused_with_their_size(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("bounded") / "file"
    path.write_bytes(bytes(size))
    if size <= limit:
        assert read_bounded(path, limit) == bytes(size)
    else:
        with pytest.raises(ValueError, match=f"expected at most {limit} bytes, got {size}"):
            read_bounded(path, limit)
