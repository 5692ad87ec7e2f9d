"""Checks of a submission against its study's rules; all problems are collected before anything is written."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from basalt.core.recording import Fault, Recording, RecordingMeta, find_videos
from basalt.core.recording_checks import decoding_fault, inspect
from basalt.core.video import VideoInfo
from basalt.io.console import progress_bar
from basalt.io.errors import RecordingError, StudyError, problem_list
from leaderboard.studies.rules import StudyRules, checked_name
from leaderboard.submissions.bundle import MAX_FILE_BYTES, About, BundleManifest
from leaderboard.submissions.clean_video import Cleaning, cleaning_of
from leaderboard.submissions.names import name_taken


class SubmissionError(StudyError):
    """A submission that breaks its study's rules.

    Attributes:
        study: Name of the study.
        faults: All problems found, one line each.
    """

    def __init__(self, source: Path, study: str, faults: list[str]) -> None:
        self.study = study
        self.faults = faults
        super().__init__(problem_list(f"{source}: rejected by study {study!r}", faults))


@dataclass(frozen=True)
class CheckedRecording:
    """A recording that follows the study's rules.

    Attributes:
        recording: The recording.
        meta: What it claims.
        cleaning: How its video must be cleaned before it is shown; None if it is shown as it is.
        warnings: What was found in the video that the rules allow.
    """

    recording: Recording
    meta: RecordingMeta
    cleaning: Cleaning | None = None
    warnings: tuple[Fault, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """Task and seed; a submission has one recording for each."""
        return self.meta.task, self.meta.seed


@dataclass(frozen=True)
class CheckedSubmission:
    """Recordings of one agent that follow a study's rules.

    Attributes:
        source: Path that the user submitted; errors name it.
        study: Name of the study.
        agent: Name of the agent.
        recordings: The recordings.
        replayed: Task and seed of the episodes that a replay confirmed.
    """

    source: Path
    study: str
    agent: str
    recordings: list[CheckedRecording]
    replayed: frozenset[tuple[str, int]] = frozenset()

    @property
    def versions(self) -> dict[str, str]:
        """Version of the world by task."""
        return {item.meta.task: item.meta.world_version for item in self.recordings}

    def described(self, about: About | None) -> About:
        """A description of the agent under its checked name."""
        return (about or About(agent=self.agent)).model_copy(update={"agent": self.agent})


def check_submission(
    folder: Path,
    study: str,
    rules: StudyRules,
    name: str | None = None,
    *,
    taken: Collection[str] = (),
    source: Path | None = None,
    manifest: BundleManifest | None = None,
) -> CheckedSubmission:
    """Check a folder of recordings against a study's rules.

    Args:
        folder: Folder that holds the recordings, also in folders below it.
        study: Name of the study.
        rules: Rules of the study.
        name: Name of the agent; by default the player's name in the recordings.
        taken: Names of the agents that the study already has.
        source: What the user submitted, if it is not the folder itself; named in the error.
        manifest: Manifest of the bundle that the folder was unpacked from, if it was.

    Raises:
        SubmissionError: With the list of all problems.
    """
    checked, faults = check_recordings(folder, rules)
    agent, name_faults = _agent_name(checked, name)
    faults += name_faults or name_taken(agent, taken)
    if manifest is not None:
        faults += _faults_of_manifest(manifest, folder, checked)
    source = source or folder
    if faults:
        raise SubmissionError(source, study, faults)
    return CheckedSubmission(source, study, agent, checked)


def _faults_of_manifest(
    manifest: BundleManifest, folder: Path, checked: list[CheckedRecording]
) -> list[str]:
    """Where a bundle's manifest and names of files differ from what its recordings say."""
    faults = []
    for item in checked:
        name = item.recording.video_path.relative_to(folder).with_suffix("").as_posix()
        said = f"{item.meta.task}/seed_{item.meta.seed}"
        if name != said:
            faults.append(f"{name}: is a recording of {said}; name it so")
        if item.meta.world != manifest.world:
            faults.append(
                f"{name}: was played in {item.meta.world}; the manifest says {manifest.world}"
            )
    found = ", ".join(sorted({item.meta.world_version for item in checked}))
    if checked and manifest.world_version != found:
        faults.append(
            f"the manifest says world_version {manifest.world_version!r}; the recordings say {found!r}"
        )
    return faults


def check_recordings(folder: Path, rules: StudyRules) -> tuple[list[CheckedRecording], list[str]]:
    """The recordings below a folder that follow the rules, and all problems of the set, one line each."""
    if rules.clips:
        return [], [
            "the study compares clips, which `basalt feedback ask` adds; name a study of episodes"
        ]
    if not folder.is_dir():
        return [], ["no such folder of recordings"]
    videos = find_videos(folder)
    if not videos:
        return [], ["holds no recordings (NAME.mp4 with NAME.jsonl and NAME.json)"]
    checked: list[CheckedRecording] = []
    faults: list[str] = []
    claimed: dict[tuple[str, int], str] = {}
    bar = progress_bar(videos, title="check", unit="recording", shown=len(videos) >= 10)
    for video in bar:
        name = str(video.relative_to(folder))
        item, item_faults = check_claims(video, rules)
        faults += [f"{name}: {fault}" for fault in item_faults]
        if item is None:
            continue
        task, seed = item.key
        if first := claimed.get(item.key):
            faults.append(
                f"{name}: is the second recording of {task} with seed {seed}, after {first}; keep one"
            )
            continue
        claimed[item.key] = name
        if not item_faults:
            checked.append(item)
    for task, task_rules in rules.tasks.items():
        present = {seed for claimed_task, seed in claimed if claimed_task == task}
        missing = [str(seed) for seed in task_rules.seeds if seed not in present]
        if present and missing:
            faults.append(f"{task}: no recording with seed {', '.join(missing)}")
        versions = {item.meta.world_version for item in checked if item.meta.task == task}
        if len(versions) > 1:
            faults.append(
                f"{task}: was played in several versions of the world ({', '.join(sorted(versions))}); "
                "play all seeds in one"
            )
    return checked, faults


def check_claims(
    video: Path, rules: StudyRules, *, even: bool = True
) -> tuple[CheckedRecording | None, list[str]]:
    """Check one recording's files, all of its frames, and what it claims.

    Args:
        video: Video of the recording.
        rules: Rules of the study.
        even: Whether frames that do not follow each other by 50 ms +- 1 are a problem, not a warning.

    Returns:
        The recording, None if it makes no claims that can be read; and the problems.
    """
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
    warnings: tuple[Fault, ...] = ()
    try:
        for path in (recording.video_path, recording.lines_path, recording.meta_path):
            if path.is_symlink() or path.stat().st_size > MAX_FILE_BYTES:
                return CheckedRecording(recording, meta), [
                    f"{path.name}: is a link, or larger than {MAX_FILE_BYTES} bytes"
                ]
        found = inspect(recording)
        unsound, warnings = found.faults, found.warnings
        if even:
            unsound, warnings = (*unsound, *warnings), ()
        faults += [_without_path(fault, video.parent) for fault in unsound]
        if not faults and found.video is not None:
            faults += _faults_of_claims(meta, found.video)
            recording.telemetry()
            # Last, since it takes longest.
            if fault := decoding_fault(recording.video_path, found.video):
                faults.append(_without_path(fault, video.parent))
            cleaning = cleaning_of(recording.video_path, found.video)
            faults += _faults_of_end(recording, meta)
    except RecordingError as err:
        faults.append(_without_path(err, video.parent))
    version = rules.version_of(meta.task) or meta.world_version
    if (meta.world, meta.world_version) != (rules.world, version):
        faults.append(
            f"was played in {meta.world} {meta.world_version}; "
            f"the study is about {rules.world} {version}"
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
    return CheckedRecording(recording, meta, cleaning, warnings), faults


def _faults_of_claims(meta: RecordingMeta, video: VideoInfo) -> list[str]:
    """Where a recording's NAME.json differs from its video; steps, frames and hashes are compared by `inspect`."""
    said = {"width": meta.width, "height": meta.height, "fps": meta.fps}
    found = {"width": video.width, "height": video.height, "fps": round(video.fps)}
    return [
        f"NAME.json says {name} {said[name]}, the video has {found[name]}"
        for name in said
        if said[name] != found[name]
    ]


def _faults_of_end(recording: Recording, meta: RecordingMeta) -> list[str]:
    """What is wrong with how an episode says that it ended."""
    if meta.ended == "crash":
        return ["ended by a failure of the world or the agent; record this seed again"]
    if meta.ended == "limit" and meta.steps < meta.step_limit:
        return [f"says that it ended at the limit of {meta.step_limit} steps, after {meta.steps}"]
    if meta.ended == "cut" and meta.steps < meta.step_limit:
        return [f"was cut after {meta.steps} steps, before the limit of {meta.step_limit}"]
    lines = recording.lines
    if meta.ended == "esc" and not (lines and lines[-1].ends_session):
        return ["says that its player ended it; no ESC is on its last line"]
    if meta.ended == "death" and meta.final_telemetry and not meta.final_telemetry.dead:
        return ["says that its player died; the player is alive in the last state"]
    return []


def _without_path(problem: RecordingError | Fault, parent: Path) -> str:
    # The problem's line already begins with the path below the submitted folder.
    return str(problem).replace(f"{parent}{os.sep}", "")


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
