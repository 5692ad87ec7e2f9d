"""A study's data as one zip of tables with a data dictionary: everything that was asked, nothing left out.

Withdrawn answers and those of banned raters are there, marked. Raters appear under pseudonyms; names and the ids of crowd
platforms are left out.
"""

import csv
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet
from sqlalchemy.orm import Session, aliased

from basalt.io.spreadsheet import inert
from leaderboard.judging.quality import rater_reports
from leaderboard.store.database import Store, streamed
from leaderboard.store.models import (
    Agent,
    AttentionCheck,
    CheckAnswer,
    Clip,
    ClipAnswer,
    ClipQuestion,
    ClipShowing,
    Episode,
    Event,
    Judgment,
)
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import banned_raters, withdrawn_answers
from leaderboard.studies.rules import StudyInfo

Row = dict[str, Any]

_ANSWER = {
    "rater": "pseudonym of the rater; empty for rules and models",
    "winner": "left, right, draw, both_bad or skip, sides as shown",
    "skip_reason": "no_opinion or broken; empty for other answers",
    "strength": "much or slightly: how much better the winner is, where the study asks; empty for other answers",
    "seconds": "time from serving to answer, in seconds",
    "created": "time of the answer, UTC, ISO 8601",
    "withdrawn": "whether the rater withdrew the answer, which then counts nowhere",
    "banned": "whether the rater is banned, whose answers count nowhere",
}
_SIDES = {
    "task": "name of the task",
    "seed": "seed of both episodes",
    "left_agent": "name of the left player",
    "right_agent": "name of the right player",
    "left_episode": "SHA-256 of the left video",
    "right_episode": "SHA-256 of the right video",
}
_WATCHED = {
    "watched_left": "share of the left video that was played, 0 to 1",
    "watched_right": "share of the right video that was played, 0 to 1",
}

COLUMNS: dict[str, tuple[str, dict[str, str]]] = {
    "judgments": (
        "An answer about a pair of episodes a row.",
        {
            "judgment": "id of the answer",
            **_SIDES,
            **_ANSWER,
            "source": "who judged: human, bedd, telemetry, model",
            "reason": "reason in the rater's words; empty if none or erased",
            **_WATCHED,
            "attempt": "0, or how often the rater has withdrawn an answer to this pair before",
        },
    ),
    "answers": (
        "An answer to one of the task's questions a row; questions left open have none.",
        {
            "judgment": "id in judgments or checks",
            "kind": "direct (did this player do it?) or comparative (which player?)",
            "question": "question as asked",
            "left": "direct: whether the left player did it",
            "right": "direct: whether the right player did it",
            "answer": "comparative: left, draw, right, or na if it does not apply",
        },
    ),
    "checks": (
        "An answer to an attention check or a practice pair a row; they are not among the judgments.",
        {
            "check": "id of the answer",
            **_SIDES,
            "kind": "qualification (practice), gold, repeat (a pair again, sides swapped) or self (a video against itself)",
            "expected": "right answer, sides as shown",
            "passed": "whether the answer was right",
            **_ANSWER,
            "reason": "reason in the rater's words; empty if none or erased",
            **_WATCHED,
        },
    ),
    "clips": (
        "An answer about a pair of clips a row.",
        {
            "answer": "id of the answer",
            "task": "name of the task",
            **{
                f"{side}_{name}": what.format(side=side)
                for side in ("left", "right")
                for name, what in {
                    "agent": "name of the {side} player",
                    "seed": "seed of the {side} episode",
                    "episode": "SHA-256 of the {side} episode's video",
                    "start": "first step of the {side} clip",
                    "stop": "step after the last one of the {side} clip",
                }.items()
            },
            **_ANSWER,
            "speed": "playback speed; 1 is as played",
            "dropped": "why the answer does not count; empty if it does",
            "repeats": "id of the rater's earlier answer that it repeats; empty for none",
            "gold": "known answer with the question's first clip on the left; empty for none",
        },
    ),
    "raters": (
        "A rater a row.",
        {
            "rater": "pseudonym",
            "invite": "label of the invite",
            "state": "invite, consent, qualify, failed, judge, done, banned, paused or ended",
            "held": "whether the rater is held for review",
            "browsers": "number of browsers",
            "joined": "time of joining, UTC, ISO 8601",
            "judged": "number of pairs judged",
            "skipped": "number of pairs skipped",
            "withdrawn": "number of withdrawn answers",
            "median_seconds": "median time from serving to answer, in seconds",
            "left_share": "share of left among left and right",
            "agreement": "share of equal answers among other raters' answers to the same pairs",
            "flags": "why an admin should look at this rater, joined by semicolons",
        },
    ),
    "player_events": (
        "An event of the video player a row, of judgments and checks.",
        {
            "judgment": "id in judgments or checks",
            "type": "play, pause, quarter-1 to quarter-4, ended, seek, restart, speed-N or full-screen",
            "at": "position in the video, in seconds",
            "clock": "time in the rater's browser, milliseconds since 1970, UTC",
        },
    ),
    "events": (
        "An audit event a row, in their order.",
        {
            "number": "order of the events of all studies",
            "kind": "settings, ban, unban, withdraw, erase, requalify, attach, ask, allow, hold or release",
            "rater": "pseudonym of the rater it is about",
            "answer": "id of the answer it is about",
            "by": "rater, rule or an admin's name",
            "data": "reason, or all settings from then on, as JSON",
            "created": "time, UTC, ISO 8601",
        },
    ),
}
"""The data dictionary: for each table, what a row is, and each column in its order."""


def write_archive(
    path: Path,
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    form: Literal["csv", "parquet"] = "csv",
) -> int:
    """Write all tables of `COLUMNS` and the data dictionary to a zip.

    Args:
        path: File to write.
        store: Leaderboard.
        study: Study to export.
        admin: Admin who exports it.
        form: Form of the tables; CSV is safe for spreadsheets.

    Returns:
        Number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    with (
        tempfile.TemporaryDirectory(prefix="basalt-archive-") as folder,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        files = {name: Path(folder) / f"{name}.{form}" for name in COLUMNS}
        with ExitStack() as held:
            sheets = {
                name: held.enter_context(_Sheet(file, COLUMNS[name][1]))
                for name, file in files.items()
            }
            _write_tables(store, study, admin, sheets)
        for file in files.values():
            archive.write(file, file.name)
        archive.writestr("README.md", _dictionary(study, form))
    return sum(sheet.rows for sheet in sheets.values())


_KINDS: dict[str, pa.DataType] = {
    **dict.fromkeys(("seed", "left_seed", "right_seed", "attempt", "number"), pa.int64()),
    **dict.fromkeys(("left_start", "left_stop", "right_start", "right_stop"), pa.int64()),
    **dict.fromkeys(("browsers", "judged", "skipped"), pa.int64()),
    **dict.fromkeys(("seconds", "watched_left", "watched_right", "speed", "at", "clock"), pa.float64()),
    **dict.fromkeys(("median_seconds", "left_share", "agreement"), pa.float64()),
    **dict.fromkeys(("passed", "held", "withdrawn", "banned", "left", "right"), pa.bool_()),
}  # fmt: skip
"""Types of columns in Parquet; all others are texts."""

_ROWS = 2_000
"""Rows that are written at a time."""


class _Sheet:
    """A table that is written row by row.

    Args:
        file: File to write, .csv or .parquet.
        columns: Names of its columns.

    Attributes:
        rows: Number of rows written.
    """

    def __init__(self, file: Path, columns: Iterable[str]) -> None:
        self._columns = list(columns)
        self._file, self._waiting = file, list[Row]()
        self.rows = 0

    def __enter__(self) -> "_Sheet":
        self._held = ExitStack()
        if self._file.suffix == ".csv":
            # Rows end with \r\n: the module quotes a \r in a text only if it ends rows, too.
            file = self._held.enter_context(self._file.open("w", encoding="utf-8", newline=""))
            self._csv = csv.DictWriter(file, self._columns)
            self._csv.writeheader()
        else:
            kinds = _KINDS | ({"withdrawn": pa.int64()} if "browsers" in self._columns else {})
            self._schema = pa.schema([(one, kinds.get(one, pa.string())) for one in self._columns])
            self._parquet = self._held.enter_context(
                parquet.ParquetWriter(self._file, self._schema)
            )
        return self

    def add(self, row: Row) -> None:
        """Write a row, of which columns of other tables are left out."""
        self._waiting.append({name: row[name] for name in self._columns})
        self.rows += 1
        if len(self._waiting) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._file.suffix == ".csv":
            self._csv.writerows(
                {key: inert(value) if isinstance(value, str) else value for key, value in row.items()}
                for row in self._waiting
            )  # fmt: skip
        else:
            self._parquet.write_table(pa.Table.from_pylist(self._waiting, self._schema))
        self._waiting = []

    def __exit__(self, *failure: object) -> None:
        with self._held:
            if failure[0] is None:
                self._flush()


def _dictionary(study: StudyInfo, form: str) -> str:
    lines = [
        f"# Study {study.name}",
        "",
        f"World {study.rules.world} {study.rules.version_text}; tasks {', '.join(study.rules.tasks)}. Rows of withdrawn "
        "answers and of banned raters are marked, not left out.",
    ]
    if form == "csv":
        lines.append(
            "In CSV files, an apostrophe precedes texts that a spreadsheet would run as a formula."
        )
    for name, (what, columns) in COLUMNS.items():
        lines += ["", f"## {name}.{form}", "", what, "", "| column | |", "|---|---|"]
        lines += [f"| `{column}` | {meaning} |" for column, meaning in columns.items()]
    return "\n".join(lines) + "\n"


def _write_tables(
    store: Store, study: StudyInfo, admin: AdminIdentity, sheets: Mapping[str, _Sheet]
) -> None:
    with store.read() as session:
        marks = _Marks(session, study)
        for name, key, found in (
            ("judgments", "judgment", _judgments(session, study, marks)),
            ("checks", "check", _checks(session, study, marks)),
        ):
            for row, asked in found:
                sheets[name].add(row)
                for one in _answers(row[key], asked):
                    sheets["answers"].add(one)
                for one in _player_events(row[key], asked):
                    sheets["player_events"].add(one)
        for row in _clips(session, study, marks):
            sheets["clips"].add(row)
        for row in _events(session, study):
            sheets["events"].add(row)
    for report in rater_reports(store, study, admin):
        own = {name: getattr(report, name) for name in COLUMNS["raters"][1] if name != "rater"}
        sheets["raters"].add(
            {
                **own,
                "rater": report.rater_id,
                "joined": report.joined and report.joined.isoformat(),
                "flags": "; ".join(report.flags),
            }
        )


class _Marks:
    """The columns that all answers have, with what became of them."""

    def __init__(self, session: Session, study: StudyInfo) -> None:
        self._gone = withdrawn_answers(session, study.id)
        self._banned = banned_raters(session, study.id)

    def of(self, one: Judgment | CheckAnswer | ClipAnswer) -> Row:
        return {
            "rater": one.rater_id,
            "winner": one.winner,
            "skip_reason": one.skip_reason,
            "strength": None if isinstance(one, ClipAnswer) else one.strength,
            "seconds": one.seconds,
            "created": one.created.isoformat(),
            "withdrawn": one.id in self._gone,
            "banned": one.rater_id in self._banned,
        }


def _sides(left: Episode, right: Episode, *agents: str) -> Row:
    return {
        "task": left.task,
        "seed": left.seed,
        "left_agent": agents[0],
        "right_agent": agents[1],
        "left_episode": left.video_sha256,
        "right_episode": right.video_sha256,
    }


def _with_sides(query: Any, pair: type[Judgment | AttentionCheck]) -> Any:
    left, right = aliased(Episode), aliased(Episode)
    left_agent, right_agent = aliased(Agent), aliased(Agent)
    return (
        query.add_columns(left, right, left_agent.name, right_agent.name)
        .join(left, pair.left_episode_id == left.id)
        .join(right, pair.right_episode_id == right.id)
        .join(left_agent, left.agent_id == left_agent.id)
        .join(right_agent, right.agent_id == right_agent.id)
    )


def _judgments(
    session: Session, study: StudyInfo, marks: _Marks
) -> Iterator[tuple[Row, Judgment | CheckAnswer]]:
    query = _with_sides(sa.select(Judgment), Judgment).where(Judgment.study_id == study.id)
    for one, *sides in streamed(session, query.order_by(Judgment.number)):
        own = {
            "judgment": one.id,
            "source": one.source,
            "reason": one.justification,
            "watched_left": one.watched_left,
            "watched_right": one.watched_right,
            "attempt": one.attempt,
        }
        yield {**own, **_sides(*sides), **marks.of(one)}, one


def _checks(
    session: Session, study: StudyInfo, marks: _Marks
) -> Iterator[tuple[Row, Judgment | CheckAnswer]]:
    query = _with_sides(
        sa.select(CheckAnswer, AttentionCheck).join(
            AttentionCheck, CheckAnswer.check_id == AttentionCheck.id
        ),
        AttentionCheck,
    ).where(CheckAnswer.study_id == study.id)
    for one, check, *sides in streamed(session, query.order_by(CheckAnswer.number)):
        own = {
            "check": one.id,
            "kind": check.kind,
            "expected": check.expected,
            "passed": one.passed,
            "reason": one.justification,
            "watched_left": one.watched_left,
            "watched_right": one.watched_right,
        }
        yield {**own, **_sides(*sides), **marks.of(one)}, one


def _answers(name: str, given: Judgment | CheckAnswer) -> Iterator[Row]:
    for one in given.responses.get("direct", ()):
        if one.get("left") is not None or one.get("right") is not None:
            yield {
                "judgment": name, "kind": "direct", "question": one.get("question"),
                "left": one.get("left"), "right": one.get("right"), "answer": None,
            }  # fmt: skip
    for one in given.responses.get("comparative", ()):
        if one.get("answer") is not None:
            yield {
                "judgment": name, "kind": "comparative", "question": one.get("question"),
                "left": None, "right": None, "answer": one["answer"],
            }  # fmt: skip


def _player_events(name: str, given: Judgment | CheckAnswer) -> Iterator[Row]:
    # What a browser reported was not checked.
    kinds: dict[str, type | tuple[type, ...]] = {
        "type": str,
        "at": (int, float),
        "clock": (int, float),
    }
    for one in given.video_events:
        if isinstance(one, dict):
            given_values = ((key, one.get(key), kind) for key, kind in kinds.items())
            yield {"judgment": name} | {
                key: value if isinstance(value, kind) else None for key, value, kind in given_values
            }


def _clips(session: Session, study: StudyInfo, marks: _Marks) -> Iterator[Row]:
    left, right = aliased(Clip), aliased(Clip)
    found = streamed(
        session,
        sa.select(ClipAnswer, ClipShowing, ClipQuestion, left, right)
        .join(ClipShowing, ClipAnswer.showing_id == ClipShowing.id)
        .join(ClipQuestion, ClipShowing.question_id == ClipQuestion.id)
        .join(left, ClipShowing.left_clip_id == left.id)
        .join(right, ClipShowing.right_clip_id == right.id)
        .where(ClipAnswer.study_id == study.id)
        .order_by(ClipAnswer.number),
    )
    for one, showing, question, *clips in found:
        row = {
            "answer": one.id,
            "task": question.task,
            "speed": one.speed,
            "dropped": one.dropped,
            "repeats": showing.repeats,
            "gold": question.gold,
            **marks.of(one),
        }
        for side, clip in zip(("left", "right"), clips, strict=True):
            row |= {
                f"{side}_agent": clip.agent,
                f"{side}_seed": clip.seed,
                f"{side}_episode": clip.episode_sha256,
                f"{side}_start": clip.start,
                f"{side}_stop": clip.stop,
            }
        yield row


def _events(session: Session, study: StudyInfo) -> Iterator[Row]:
    query = sa.select(Event).where(Event.study_id == study.id).order_by(Event.number)
    for (one,) in streamed(session, query):
        yield {
            "number": one.number,
            "kind": one.kind,
            "rater": one.rater_id,
            "answer": one.answer_id,
            "by": one.by,
            "data": json.dumps(one.data, sort_keys=True),
            "created": one.created.isoformat(),
        }
