"""Registering an agent's recordings in a study: all of them after all checks, or nothing."""

import os
import shutil
import time
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session
from tqdm import tqdm

from basalt.core.recording import Recording, RecordingMeta, find_videos, sha256_of
from basalt.io.errors import RecordingError, StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode, Study, Submission, new_id
from leaderboard.studies.rules import StudyInfo, StudyRules, checked_name
from leaderboard.submissions.bundle import MAX_FILE_BYTES, About, Manifest, manifest_of
from leaderboard.submissions.clean_video import Cleaning, clean, cleaning_of

_STAGING = ".staging-"
_STAGING_SECONDS = 24 * 3600


class SubmissionError(StudyError):
    """A submission that breaks its study's rules.

    Attributes:
        study: name of the study.
        faults: one line each, all that were found.
    """

    def __init__(self, folder: Path, study: str, faults: list[str]) -> None:
        self.study = study
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{folder}: not registered in study {study!r}, {count} to mend:\n{listed}")


@dataclass(frozen=True)
class SubmissionInfo:
    """A registered submission.

    Attributes:
        id: its opaque id.
        agent: the agent's name in the study.
        study: the study's name.
        episodes: how many episodes it has.
    """

    id: str
    agent: str
    study: str
    episodes: int


@dataclass(frozen=True)
class CheckedRecording:
    """A recording that keeps the study's rules, and what its video needs before it is shown."""

    recording: Recording
    meta: RecordingMeta
    cleaning: Cleaning | None = None


def submit_recordings(
    store: Store,
    study: StudyInfo,
    folder: str | Path,
    name: str | None = None,
    *,
    about: About | None = None,
    verified: Collection[tuple[str, int]] = (),
) -> SubmissionInfo:
    """Verify a folder of recordings against a study and register them as an agent's episodes.

    The files are copied into the store's media folder under opaque names. A process killed at any
    moment leaves no rows; copies it was making are removed by a submission a day later.

    Args:
        store: the leaderboard.
        study: the study, see :func:`leaderboard.studies.rules.find_study`.
        folder: holds the recordings (NAME.mp4, .jsonl and .json), also in folders below.
        name: the agent's name in the table; by default the player's name in the recordings.
        about: what the submission says of its agent, kept with it.
        verified: task and seed of the episodes that were replayed in their world and came out the same.

    Raises:
        SubmissionError: with the list of all faults; nothing was written.
    """
    folder = Path(folder)
    checked, name, faults = check_submission(folder, study.rules, name)
    if name:
        with store.read() as session:
            faults += _name_taken(session, study, name)
    if faults:
        raise SubmissionError(folder, study.name, faults)

    submission_id = new_id()
    staging = staging_folder(store)
    episodes = [(new_id(), item) for item in checked]
    about = (about or About(agent=name)).model_copy(update={"agent": name})
    manifest = manifest_of([item.recording for item in checked], about)
    try:
        shown = copy_recordings(staging, episodes)
        with store.write() as session:
            _lock_study(session, study)
            # Asked again under the lock: another submission may have taken the name meanwhile.
            if taken := _name_taken(session, study, name):
                raise SubmissionError(folder, study.name, taken)
            _add_rows(session, study, manifest, submission_id, episodes, shown, verified)
            put_in_place(store, staging, submission_id)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_unregistered(store, submission_id)
        raise
    return SubmissionInfo(submission_id, name, study.name, len(episodes))


def check_submission(
    folder: Path, rules: StudyRules, name: str | None
) -> tuple[list[CheckedRecording], str, list[str]]:
    """What may be told of a submission without its study's other agents.

    Args:
        folder: holds the recordings.
        rules: the study's.
        name: the agent's; None takes the player's.

    Returns:
        The recordings that keep the rules, the agent's name ("" where it has a fault), and all faults.
    """
    checked, faults = check_recordings(folder, rules)
    name, name_faults = _agent_name(checked, name)
    return checked, name, faults + name_faults


def check_recordings(folder: Path, rules: StudyRules) -> tuple[list[CheckedRecording], list[str]]:
    """The recordings below a folder that keep a study's rules, and all faults of the set, a line each."""
    if not folder.is_dir():
        return [], [f"{folder}: no such folder of recordings"]
    videos = find_videos(folder)
    if not videos:
        return [], [f"{folder}: holds no recordings (NAME.mp4 with NAME.jsonl and NAME.json)"]
    checked: list[CheckedRecording] = []
    faults: list[str] = []
    claimed: dict[tuple[str, int], str] = {}
    for video in videos:
        item, item_faults = check_recording(video, rules)
        faults += [f"{video.relative_to(folder)}: {fault}" for fault in item_faults]
        if item is None:
            continue
        key = (item.meta.task, item.meta.seed)
        if key in claimed:
            faults.append(
                f"{video.relative_to(folder)}: is the second recording of {key[0]} with seed {key[1]}, "
                f"after {claimed[key]}; keep one"
            )
            continue
        claimed[key] = str(video.relative_to(folder))
        if not item_faults:
            checked.append(item)
    for task, task_rules in rules.tasks.items():
        present = {seed for claimed_task, seed in claimed if claimed_task == task}
        missing = [str(seed) for seed in task_rules.seeds if seed not in present]
        if present and missing:
            faults.append(f"{task}: no recording with seed {', '.join(missing)}")
    return checked, faults


def check_recording(video: Path, rules: StudyRules) -> tuple[CheckedRecording | None, list[str]]:
    """One recording's claims and faults; None for the claims where it makes none that can be read."""
    try:
        recording = Recording.open(video)
    except RecordingError as err:
        return None, [_without_path(err, video.parent)]
    meta = recording.meta
    if meta is None:
        return None, [
            f"{recording.meta_path.name} is missing; it says task, world, seed and player"
        ]
    faults = []
    cleaning: Cleaning | None = None
    try:
        for path in (recording.video_path, recording.lines_path, recording.meta_path):
            if path.is_symlink() or path.stat().st_size > MAX_FILE_BYTES:
                return CheckedRecording(recording, meta), [
                    f"{path.name}: is a link, or larger than {MAX_FILE_BYTES} bytes"
                ]
        info = recording.check()
        recording.telemetry()
        cleaning = cleaning_of(recording.video_path, info)
        faults += _faults_of_end(recording, meta)
    except RecordingError as err:
        faults.append(_without_path(err, video.parent))
    if (meta.world, meta.world_version) != (rules.world, rules.world_version):
        faults.append(
            f"was played in {meta.world} {meta.world_version}; "
            f"the study is about {rules.world} {rules.world_version}"
        )
    if meta.edit is not None:
        faults.append(
            f"was played in a world that was changed ({meta.edit}); play the seed as it is"
        )
    task_rules = rules.tasks.get(meta.task)
    if task_rules is None:
        faults.append(f"is of task {meta.task!r}; the study has {', '.join(rules.tasks)}")
        return CheckedRecording(recording, meta), faults
    if meta.seed not in task_rules.seeds:
        seeds = ", ".join(str(seed) for seed in task_rules.seeds)
        faults.append(f"has seed {meta.seed}; the study's seeds of {meta.task} are {seeds}")
    if meta.step_limit != task_rules.step_limit:
        faults.append(
            f"was played under a limit of {meta.step_limit} steps; "
            f"the study's is {task_rules.step_limit}"
        )
    elif meta.steps > task_rules.step_limit:
        faults.append(f"has {meta.steps} steps; the study allows {task_rules.step_limit}")
    return CheckedRecording(recording, meta, cleaning), faults


def _faults_of_end(recording: Recording, meta: RecordingMeta) -> list[str]:
    """What is wrong with how an episode says that it ended."""
    if meta.ended == "crash":
        return ["ended by a failure of the world; record this seed again"]
    if meta.ended == "limit" and meta.steps < meta.step_limit:
        return [f"says that it ended at the limit of {meta.step_limit} steps, after {meta.steps}"]
    if meta.ended == "cut" and meta.steps < meta.step_limit:
        return [f"was cut after {meta.steps} steps, before the limit of {meta.step_limit}"]
    lines = recording.lines
    if meta.ended == "esc" and not (lines and lines[-1].ends_session):
        return ["says that its player ended it; no ESC is on its last line"]
    if meta.ended == "death" and meta.final_telemetry and not meta.final_telemetry.dead:
        return ["says that its player died; the last state is alive"]
    return []


def _without_path(err: RecordingError, parent: Path) -> str:
    # The fault's line already begins with the path below the submitted folder.
    return str(err).replace(f"{parent}{os.sep}", "")


def _agent_name(checked: list[CheckedRecording], name: str | None) -> tuple[str, list[str]]:
    players = sorted({item.meta.player for item in checked})
    if len(players) > 1:
        listed = ", ".join(repr(player) for player in players)
        return "", [f"the recordings are of several players ({listed}); submit each on its own"]
    if name is None and not players:
        return "", []
    try:
        return checked_name(players[0] if name is None else name, "agent name"), []
    except StudyError as err:
        return "", [str(err)]


def _name_taken(session: Session, study: StudyInfo, name: str) -> list[str]:
    taken = session.scalar(
        sa.select(Agent.name).where(Agent.study_id == study.id, Agent.name_key == name_key(name))
    )
    if taken is None:
        return []
    return [f"agent name {name!r}: the study has {taken!r} already; choose another with --name"]


def name_key(name: str) -> str:
    """What two names must differ in: letters without case, width or accents' spelling, no blanks."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def staging_folder(store: Store) -> Path:
    """Where files may lie before they are a submission's; not there yet, and swept a day later."""
    _sweep_staging(store.media)
    return store.media / f"{_STAGING}{new_id()}"


def put_in_place(store: Store, staging: Path, submission_id: str) -> None:
    """Give a submission's files their names, within the transaction that is to make its rows durable.

    So rows never lack their files.
    """
    if store.remote is not None:
        for path in sorted(staging.iterdir()):
            store.remote.put(path, f"{submission_id}/{path.name}")
    final = store.media / submission_id
    if final.exists():
        for path in sorted(staging.iterdir()):
            path.replace(final / path.name)
        _sync_folder(final)
    else:
        staging.rename(final)
    _sync_folder(store.media)


def copy_recordings(staging: Path, episodes: list[tuple[str, CheckedRecording]]) -> dict[str, str]:
    """Copy all files, videos cleaned where need be; SHA-256 of each episode's video as it is shown."""
    staging.mkdir(parents=True)
    shown = {}
    for episode_id, item in tqdm(episodes, "copy", unit="episode", disable=len(episodes) < 10):
        for source, claimed in (
            (item.recording.video_path, item.meta.video_sha256),
            (item.recording.lines_path, item.meta.lines_sha256),
        ):
            copy = staging / f"{episode_id}{source.suffix}"
            shutil.copyfile(source, copy)
            if sha256_of(copy) != claimed:
                raise StudyError(f"{source}: changed while it was being submitted; submit again")
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


def _add_rows(
    session: Session,
    study: StudyInfo,
    manifest: Manifest,
    submission_id: str,
    episodes: list[tuple[str, CheckedRecording]],
    shown: dict[str, str],
    verified: Collection[tuple[str, int]],
) -> None:
    name = manifest.agent
    now = datetime.now(UTC)
    agent = Agent(
        id=new_id(),
        study_id=study.id,
        name=name,
        name_key=name_key(name),
        kind=episodes[0][1].meta.player_kind,
        created=now,
    )
    session.add(agent)
    session.flush()
    session.add(
        Submission(
            id=submission_id,
            study_id=study.id,
            agent_id=agent.id,
            created=now,
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
            verified=(item.meta.task, item.meta.seed) in verified,
        )
        for episode_id, item in episodes
    )
    session.flush()


def _lock_study(session: Session, study: StudyInfo) -> None:
    # On PostgreSQL the row's lock; SQLite's write transaction already keeps others out.
    session.execute(sa.select(Study.id).where(Study.id == study.id).with_for_update())


def _remove_unregistered(store: Store, submission_id: str) -> None:
    """Remove a failed submission's files, unless its rows are durable after all."""
    with store.read() as session:
        registered = session.get(Submission, submission_id) is not None
    if not registered:
        shutil.rmtree(store.media / submission_id, ignore_errors=True)
        if store.remote is not None:
            with suppress(OSError):
                store.remote.remove(submission_id)


def _sweep_staging(media: Path) -> None:
    """Remove what submissions that were killed while copying left a day ago or longer."""
    for folder in media.glob(f"{_STAGING}*"):
        if time.time() - folder.stat().st_mtime > _STAGING_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def submitted_agents(store: Store, study: StudyInfo) -> set[str]:
    """Names of the agents that have a submission in the study."""
    with store.read() as session:
        return set(session.scalars(sa.select(Agent.name).where(Agent.study_id == study.id)))
