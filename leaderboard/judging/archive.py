"""A study's data as one zip of tables with a data dictionary: everything that was asked, nothing left out.

Withdrawn answers and those of banned raters are there, marked. Raters appear under pseudonyms; names and the ids of crowd
platforms are left out.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from basalt.io.spreadsheet import write_csv
from leaderboard.judging.quality import rater_reports
from leaderboard.store.database import Store
from leaderboard.store.models import (
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

if TYPE_CHECKING:
    import pandas as pd

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
    import pandas as pd  # of extras, and slow to import

    rows = 0
    with (
        tempfile.TemporaryDirectory(prefix="basalt-archive-") as folder,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, table in _tables(store, study, admin).items():
            columns = list(COLUMNS[name][1])
            frame = pd.DataFrame([[row[one] for one in columns] for row in table], columns=columns)
            rows += len(frame)
            file = Path(folder) / f"{name}.{form}"
            _write(frame, file)
            archive.write(file, file.name)
        archive.writestr("README.md", _dictionary(study, form))
    return rows


def _write(frame: "pd.DataFrame", file: Path) -> None:
    if file.suffix == ".csv":
        write_csv(frame, file)
    else:
        frame.to_parquet(file, index=False)


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


def _tables(store: Store, study: StudyInfo, admin: AdminIdentity) -> Mapping[str, list[Row]]:
    with store.read() as session:
        marks = _Marks(session, study)
        judgments = list(_judgments(session, study, marks))
        checks = list(_checks(session, study, marks))
        asked = [
            *((row["judgment"], one) for row, one in judgments),
            *((row["check"], one) for row, one in checks),
        ]
        tables = {
            "judgments": [row for row, _ in judgments],
            "answers": list(_answers(asked)),
            "checks": [row for row, _ in checks],
            "clips": list(_clips(session, study, marks)),
            "player_events": [
                {"judgment": name, **{key: one.get(key) for key in ("type", "at", "clock")}}
                for name, answer in asked
                for one in answer.video_events
                if isinstance(one, dict)
            ],
            "events": list(_events(session, study)),
        }
    tables["raters"] = [
        {
            **{name: getattr(one, name) for name in COLUMNS["raters"][1] if name != "rater"},
            "rater": one.rater_id,
            "joined": one.joined and one.joined.isoformat(),
            "flags": "; ".join(one.flags),
        }
        for one in rater_reports(store, study, admin)
    ]
    return {name: tables[name] for name in COLUMNS}


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


def _sides(left: Episode, right: Episode) -> Row:
    return {
        "task": left.task,
        "seed": left.seed,
        "left_agent": left.agent.name,
        "right_agent": right.agent.name,
        "left_episode": left.video_sha256,
        "right_episode": right.video_sha256,
    }


def _judgments(
    session: Session, study: StudyInfo, marks: _Marks
) -> Iterator[tuple[Row, Judgment | CheckAnswer]]:
    left, right = aliased(Episode), aliased(Episode)
    found = session.execute(
        sa.select(Judgment, left, right)
        .join(left, Judgment.left_episode_id == left.id)
        .join(right, Judgment.right_episode_id == right.id)
        .where(Judgment.study_id == study.id)
        .order_by(Judgment.number)
    )
    for one, left_one, right_one in found:
        own = {
            "judgment": one.id,
            "source": one.source,
            "reason": one.justification,
            "watched_left": one.watched_left,
            "watched_right": one.watched_right,
            "attempt": one.attempt,
        }
        yield {**own, **_sides(left_one, right_one), **marks.of(one)}, one


def _checks(
    session: Session, study: StudyInfo, marks: _Marks
) -> Iterator[tuple[Row, Judgment | CheckAnswer]]:
    left, right = aliased(Episode), aliased(Episode)
    found = session.execute(
        sa.select(CheckAnswer, AttentionCheck, left, right)
        .join(AttentionCheck, CheckAnswer.check_id == AttentionCheck.id)
        .join(left, AttentionCheck.left_episode_id == left.id)
        .join(right, AttentionCheck.right_episode_id == right.id)
        .where(CheckAnswer.study_id == study.id)
        .order_by(CheckAnswer.number)
    )
    for one, check, left_one, right_one in found:
        own = {
            "check": one.id,
            "kind": check.kind,
            "expected": check.expected,
            "passed": one.passed,
            "reason": one.justification,
            "watched_left": one.watched_left,
            "watched_right": one.watched_right,
        }
        yield {**own, **_sides(left_one, right_one), **marks.of(one)}, one


def _answers(asked: Iterable[tuple[str, Judgment | CheckAnswer]]) -> Iterator[Row]:
    for name, given in asked:
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


def _clips(session: Session, study: StudyInfo, marks: _Marks) -> Iterator[Row]:
    left, right = aliased(Clip), aliased(Clip)
    found = session.execute(
        sa.select(ClipAnswer, ClipShowing, ClipQuestion, left, right)
        .join(ClipShowing, ClipAnswer.showing_id == ClipShowing.id)
        .join(ClipQuestion, ClipShowing.question_id == ClipQuestion.id)
        .join(left, ClipShowing.left_clip_id == left.id)
        .join(right, ClipShowing.right_clip_id == right.id)
        .where(ClipAnswer.study_id == study.id)
        .order_by(ClipAnswer.number)
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
    found = session.scalars(
        sa.select(Event).where(Event.study_id == study.id).order_by(Event.number)
    )
    for one in found:
        yield {
            "number": one.number,
            "kind": one.kind,
            "rater": one.rater_id,
            "answer": one.answer_id,
            "by": one.by,
            "data": json.dumps(one.data, sort_keys=True),
            "created": one.created.isoformat(),
        }
