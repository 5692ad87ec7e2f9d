"""Register an agent's recordings in a study: all of them after all checks, or none."""

import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.recording import sha256_of
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.console import progress_bar
from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode, Submission, new_id
from leaderboard.studies.rules import StudyInfo, decide_versions, lock_study
from leaderboard.submissions.bundle import About, BundleManifest, manifest_of
from leaderboard.submissions.checks import (
    CheckedRecording,
    CheckedSubmission,
    SubmissionError,
    check_submission,
)
from leaderboard.submissions.clean_video import clean
from leaderboard.submissions.names import name_key, name_taken

_STAGING = ".staging-"
_STAGING_SECONDS = 24 * 3600


@dataclass(frozen=True)
class SubmissionInfo:
    """A registered submission.

    Attributes:
        id: Opaque id.
        agent: Name of the agent in the study.
        study: Name of the study.
        episodes: Number of episodes.
        replayed: Number of them that a replay led to the same places.
    """

    id: str
    agent: str
    study: str
    episodes: int
    replayed: int


def submit_recordings(
    store: Store,
    study: StudyInfo,
    folder: str | Path,
    name: str | None = None,
    *,
    about: About | None = None,
) -> SubmissionInfo:
    """Check a folder of recordings against a study and register them as an agent's episodes.

    Args:
        store: Leaderboard to register in.
        study: Study to register in, see `leaderboard.studies.rules.find_study`.
        folder: Folder that holds the recordings (NAME.mp4, .jsonl and .json), also in folders below it.
        name: Name of the agent in the table; by default the player's name in the recordings.
        about: Description of the agent, stored with the submission.

    Raises:
        SubmissionError: With the list of all problems; nothing is written.
    """
    checked = check_submission(
        Path(folder), study.name, study.rules, name, taken=submitted_agents(store, study)
    )
    return register(store, study, checked, about)


def register(
    store: Store,
    study: StudyInfo,
    submission: CheckedSubmission,
    about: About | None = None,
) -> SubmissionInfo:
    """Register recordings that were checked against the study's rules.

    The files are copied into the store's media folder under opaque names, and to its object store before the
    transaction begins, so that no answer waits for an upload. A process killed at any moment leaves no rows; its copies
    are removed by a submission a day later.

    Args:
        store: Leaderboard to register in.
        study: Study whose rules the recordings were checked against.
        submission: Checked recordings.
        about: Description of the agent, stored with the submission.

    Raises:
        SubmissionError: The agent's name is taken; nothing is written.
        StudyError: A file changed while it was copied, or another submission set a task to another version of
            its world; nothing is written.
    """
    submission_id = new_id()
    staging = staging_folder(store, submission_id)
    episodes = [(new_id(), item) for item in submission.recordings]
    about = submission.described(about)
    manifest = manifest_of([item.recording for item in submission.recordings], about)
    try:
        shown = copy_recordings(staging, episodes)
        upload(store, staging, submission_id)
        with store.write() as session:
            lock_study(session, study)
            decide_versions(session, study, submission.versions)
            # Under the lock: another submission may have taken the name since the check.
            taken = name_taken(submission.agent, _agent_names(session, study))
            if faults := taken or _known_recordings(session, study, submission, shown, episodes):
                raise SubmissionError(submission.source, study.name, faults)
            _add_rows(session, study, manifest, submission_id, episodes, shown, submission.replayed)
            put_in_place(store, staging, submission_id)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_unregistered(store, submission_id)
        raise
    return SubmissionInfo(
        submission_id, submission.agent, study.name, len(episodes), len(submission.replayed)
    )


def staging_folder(store: Store, submission_id: str | None = None) -> Path:
    """Path of a new folder for files that are not registered yet; leftovers are removed after a day.

    Args:
        store: Leaderboard.
        submission_id: Submission whose uploaded files are removed with the folder, unless it is registered.
    """
    _sweep_staging(store)
    return store.media / f"{_STAGING}{submission_id or new_id()}"


def upload(store: Store, staging: Path, submission_id: str) -> None:
    """Copy a submission's files to the object store, if the leaderboard has one, before any row is written.

    Raises:
        MediaError: A file cannot be written.
    """
    if store.remote is not None:
        for path in sorted(staging.iterdir()):
            store.remote.put(path, f"{submission_id}/{path.name}")


def put_in_place(store: Store, staging: Path, submission_id: str) -> None:
    """Move a submission's files to their final names, within the transaction that adds its rows.

    So no row is ever without its files.
    """
    final = store.media / submission_id
    if final.exists():
        for path in sorted(staging.iterdir()):
            path.replace(final / path.name)
        _sync_folder(final)
    else:
        staging.rename(final)
    _sync_folder(store.media)


def copy_recordings(staging: Path, episodes: list[tuple[str, CheckedRecording]]) -> dict[str, str]:
    """Copy all files and clean the videos; returns the SHA-256 of each episode's video as shown."""
    staging.mkdir(parents=True)
    shown = {}
    for episode_id, item in progress_bar(
        episodes, title="copy", unit="episode", shown=len(episodes) >= 10
    ):
        for source, claimed in (
            (item.recording.video_path, item.meta.video_sha256),
            (item.recording.lines_path, item.meta.lines_sha256),
        ):
            copy = staging / f"{episode_id}{source.suffix}"
            shutil.copyfile(source, copy)
            if sha256_of(copy) != claimed:
                raise StudyError(f"{source}: changed while it was submitted; submit again")
        meta = item.meta
        if item.cleaning is not None:
            video = staging / f"{episode_id}.mp4"
            cleaned = staging / f"{episode_id}.cleaned.mp4"
            meta = meta.model_copy(update={"video_sha256": clean(video, cleaned, item.cleaning)})
            cleaned.replace(video)
        (staging / f"{episode_id}.json").write_text(meta.model_dump_json(indent=1) + "\n")
        shown[episode_id] = meta.video_sha256
        for suffix in (".mp4", ".jsonl", ".json"):
            with (staging / f"{episode_id}{suffix}").open("rb") as file:
                os.fsync(file.fileno())
    _sync_folder(staging)
    return shown


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def add_agent(session: Session, study_id: str, name: str, kind: str) -> Agent:
    """Add an agent under a checked name, within a transaction."""
    agent = Agent(
        id=new_id(),
        study_id=study_id,
        name=name,
        name_key=name_key(name),
        kind=kind,
        created=datetime.now(UTC),
    )
    session.add(agent)
    session.flush()
    return agent


def _add_rows(
    session: Session,
    study: StudyInfo,
    manifest: BundleManifest,
    submission_id: str,
    episodes: list[tuple[str, CheckedRecording]],
    shown: dict[str, str],
    replayed: Collection[tuple[str, int]],
) -> None:
    agent = add_agent(session, study.id, manifest.agent, episodes[0][1].meta.player_kind)
    session.add(
        Submission(
            id=submission_id,
            study_id=study.id,
            agent_id=agent.id,
            created=agent.created,
            manifest=manifest.model_dump(mode="json"),
        )
    )
    session.flush()
    session.add_all(
        Episode(
            id=episode_id,
            study_id=study.id,
            submission_id=submission_id,
            agent_id=agent.id,
            task=item.meta.task,
            seed=item.meta.seed,
            steps=item.meta.steps,
            ended=item.meta.ended,
            video_sha256=shown[episode_id],
            lines_sha256=item.meta.lines_sha256,
            verified=item.key in replayed,
        )
        for episode_id, item in episodes
    )
    session.flush()


def _known_recordings(
    session: Session,
    study: StudyInfo,
    submission: CheckedSubmission,
    shown: dict[str, str],
    episodes: list[tuple[str, CheckedRecording]],
) -> list[str]:
    """The problem with a submission whose videos the study already has, one line each.

    A stored video holds nothing but its coded pictures, so its hash is the same in whatever container it is submitted.
    Different agents can share a moment (both press ESC at once), but no episode of a second or more, nor all of them.
    """
    of = {shown[episode_id]: item for episode_id, item in episodes}
    of |= {item.meta.video_sha256: item for _, item in episodes}
    rows = session.execute(
        sa.select(Episode.video_sha256, Agent.name)
        .join(Agent, Episode.agent_id == Agent.id)
        .where(Episode.study_id == study.id, Episode.video_sha256.in_(of))
    )
    known = {of[sha256].key: (of[sha256], agent) for sha256, agent in rows}
    if len(known) < len(episodes) and all(
        item.meta.steps < STEPS_PER_SECOND for item, _ in known.values()
    ):
        return []
    return [
        f"{item.recording.video_path.name}: the study has this recording already, by {agent!r}; "
        "submit an agent's own, once"
        for item, agent in known.values()
    ]


def _remove_unregistered(store: Store, submission_id: str) -> None:
    """Remove a failed submission's files, unless its rows are durable after all."""
    if not _is_registered(store, submission_id):
        shutil.rmtree(store.media / submission_id, ignore_errors=True)
        if store.remote is not None:
            with suppress(OSError):
                store.remote.remove(submission_id)


def _is_registered(store: Store, submission_id: str) -> bool:
    with store.read() as session:
        return session.get(Submission, submission_id) is not None


def _sweep_staging(store: Store) -> None:
    """Remove what killed submissions left a day ago or longer."""
    for folder in store.media.glob(f"{_STAGING}*"):
        if time.time() - folder.stat().st_mtime > _STAGING_SECONDS:
            submission_id = folder.name.removeprefix(_STAGING)
            if store.remote is not None and not _is_registered(store, submission_id):
                with suppress(OSError):
                    store.remote.remove(submission_id)
            shutil.rmtree(folder, ignore_errors=True)


def submitted_agents(store: Store, study: StudyInfo) -> set[str]:
    """Names of the agents that have a submission in the study."""
    with store.read() as session:
        return _agent_names(session, study)


def _agent_names(session: Session, study: StudyInfo) -> set[str]:
    return set(session.scalars(sa.select(Agent.name).where(Agent.study_id == study.id)))
