"""A submission is registered whole or not at all, and says everything that is wrong with it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from basalt.core.recording import Recording, sha256_of
from basalt.core.recording_checks import check_recording
from basalt.io.errors import StudyError
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Agent, Episode, Submission
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.submissions import register as submissions
from leaderboard.submissions.checks import SubmissionError, check_submission
from leaderboard.submissions.names import name_key
from leaderboard.submissions.register import submit_recordings
from tests.support import ROOT
from tests.support.three_players import SEEDS, record


def stored(store: Store) -> tuple[int, int, int, int]:
    """Rows of agents, submissions and episodes, and files in the media folder."""
    with store.read() as session:
        rows = [
            session.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (Agent, Submission, Episode)
        ]
    files = sum(path.is_file() for path in store.media.rglob("*"))
    return (*rows, files)  # type: ignore[return-value]


def faults_of(store: Store, study: StudyInfo, folder: Path, name: str | None = None) -> list[str]:
    before = stored(store)
    with pytest.raises(SubmissionError) as caught:
        submit_recordings(store, study, folder, name)
    assert stored(store) == before
    return caught.value.faults


@pytest.fixture
def folder(tmp_path: Path, agents: dict[str, Path]) -> Path:
    """A copy of a player's recordings, to spoil."""
    return Path(shutil.copytree(agents["good"], tmp_path / "copy"))


def test_a_sound_folder_becomes_episodes_under_opaque_names(
    store: Store, study: StudyInfo, agents: dict[str, Path]
) -> None:
    done = submit_recordings(store, study, agents["good"])
    assert (done.agent, done.study, done.episodes) == ("good", "small", 2)
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode)))
    assert sorted(episode.seed for episode in episodes) == list(SEEDS)
    for episode in episodes:
        copy = Recording.open(store.media / f"{episode.media_name}.mp4")
        check_recording(copy)
        assert sha256_of(copy.video_path) == episode.video_sha256
        assert "good" not in str(copy.video_path.relative_to(store.media))


def test_a_name_given_replaces_the_players(
    store: Store, study: StudyInfo, agents: dict[str, Path]
) -> None:
    assert submit_recordings(store, study, agents["good"], " Deep Walker ").agent == "Deep Walker"


def test_a_twin_of_the_seeds_world_is_refused(store: Store, study: StudyInfo, folder: Path) -> None:
    recording = Recording.open(next(folder.glob("*.mp4")))
    assert recording.meta is not None
    edit = {"item": {"slot": 0, "to": "torch"}}
    meta = recording.meta.model_copy(update={"edit": edit})
    recording.meta_path.write_text(meta.model_dump_json())
    (fault,) = faults_of(store, study, folder)
    assert "was played in a world that was changed" in fault and "torch" in fault


@pytest.mark.parametrize("name", ["good", "GOOD", "ｇｏｏｄ", "go od"])
def test_a_taken_name_is_refused_in_any_disguise(
    store: Store, study: StudyInfo, agents: dict[str, Path], name: str
) -> None:
    submit_recordings(store, study, agents["good"])
    (fault,) = faults_of(store, study, agents["poor"], name)
    assert "'good' already" in fault
    assert name_key(name) == "good"


@pytest.mark.parametrize("name", ["", "tab\there", "x" * 65])
def test_names_that_cannot_be_shown_are_refused(
    store: Store, study: StudyInfo, agents: dict[str, Path], name: str
) -> None:
    (fault,) = faults_of(store, study, agents["good"], name)
    assert fault.startswith("agent name")


def test_a_damaged_video_is_named(store: Store, study: StudyInfo, folder: Path) -> None:
    video = folder / "find_cave-100001.mp4"
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 0xFF
    video.write_bytes(bytes(content))
    (fault,) = faults_of(store, study, folder)
    assert fault.startswith("find_cave-100001.mp4: ")
    assert "changed since" in fault


def test_all_faults_come_in_one_list(store: Store, study: StudyInfo, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    record(folder / "a", 100_001, world="minerl")
    record(folder / "b", 100_003, step_limit=3600)
    record(folder / "c", 100_001, task="make_waterfall")
    (folder / "d.mp4").write_bytes(b"no lines beside it")
    (folder / "e.mp4").write_bytes(b"no meta beside it")
    (folder / "e.jsonl").write_text("")
    faults = faults_of(store, study, folder)
    expected = [
        "a/find_cave-100001.mp4: was played in minerl 1; the study is about test 1",
        "b/find_cave-100003.mp4: has seed 100003",
        "b/find_cave-100003.mp4: was played under a limit of 3600 steps; the study's is 400",
        "c/make_waterfall-100001.mp4: is of task 'make_waterfall'; the study has find_cave",
        "d.mp4: d.jsonl: missing",
        "e.mp4: e.json is missing",
        "find_cave: no recording with seed 100002",
    ]
    assert len(faults) == len(expected)
    for fault, start in zip(faults, expected, strict=True):
        assert fault.startswith(start)


def test_a_seed_missing_or_twice_is_named(store: Store, study: StudyInfo, folder: Path) -> None:
    for path in list(folder.glob("*100002*")):
        path.unlink()
    record(folder / "more", 100_001, player="good")
    faults = faults_of(store, study, folder)
    assert any("no recording with seed 100002" in fault for fault in faults)
    assert any("second recording of find_cave with seed 100001" in fault for fault in faults)


def test_an_episode_longer_than_the_limit_is_refused(store: Store, tmp_path: Path) -> None:
    rules = demo_study({"find_cave": [100_001]}, "test", "1", step_limit=5)
    short = create_study(store, "short", rules)
    record(tmp_path / "long", 100_001, steps=6, step_limit=5)
    assert faults_of(store, short, tmp_path / "long") == [
        "find_cave-100001.mp4: has 6 steps; the study allows 5"
    ]


def test_a_tasks_version_is_set_by_its_first_submission_and_kept(
    store: Store, tmp_path: Path
) -> None:
    rules = demo_study({"find_cave": SEEDS, "make_waterfall": SEEDS}, "test", {"find_cave": "1"})
    study = create_study(store, "open", rules)
    for player, versions in (("first", "22"), ("second", "33"), ("mixed", "23")):
        for seed, version in zip(SEEDS, versions, strict=True):
            record(
                tmp_path / player, seed, player=player, task="make_waterfall", world_version=version
            )
    faults = faults_of(store, study, tmp_path / "mixed")
    assert len(faults) == 1 and "several versions of the world (2, 3)" in faults[0]
    late = check_submission(tmp_path / "second", study.name, study.rules)
    submit_recordings(store, study, tmp_path / "first")
    settled = find_study(store, "open")
    assert settled.rules.world_version == {"find_cave": "1", "make_waterfall": "2"}
    # Checked before the first submission was registered, and against the study of now.
    before = stored(store)
    with pytest.raises(StudyError, match="version of make_waterfall was set to 2"):
        submissions.register(store, study, late)
    assert stored(store) == before and find_study(store, "open").rules == settled.rules
    assert "the study is about test 2" in faults_of(store, settled, tmp_path / "second")[0]


def test_players_are_not_mixed(store: Store, study: StudyInfo, folder: Path) -> None:
    record(folder, 100_002, player="someone else")
    (fault,) = faults_of(store, study, folder)
    assert "'good', 'someone else'" in fault


def test_an_empty_or_missing_folder_is_explained(
    store: Store, study: StudyInfo, tmp_path: Path
) -> None:
    assert "holds no recordings" in faults_of(store, study, tmp_path)[0]
    assert "no such folder" in faults_of(store, study, tmp_path / "nowhere")[0]


def test_a_failure_while_registering_leaves_no_file(
    store: Store, study: StudyInfo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError("disk full")

    for name in ("_sync_folder", "_add_rows"):
        with monkeypatch.context() as patch:
            patch.setattr(submissions, name, lambda *_: fail(folder))
            with pytest.raises(OSError, match="disk full"):
                submit_recordings(store, study, folder)
        assert stored(store) == (0, 0, 0, 0)


def test_of_two_submissions_under_one_name_one_wins(
    store: Store, study: StudyInfo, agents: dict[str, Path]
) -> None:
    ended: list[str] = []

    def submit(folder: Path) -> None:
        try:
            ended.append(submit_recordings(store, study, folder, "same name").agent)
        except SubmissionError as err:
            ended.append(err.faults[0])

    threads = [threading.Thread(target=submit, args=(agents[agent],)) for agent in ("good", "poor")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended, key=len)[0] == "same name"
    assert "already" in sorted(ended, key=len)[1]
    assert stored(store) == (1, 1, 2, 6)


KILLED = """
import os, signal, sys
from pathlib import Path
from leaderboard.submissions import register as submissions
from leaderboard.store.database import open_store
from leaderboard.studies.rules import find_study

stage, location, media, folder = sys.argv[1:]
real = getattr(submissions, stage)
def die(*args):
    real(*args)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(submissions, stage, die)
store = open_store(location, media)
submissions.submit_recordings(store, find_study(store), Path(folder))
"""


@pytest.mark.parametrize("stage", ["copy_recordings", "_add_rows", "_sync_folder"])
def test_killed_at_any_moment_nothing_is_registered_half(
    store_place: tuple[str, Path],
    store: Store,
    study: StudyInfo,
    agents: dict[str, Path],
    stage: str,
) -> None:
    arguments = [stage, *map(str, store_place), str(agents["good"])]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert stored(store)[:3] == (0, 0, 0)
    # The same submission afterwards is whole, as if nothing had happened.
    reopened = open_store(*store_place)
    assert submit_recordings(reopened, study, agents["good"]).episodes == 2
    assert stored(reopened)[:3] == (1, 1, 2)
    reopened.close()


def test_old_leftovers_of_killed_submissions_are_swept(
    store: Store, study: StudyInfo, agents: dict[str, Path]
) -> None:
    old, fresh = store.media / ".staging-old", store.media / ".staging-fresh"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "x.mp4").write_bytes(b"half")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    submit_recordings(store, study, agents["good"])
    assert not old.exists()
    assert fresh.exists()
