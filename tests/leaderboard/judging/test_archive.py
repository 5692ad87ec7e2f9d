"""The zip of a study has everything that was asked, with what became of it, and says what each column is."""

import io
import zipfile
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from basalt.cli.leaderboard import leaderboard_main
from leaderboard.judging import archive
from leaderboard.judging.archive import COLUMNS, write_archive
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.clip_answers import answer_clips
from leaderboard.judging.clip_queue import next_clips
from leaderboard.judging.judgments import answer_pair, undo_last
from leaderboard.judging.raters import join
from leaderboard.store import database
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import ban
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.clip_study import clips_to_compare
from tests.support.filled_store import fill

ADMIN = command_line_admin()


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "leaderboard.sqlite", tmp_path / "media")
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    """Ada has answered with a reason, skipped, undone and passed checks; Eve is banned."""
    made = fill(store, 4, 4)
    change_settings(store, made, ADMIN, check_share=0.5, check_kinds=["self"])
    ada = join(store, made, "ada", name="Ada Lovelace", platform="prolific", participant="P1")
    kinds = set()
    while kinds < {"pair", "check"}:
        pair = next_pair(store, made, ada)
        assert pair is not None
        with store.read() as session:
            kinds.add("check" if session.get(AttentionCheck, pair.assignment_id) else "pair")
        asked = {
            "direct": [{"question": "Found a cave?", "left": True, "right": None}],
            "comparative": [
                {"question": "Faster?", "answer": "na"},
                {"question": "Human-like?", "answer": None},
            ],
        }
        answer_pair(
            store, pair.assignment_id, ada, "draw", justification="=1+1", responses=asked,
            watched=(1, 0.75), video_events=[{"type": "play", "at": 0.5, "clock": 7}],
        )  # fmt: skip
    undo_last(store, made, ada)
    eve = join(store, made, "eve")
    pair = next_pair(store, made, eve)
    assert pair is not None
    answer_pair(store, pair.assignment_id, eve, "skip", skip_reason="broken")
    ban(store, made, ADMIN, eve, "at random")
    return made


def tables(path: Path, form: str = "csv") -> dict[str, pd.DataFrame]:
    read = pd.read_csv if form == "csv" else pd.read_parquet
    with zipfile.ZipFile(path) as opened:
        return {
            name: read(io.BytesIO(opened.read(f"{name}.{form}")))
            for name in COLUMNS
        }  # fmt: skip


def test_everything_that_was_asked_is_there_and_marked(
    store: Store, study: StudyInfo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.zip"
    place = str(store.engine.url.database)
    assert leaderboard_main(["export", str(path), "--store", place]) == 0
    found = tables(path)
    rows = sum(len(one) for one in found.values())
    assert f"wrote {rows} rows of study 'small'" in capsys.readouterr().out
    answers = pd.concat([found["judgments"], found["checks"]])
    assert answers["withdrawn"].sum() == 1
    assert answers["banned"].sum() == 1
    # Whose the ban was; the last answer of Ada's is the one that was undone.
    (banned,) = answers[answers["banned"]].to_dict("records")
    assert (banned["winner"], banned["skip_reason"]) == ("skip", "broken")
    kept = answers[~answers["banned"]]
    assert set(kept["reason"]) == {"'=1+1"}  # safe in a spreadsheet
    ordinary = found["judgments"][~found["judgments"]["banned"]]
    checked = found["checks"][~found["checks"]["banned"]]
    assert set(ordinary["watched_right"]) == set(checked["watched_right"]) == {0.75}
    assert set(checked["passed"]) <= {True}
    # Of three questions, one was left open.
    assert len(found["answers"]) == 2 * len(kept)
    assert set(found["answers"]["question"]) == {"Found a cave?", "Faster?"}
    assert len(found["player_events"]) == len(kept)
    assert set(found["events"]["kind"]) >= {"settings", "withdraw", "ban"}
    assert len(found["raters"]) == 2
    text = b"".join(zipfile.ZipFile(path).read(name) for name in zipfile.ZipFile(path).namelist())
    assert b"Lovelace" not in text and b"P1" not in text


def test_the_dictionary_names_every_column_of_every_table(
    store: Store, study: StudyInfo, tmp_path: Path
) -> None:
    path = tmp_path / "study.zip"
    write_archive(path, store, study, ADMIN, "parquet")
    readme = zipfile.ZipFile(path).read("README.md").decode()
    for name, table in tables(path, "parquet").items():
        assert list(table.columns) == list(COLUMNS[name][1])
        part = readme.split(f"## {name}.parquet")[1].split("\n## ")[0]
        for column in table.columns:
            assert f"| `{column}` |" in part


def test_answers_about_clips_have_their_stretches(store: Store, tmp_path: Path) -> None:
    study = clips_to_compare(store)
    rater = join(store, study, "ada")
    pair = next_clips(store, study, rater)[0]
    answer_clips(
        store, study, pair.assignment_id, rater, "skip", seconds=9, skip_reason="no_opinion"
    )
    path = tmp_path / "study.zip"
    write_archive(path, store, study, ADMIN)
    (row,) = tables(path)["clips"].to_dict("records")
    assert row["winner"] == "skip" and row["left_start"] < row["left_stop"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_that_are_read_in_parts_are_those_that_are_read_at_once(
    store: Store,
    study: StudyInfo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: Literal["csv", "parquet"],
) -> None:
    at_once, in_parts = tmp_path / "at_once.zip", tmp_path / "in_parts.zip"
    rows = write_archive(at_once, store, study, ADMIN, form)
    monkeypatch.setattr(archive, "_ROWS", 1)
    monkeypatch.setattr(database, "STREAMED_ROWS", 1)
    assert write_archive(in_parts, store, study, ADMIN, form) == rows > 2
    before, after = tables(at_once, form), tables(in_parts, form)
    for name in COLUMNS:
        pd.testing.assert_frame_equal(before[name], after[name])
