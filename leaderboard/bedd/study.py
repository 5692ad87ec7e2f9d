"""Import BEDD's answers as a study, and export any study's judgments in BEDD's format.

The study accepts judgments from the source `bedd` only, and its episodes have no videos: no pair is served
until `leaderboard.bedd.videos` adds them. Judgments by new raters then have score tables of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.comparisons import Comparison
from basalt.core.tasks import get_task
from basalt.io.atomic import write_json
from basalt.io.errors import ConfigError
from leaderboard.bedd.answers import BeddAnswer, BeddError, answer_keys, read_answers, read_banned
from leaderboard.store.database import Store
from leaderboard.store.models import (
    Agent,
    Episode,
    Judgment,
    Rater,
    Study,
    Submission,
    new_id,
    pair_key,
)
from leaderboard.studies.events import BY_RULE, banned_raters, record_ban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, StudyRules, TaskRules, add_study, checked_name
from leaderboard.submissions.names import name_key
from leaderboard.submissions.register import add_agent

STUDY_NAME = "BEDD"
"""Default name of the study."""

WORLD, WORLD_VERSION = "minerl", "1.0"
"""World of the published episodes; the files themselves do not name it."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_SIDES = {"left": "p1", "right": "p2", "draw": "draw"}
_ANSWERS = {side: answer for answer, side in _SIDES.items()}


@dataclass(frozen=True)
class BeddImport:
    """Result of an import.

    Attributes:
        study: Name of the study.
        added: Number of answers added.
        present: Number of answers that an earlier import added.
        banned: Number of answers left out because their worker is banned.
        taken_out: Number of workers who are banned from now on, and whose answers an earlier import added.
    """

    study: str
    added: int
    present: int
    banned: int
    taken_out: int = 0


def import_bedd(
    store: Store, answers: Path, banned: Path | None = None, name: str = STUDY_NAME
) -> BeddImport:
    """Import BEDD's answers into a study; importing the same files again adds nothing.

    If a worker is banned later, the answers stay in the store and leave the ratings.

    Ratings follow the file's order (newest first, so it is reversed). If a time is missing or before the
    previous answer's, the answer gets the next instant after it.

    Args:
        store: Leaderboard.
        answers: Path of `human_answers.json`.
        banned: Path of `banned_workers.json`; None bans nobody.
        name: Name of the study; it is made if it does not exist.

    Raises:
        BeddError: The files are not valid, or contradict an earlier import; nothing is written.
        StudyError: A name is not printable.
    """
    everything = read_answers(answers)
    out = read_banned(banned) if banned is not None else set()
    kept = [one for one in everything if one.worker_id not in out]
    if not kept:
        raise BeddError(f"{answers}: all {len(everything)} answers are by banned workers")
    with store.write() as session:
        study = _study(session, checked_name(name, "study name"), kept)
        taken_out = _ban(session, study, out)
        ids = [_digest(study, key) for key in answer_keys(kept)]
        present = dict(
            session.execute(
                sa.select(Judgment.id, Judgment.winner).where(Judgment.study_id == study.id)
            ).all()
        )
        for judgment_id, one in zip(ids, kept, strict=True):
            if present.get(judgment_id, one.winner) != one.winner:
                raise BeddError(
                    f"{answers}: answer {one.hash or ''} was imported before with another winner; "
                    "import into another study with --study"
                )
        new = [
            (judgment_id, one, moment)
            for judgment_id, one, moment in zip(ids, kept, _moments(kept), strict=True)
            if judgment_id not in present
        ]
        episodes = _episodes(session, study, [one for _, one, _ in new])
        raters = _raters(session, study, [one.worker_id for _, one, _ in new])
        session.add_all(
            _judgment(study, judgment_id, one, moment, episodes, raters)
            for judgment_id, one, moment in new
        )
    return BeddImport(
        study.name, len(new), len(kept) - len(new), len(everything) - len(kept), taken_out
    )


def export_bedd(path: Path, store: Store, study: StudyInfo, source: str | None = None) -> int:
    """Write judgments from one source in BEDD's format, newest first; returns their number.

    Only wins, losses and draws are written: BEDD has no answer for `both_bad` and `skip`, which do not
    change ratings. Raters appear under their opaque ids. Importing the file gives the same ratings.

    Raises:
        ConfigError: There are judgments from several sources, and none was chosen.
        WriteError: The file cannot be written.
    """
    comparisons = load_comparisons(store, study, [source] if source else None)
    sources = sorted({one.source for one in comparisons})
    if len(sources) > 1:
        raise ConfigError(
            f"study {study.name!r} has judgments from {', '.join(sources)}; choose one with --source"
        )
    with store.read() as session:
        details = {
            row.id: (row.responses, row.video_events)
            for row in session.execute(
                sa.select(Judgment.id, Judgment.responses, Judgment.video_events).where(
                    Judgment.study_id == study.id
                )
            )
        }
    answers = [
        _answer(one, *details[one.comparison_id]) for one in comparisons if one.winner in _SIDES
    ]
    write_json(path, answers[::-1])
    return len(answers)


def _study(session: Session, name: str, answers: Sequence[BeddAnswer]) -> Study:
    """The study of that name, made if it does not exist, with the answers' tasks and seeds."""
    seeds: dict[str, set[int]] = {}
    for one in answers:
        seeds.setdefault(one.basalt_task.name, set()).add(one.seed)
    world = answers[0].world or WORLD
    versions = {one.basalt_task.name: one.world_version or WORLD_VERSION for one in answers}
    study = session.scalar(sa.select(Study).where(Study.name == name).with_for_update())
    if study is None:
        rules = StudyRules(
            world=world,
            world_version=versions if len(set(versions.values())) > 1 else versions.popitem()[1],
            tasks={
                task: TaskRules(seeds=tuple(sorted(numbers)), step_limit=get_task(task).step_limit)
                for task, numbers in sorted(seeds.items())
            },
            ask_questions=True,
            sources=("bedd",),
        )
        return add_study(session, name, rules)
    rules = StudyRules.model_validate(study.rules)
    if "bedd" not in rules.sources or not {"bedd", "human"} >= set(rules.sources):
        raise BeddError(
            f"study {name!r} was not imported from BEDD; import into another study with --study"
        )
    for task, numbers in seeds.items():
        known = set(rules.tasks[task].seeds) if task in rules.tasks else set()
        same_world = (world, versions[task]) == (rules.world, rules.version_of(task))
        if not same_world or not numbers <= known:
            raise BeddError(
                f"study {name!r} was imported from other answers (world, tasks or seeds differ); "
                "import into another study with --study"
            )
    return study


def _ban(session: Session, study: Study, banned: set[str]) -> int:
    """Ban the workers whose answers are in the study already; returns the number of new bans."""
    keys = {_rater_key(study, worker) for worker in banned}
    raters = session.execute(
        sa.select(Rater.id, Rater.token_sha256)
        .join(Judgment, Judgment.rater_id == Rater.id)
        .where(Judgment.study_id == study.id)
        .distinct()
    )
    found = {rater for rater, key in raters if key in keys} - banned_raters(session, study.id)
    for rater in sorted(found):
        record_ban(session, study.id, rater, BY_RULE, "in the published list of banned workers")
    return len(found)


def _moments(answers: Sequence[BeddAnswer]) -> list[datetime]:
    """Time of each answer, made strictly increasing, so that sorting by time keeps the file's order."""
    moments: list[datetime] = []
    latest = _BEGINNING
    for one in answers:
        own = one.moment
        latest = own if own is not None and own > latest else latest + _INSTANT
        moments.append(latest)
    return moments


def _episodes(
    session: Session, study: Study, answers: Sequence[BeddAnswer]
) -> dict[tuple[str, str, int], str]:
    """Ids of all episodes by agent, task and seed; missing ones are added."""
    agents = {
        agent.name: agent
        for agent in session.scalars(sa.select(Agent).where(Agent.study_id == study.id))
    }
    ids = {
        (agent_name, task, seed): episode_id
        for agent_name, task, seed, episode_id in session.execute(
            sa.select(Agent.name, Episode.task, Episode.seed, Episode.id)
            .join(Episode, Episode.agent_id == Agent.id)
            .where(Episode.study_id == study.id)
        )
    }
    wanted = {
        (episode.agent_name, one.basalt_task.name, one.seed)
        for one in answers
        for episode in one.episodes
    }
    missing = sorted(wanted - ids.keys())
    now = datetime.now(UTC)
    submissions: dict[str, str] = {}
    for name in sorted({name for name, _, _ in missing}):
        if name not in agents:
            agents[name] = _agent(session, study, name, [*agents])
        submission = Submission(
            id=new_id(), study_id=study.id, agent_id=agents[name].id, created=now
        )
        session.add(submission)
        submissions[name] = submission.id
    session.flush()
    for name, task, seed in missing:
        # There is no video to hash, so the published episode's name is hashed instead.
        stand_in = sha256(f"bedd/{name}/{task}/{seed}".encode()).hexdigest()
        ids[name, task, seed] = new_id()
        session.add(
            Episode(
                id=ids[name, task, seed],
                study_id=study.id,
                submission_id=submissions[name],
                agent_id=agents[name].id,
                task=task,
                seed=seed,
                steps=0,
                ended="unknown",
                video_sha256=stand_in,
                lines_sha256=stand_in,
            )
        )
    session.flush()
    return ids


def _agent(session: Session, study: Study, name: str, taken: Sequence[str]) -> Agent:
    if checked_name(name, "agent name") != name or name_key(name) in map(name_key, taken):
        raise BeddError(f"agent name {name!r}: another agent's name differs only in case or blanks")
    return add_agent(session, study.id, name, "human" if name in ("Human1", "Human2") else "agent")


def _raters(session: Session, study: Study, workers: Sequence[str]) -> dict[str, str]:
    """Raters' ids by worker; workers are stored as hashes only, which differ between studies."""
    keys = {worker: _rater_key(study, worker) for worker in dict.fromkeys(workers)}
    present = {
        rater.token_sha256: rater.id
        for rater in session.execute(sa.select(Rater.token_sha256, Rater.id))
    }
    now = datetime.now(UTC)
    for key in keys.values():
        if key not in present:
            present[key] = new_id()
            session.add(Rater(id=present[key], token_sha256=key, name=None, created=now))
    session.flush()
    return {worker: present[key] for worker, key in keys.items()}


def _rater_key(study: Study, worker: str) -> str:
    # Not a SHA-256, so that no secret sent to the judging app can match it.
    return f"bedd:{sha256(f'{study.id}:{worker}'.encode()).hexdigest()[:59]}"


def _digest(study: Study, key: str) -> str:
    return sha256(f"{study.id}:{key}".encode()).hexdigest()[:32]


def _judgment(
    study: Study,
    judgment_id: str,
    one: BeddAnswer,
    moment: datetime,
    episodes: dict[tuple[str, str, int], str],
    raters: dict[str, str],
) -> Judgment:
    left, right = (
        episodes[episode.agent_name, one.basalt_task.name, one.seed] for episode in one.episodes
    )
    data = one.result.eval_metadata
    return Judgment(
        id=judgment_id,
        study_id=study.id,
        rater_id=raters[one.worker_id],
        left_episode_id=left,
        right_episode_id=right,
        pair=pair_key(left, right),
        winner=one.winner,
        source="bedd",
        responses={
            "direct": [
                {"question": item.question, "left": item.player_1, "right": item.player_2}
                for item in data.responses.direct_question
            ],
            "comparative": [
                {"question": item.question, "answer": _ANSWERS.get(item.answer)}
                for item in data.responses.comparisons
            ],
        },
        justification=data.responses.justificationText,
        video_events=list(data.VIDEO_EVENTS),
        seconds=one.seconds,
        created=moment,
    )


def _answer(one: Comparison, responses: dict[str, Any], events: list[Any]) -> dict[str, Any]:
    """A judgment as an element of `human_answers.json`, with our world and version added."""
    task = get_task(one.task).env_id
    moment = one.created.isoformat()
    end = round(one.created.timestamp() * 1000)
    ranks = [one.left_episode, one.right_episode]
    return {
        "hash": one.comparison_id,
        "created_at": moment,
        "updated_at": moment,
        "worker_id": one.rater or one.source,
        "task": task,
        "world": one.world,
        "world_version": one.world_version,
        "episodes": [
            {"agent_name": agent, "seed": str(one.seed), "task": task, "hash": episode}
            for agent, episode in (
                (one.left_agent, one.left_episode),
                (one.right_agent, one.right_episode),
            )
        ],
        "result": {
            "is_draw": one.winner == "draw",
            "ranks": ranks[::-1] if one.winner == "right" else ranks,
            "eval_metadata": {
                "win_player": _SIDES[one.winner],
                "start_time": None if one.seconds is None else end - round(one.seconds * 1000),
                "end_time": end,
                "responses": {
                    "direct_question": [
                        {
                            "question": item["question"],
                            "player_1": str(bool(item["left"])).lower(),
                            "player_2": str(bool(item["right"])).lower(),
                        }
                        for item in responses.get("direct", ())
                    ],
                    "comparisons": [
                        {
                            "question": item["question"],
                            "answer": _SIDES.get(item["answer"], "na"),
                        }
                        for item in responses.get("comparative", ())
                    ],
                    "justificationText": one.justification,
                },
                "VIDEO_EVENTS": events,
            },
        },
    }
