"""Recorder lines with any number and any text: read as they are, or named as a fault of the line."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basalt.core.recording import Recording, parse_lines
from basalt.data.bedd import Play
from basalt.data.stats import play_table
from basalt.data.steps import step_table
from tests.support.bedd_files import bedd_line, write_lines

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAME = "ann-0a9ad3ddd136-20220726-100000"


def lines_file(folder: Path, text: str) -> Path:
    path = folder / f"{NAME}.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


@MANY
@given(
    field=st.sampled_from(["dx", "dy", "x", "y"]),
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
)
@example(field="dx", values=[1e300])
@example(field="dy", values=[-1e9, 1e9])
def test_any_number_is_finite_in_the_step_table_or_a_schema_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, values: list[float]
) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    lines = [bedd_line(tick, **{field: value}) for tick, value in enumerate(values)]
    write_lines(tmp_path / f"{NAME}.jsonl", lines)
    faults = [fault for _, fault in parse_lines(tmp_path / f"{NAME}.jsonl") if fault]
    beyond = [tick for tick, value in enumerate(values) if abs(value) > 1e9]
    assert [fault.line for fault in faults] == [tick + 1 for tick in beyond]
    assert {fault.kind for fault in faults} <= {"schema"}
    if not faults:
        play = Play((Recording(tmp_path / NAME, None),), "find_cave")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = step_table(play)
            play_table([play], progress=False)
        assert np.isfinite(table[["pitch", "yaw"]].to_numpy()).all()


# Any text, with halves of characters, backslashes and what looks like escapes.
TEXTS = st.text(
    st.one_of(
        st.sampled_from(list('\\"ud83c/')),
        st.characters(codec=None, exclude_categories=()),
        st.integers(0xD800, 0xDFFF).map(chr),
    ),
    max_size=12,
)


@MANY
@given(text=TEXTS)
@example(text="\ud83d")
@example(text="\\ud83d")
@example(text="\ude00\ud83d")
@example(text="😀\ud83d\\")
def test_half_a_character_in_a_text_is_read_as_a_replacement(tmp_path: Path, text: str) -> None:
    line = bedd_line(0)
    line["keyboard"]["chars"] = text
    path = lines_file(tmp_path, json.dumps(line) + "\n")
    ((read, fault),) = parse_lines(path)
    assert fault is None and read is not None and read.keyboard is not None
    # JSON joins the halves of one character that stand side by side.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert read.keyboard.chars == whole
    read.to_json().encode()


@pytest.mark.parametrize("broken", ['"\\ud8zz"', '"\\ud83d', '"\\x"', '"\ud83d"'])
def test_what_is_no_json_stays_a_fault(tmp_path: Path, broken: str) -> None:
    text = json.dumps(bedd_line(0)).replace('"chars": ""', f'"chars": {broken}')
    path = tmp_path / f"{NAME}.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
    ((line, fault),) = parse_lines(path)
    assert line is None and fault is not None and fault.kind == "json"
