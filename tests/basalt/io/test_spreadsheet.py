"""A CSV file for a spreadsheet runs nothing, and its texts can be read back."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basalt.core.comparisons import Comparison, read_comparisons, write_comparisons
from basalt.io.spreadsheet import inert, inert_table, original, write_csv

RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet may run, or begin another cell at, if a cell begins with it."""

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.tuples(st.text(" '", max_size=3), st.sampled_from(RUNS), st.text("1A!()|\r\n;,\"'", max_size=9)).map("".join),
)  # fmt: skip
"""Texts of strangers, many of which are formulas."""


def cells(file: Path) -> list[str]:
    """All cells as a spreadsheet splits them: outside quotes any line break ends a row."""
    with file.open(encoding="utf-8", newline="") as opened:
        return [cell for row in csv.reader(opened) for cell in row]


def runs(cell: str) -> bool:
    """Whether a spreadsheet may run a cell of text; it may trim spaces first."""
    return cell.startswith(RUNS) or cell.lstrip().startswith(RUNS)


@given(text=TEXTS)
@example(text="=HYPERLINK(1)")
@example(text="'=1")
@example(text="''\t=1")
def test_a_text_does_not_run_and_is_read_back(text: str) -> None:
    assert not runs(inert(text))
    assert original(inert(text)) == text


def test_harmless_texts_stay_as_they_are() -> None:
    for text in ("", "agent", "it's", "'quoted'", "a=b", "1+1", "b-1", "me@lab"):
        assert inert(text) == original(text) == text


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), title=TEXTS.filter(lambda one: one != "n"))
def test_no_cell_of_a_table_runs_and_numbers_stay_numbers(
    tmp_path: Path, texts: list[str], title: str
) -> None:
    table = pd.DataFrame({title: texts, "n": [-1.5] * len(texts)})
    write_csv(table, tmp_path / "table.csv")
    found = cells(tmp_path / "table.csv")
    assert not [cell for cell in found if runs(cell) and cell != "-1.5"]
    assert [original(cell) for cell in found[:2]] == [title, "n"]
    assert [original(cell) for cell in found[2::2]] == texts
    assert found[3::2] == ["-1.5"] * len(texts)
    assert table[title].tolist() == texts, "the table itself is left alone"
    assert inert_table(table)["n"].dtype == table["n"].dtype


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXTS.filter(bool), reason=TEXTS)
def test_exported_judgments_do_not_run_and_read_back_the_same(
    tmp_path: Path, name: str, reason: str
) -> None:
    one = Comparison(
        comparison_id="c1",
        study="small",
        task="find_cave",
        world="test",
        world_version="1",
        seed=1,
        left_agent=name,
        right_agent=f"={name}",
        left_episode="a" * 64,
        right_episode="b" * 64,
        winner="left",
        source="human",
        justification=reason,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    write_comparisons(tmp_path / "c.csv", [one])
    assert not [cell for cell in cells(tmp_path / "c.csv") if runs(cell)]
    assert read_comparisons(tmp_path / "c.csv") == [one]


@pytest.mark.parametrize("old", ["=1+1", "-rf", "agent"])
def test_texts_from_before_cells_were_marked_are_read_as_they_are(old: str) -> None:
    assert original(old) == old
