"""Add the published evaluation's videos to its answers, so that new agents can be judged against them.

The files are `agent_videos/AGENT/TASK/seed_N.mp4`, with the task's short name or its environment's name.
Episodes without a video are not served.
"""

import shutil
from pathlib import Path

import sqlalchemy as sa

from basalt.io.console import note, progress_bar
from basalt.io.errors import problem_list
from leaderboard.bedd.answers import SHOWN_FAULTS, BeddError
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode, Study
from leaderboard.studies.rules import StudyInfo, StudyRules
from leaderboard.submissions.checks import CheckedRecording, check_claims
from leaderboard.submissions.legacy_episodes import LegacyOrigin, convert_legacy
from leaderboard.submissions.register import (
    copy_recordings,
    put_in_place,
    staging_folder,
    upload,
)


def add_videos(store: Store, study: StudyInfo, videos: Path) -> int:
    """Add videos to the episodes of an imported evaluation; returns the number of new ones.

    People may then judge in the study too; their judgments have score tables of their own. Running this
    again adds only what is missing.

    Args:
        store: Leaderboard.
        study: Study made by `leaderboard.bedd.study.import_bedd`.
        videos: Folder that holds one folder per agent.

    Raises:
        BeddError: With all faults of the folder: an agent, task or seed without answers, or a video that
            is not readable or breaks the rules; nothing is added.
    """
    folders = _agent_folders(videos)
    waiting = _waiting(store, study)
    scratch = staging_folder(store)
    try:
        found, faults = _checked(study, videos, folders, waiting, scratch)
        if faults:
            raise BeddError(problem_list(f"{videos}: no video was added", faults, SHOWN_FAULTS))
        warned = [one for items in found.values() for _, one in items if one.warnings]
        if warned:
            note(
                f"{videos}: {len(warned)} of {sum(map(len, found.values()))} videos are not shown at the "
                f"times of their steps; the first: {warned[0].meta.player}, {warned[0].meta.task} seed "
                f"{warned[0].meta.seed}: {warned[0].warnings[0].detail}"
            )
        for submission, episodes in progress_bar(
            found.items(), title="copy", unit="agent", shown=len(found) >= 3
        ):
            _add(store, submission, episodes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _let_people_judge(store, study)
    return sum(map(len, found.values()))


def _agent_folders(videos: Path) -> list[Path]:
    try:
        folders = sorted(path for path in videos.iterdir() if path.is_dir())
    except OSError as err:
        raise BeddError(f"{videos}: cannot be read ({err.strerror})") from err
    if not folders:
        raise BeddError(f"{videos}: expected folders of agents (AGENT/TASK/seed_N.mp4)")
    return folders


def _waiting(store: Store, study: StudyInfo) -> dict[tuple[str, str, int], tuple[str, str] | None]:
    """By agent, task and seed: ids of the submission and episode, or None if it has a video already."""
    query = (
        sa.select(Agent.name, Episode).join(Episode).where(Episode.study_id == study.id)
    )  # fmt: skip
    with store.read() as session:
        return {
            (name, one.task, one.seed): None if one.steps else (one.submission_id, one.id)
            for name, one in session.execute(query)
        }


def _checked(
    study: StudyInfo,
    videos: Path,
    folders: list[Path],
    waiting: dict[tuple[str, str, int], tuple[str, str] | None],
    scratch: Path,
) -> tuple[dict[str, list[tuple[str, CheckedRecording]]], list[str]]:
    """By submission: episode ids and the recordings made from the videos; and all faults."""
    rules = study.rules
    agents = {name for name, _, _ in waiting}
    found: dict[str, list[tuple[str, CheckedRecording]]] = {}
    faults: list[str] = []
    bar = progress_bar(folders, title="check", unit="agent", shown=len(folders) >= 3)
    for number, folder in enumerate(bar):
        if folder.name not in agents:
            faults.append(f"{folder.name}: there are no answers about an agent of that name")
            continue
        origin = LegacyOrigin(folder.name, rules.world, rules.version_text)
        out = scratch / str(number)
        faults += [f"{folder.name}/{fault}" for fault in convert_legacy(folder, out, origin)]
        for video in sorted(out.rglob("*.mp4")):
            item, item_faults = check_claims(video, rules, even=False)
            where = f"{folder.name}/{video.relative_to(out)}"
            faults += [f"{where}: {fault}" for fault in item_faults]
            if item is None or item_faults:
                continue
            key = (folder.name, item.meta.task, item.meta.seed)
            if key not in waiting:
                faults.append(f"{where}: there are no answers about this seed")
            elif (place := waiting[key]) is not None:
                submission, episode = place
                found.setdefault(submission, []).append((episode, item))
    return found, faults


def _add(store: Store, submission: str, episodes: list[tuple[str, CheckedRecording]]) -> None:
    """Add the videos of one agent, all of them or none."""
    staging = staging_folder(store)
    try:
        shown = copy_recordings(staging, episodes)
        upload(store, staging, submission)
        with store.write() as session:
            for episode_id, item in episodes:
                row = session.get_one(Episode, episode_id, with_for_update=True)
                row.steps, row.ended = item.meta.steps, item.meta.ended
                row.video_sha256, row.lines_sha256 = shown[episode_id], item.meta.lines_sha256
            put_in_place(store, staging, submission)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _let_people_judge(store: Store, study: StudyInfo) -> None:
    with store.write() as session:
        row = session.get_one(Study, study.id, with_for_update=True)
        rules = StudyRules.model_validate(row.rules)
        row.rules = rules.model_copy(update={"sources": ("human", "bedd")}).model_dump(mode="json")
