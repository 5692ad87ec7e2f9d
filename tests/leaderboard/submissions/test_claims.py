"""A submission's claims are compared with its files, and nobody enters with recordings that a study has."""

import contextlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from basalt.core.recording import Recording, find_recordings, sha256_of
from leaderboard.store.database import Store, open_store
from leaderboard.store.media import MediaError, RemoteMedia
from leaderboard.store.models import Agent, Episode, Submission
from leaderboard.studies.rules import StudyInfo, demo_study
from leaderboard.submissions import register
from leaderboard.submissions.bundle import MANIFEST, About, write_bundle
from leaderboard.submissions.checks import SubmissionError, check_submission
from leaderboard.submissions.legacy_episodes import LegacyOrigin
from leaderboard.submissions.register import submit_recordings
from leaderboard.submissions.submit import ReplayPlan, prepared, submit
from tests.support.three_players import SEEDS, record, unwatched_study

PLAN = ReplayPlan()
slow = settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "leaderboard.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))


def counts(store: Store) -> tuple[int, ...]:
    with store.read() as session:
        rows = [
            session.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (Agent, Submission, Episode)
        ]
    return (*rows, sum(path.is_file() for path in store.media.rglob("*")))  # type: ignore[arg-type]


CLAIMS = st.one_of(
    st.tuples(st.sampled_from(["width", "height", "fps", "steps", "frames"]), st.integers(-(2**40), 2**40)),
    st.tuples(st.just("seed"), st.integers(0, 2**40)),
    st.tuples(st.sampled_from(["task", "world", "world_version"]), st.text("abz0", min_size=1, max_size=5)),
    st.tuples(st.sampled_from(["video_sha256", "lines_sha256"]), st.text("0af", min_size=64, max_size=64)),
)  # fmt: skip


@slow
@given(claim=CLAIMS)
def test_no_claim_that_differs_from_the_file_is_accepted(
    study: StudyInfo, agents: dict[str, Path], tmp_path: Path, claim: tuple[str, object]
) -> None:
    name, value = claim
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(agents["good"], copy)
    path = next(copy.glob("*.json"))
    said = json.loads(path.read_text())
    assume(said[name] != value)
    path.write_text(json.dumps(said | {name: value}))
    with pytest.raises(SubmissionError) as caught:
        check_submission(copy, study.name, study.rules)
    assert any(path.stem in fault for fault in caught.value.faults)


def bundle_with(path: Path, source: Path, files: dict[str, str], **said: object) -> Path:
    """A bundle whose manifest says something else, with files under other names."""
    whole = path.with_suffix(".whole.zip")
    write_bundle(whole, find_recordings(source), About(agent="good"))
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        manifest = json.loads(old.read(MANIFEST))
        manifest["files"] = {files.get(n, n): facts for n, facts in manifest["files"].items()}
        new.writestr(MANIFEST, json.dumps(manifest | said))
        for name in old.namelist():
            if name != MANIFEST:
                new.writestr(files.get(name, name), old.read(name))
    return path


def other_name(name: str) -> dict[str, str]:
    first = f"find_cave/seed_{SEEDS[0]}"
    return {f"{first}{suffix}": f"{name}{suffix}" for suffix in (".mp4", ".jsonl", ".json")}


@pytest.mark.parametrize(
    ("files", "said", "expected"),
    [
        ({}, {"world": "other"}, "the manifest says other"),
        ({}, {"world_version": "2"}, "the manifest says world_version '2'"),
        (other_name("find_cave/seed_7"), {}, f"is a recording of find_cave/seed_{SEEDS[0]}"),
        (other_name(f"make_waterfall/seed_{SEEDS[0]}"), {}, "is a recording of find_cave"),
    ],
)
def test_a_bundles_claims_are_compared_with_its_recordings(
    store: Store, study: StudyInfo, agents: dict[str, Path], tmp_path: Path,
    files: dict[str, str], said: dict[str, object], expected: str,
) -> None:  # fmt: skip
    path = bundle_with(tmp_path / "b.zip", agents["good"], files, **said)
    asked = {(task, seed) for task in ("find_cave", "make_waterfall") for seed in (*SEEDS, 7)}
    with (
        prepared(path, LegacyOrigin("x", None, None), study.name, lambda: asked) as given,
        pytest.raises(SubmissionError) as caught,
    ):
        submit(given, study.name, str(store.url), None, PLAN, None)
    assert expected in "\n".join(caught.value.faults)
    assert counts(store) == (0, 0, 0, 0)


def say_anew(recording: Recording) -> None:
    """Make a recording's NAME.json fit its changed files."""
    assert recording.meta is not None
    update = {"player": "somebody else", "video_sha256": sha256_of(recording.video_path)}
    recording.meta_path.write_text(recording.meta.model_copy(update=update).model_dump_json())


def remuxed(video: Path, title: str, options: dict[str, str]) -> None:
    """The same coded pictures in another file."""
    other = video.with_name("other.mp4")
    with av.open(str(video)) as before, av.open(str(other), "w", options=options) as after:
        after.metadata["title"] = title
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    other.replace(video)


@slow
@given(
    title=st.text("abc ", min_size=1, max_size=9),
    options=st.sampled_from([{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe"}]),
    edit=st.booleans(),
)
def test_the_same_recordings_under_a_second_name_are_refused_in_any_container(
    store: Store, study: StudyInfo, agents: dict[str, Path], tmp_path: Path,
    title: str, options: dict[str, str], edit: bool,
) -> None:  # fmt: skip
    if not counts(store)[0]:
        submit_recordings(store, study, agents["good"])
    before = counts(store)
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(agents["good"], copy)
    for recording in find_recordings(copy):
        if edit:
            remuxed(recording.video_path, title, options)
        say_anew(recording)
    with pytest.raises(SubmissionError) as caught:
        submit_recordings(store, study, copy)
    assert len(caught.value.faults) == len(SEEDS)
    assert all("has this recording already, by 'good'" in one for one in caught.value.faults)
    assert counts(store) == before


def test_one_long_episode_of_another_agent_is_enough_and_a_short_one_is_not(
    store: Store, study: StudyInfo, tmp_path: Path
) -> None:
    def entry(name: str, players: tuple[str, str], steps: tuple[int, int]) -> Path:
        for seed, player, length in zip(SEEDS, players, steps, strict=True):
            recording = record(tmp_path / name, seed, player=player, steps=length)
            assert recording.meta is not None
            meta = recording.meta.model_copy(update={"player": name})
            recording.meta_path.write_text(meta.model_dump_json())
        return tmp_path / name

    submit_recordings(store, study, entry("first", ("ann", "ann"), (4, 30)))
    # Both end at once on the first seed.
    submit_recordings(store, study, entry("second", ("ann", "bob"), (4, 30)))
    with pytest.raises(SubmissionError, match="by 'first'") as caught:
        submit_recordings(store, study, entry("third", ("cid", "ann"), (4, 30)))
    assert len(caught.value.faults) == 1
    assert counts(store)[:3] == (2, 2, 4)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "s.sqlite", f"file://{tmp_path}/bucket")
    yield opened
    opened.close()


def test_uploads_happen_while_others_can_write(
    remote: Store, agents: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = unwatched_study(remote, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    uploaded: list[str] = []
    put = RemoteMedia.put

    def watched(self: RemoteMedia, path: Path, name: str) -> None:
        # Another program's transaction, which would find the database locked by ours.
        with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert other.execute("SELECT count(*) FROM submission").fetchone() == (0,)
        put(self, path, name)
        uploaded.append(name)

    monkeypatch.setattr(RemoteMedia, "put", watched)
    submit_recordings(remote, study, agents["good"])
    assert len(uploaded) == 3 * len(SEEDS)


@given(at=st.integers(0, 3 * len(SEEDS)))
@settings(
    deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_failed_upload_leaves_nothing_and_can_be_repeated(
    tmp_path_factory: pytest.TempPathFactory, agents: dict[str, Path], at: int
) -> None:
    place = tmp_path_factory.mktemp("remote")
    bucket = place / "bucket"
    store = open_store(place / "s.sqlite", f"file://{bucket}")
    study = unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    put, place_files, calls = RemoteMedia.put, register.put_in_place, 0

    def fails(self: RemoteMedia, path: Path, name: str) -> None:
        nonlocal calls
        if calls == at:
            raise MediaError(f"{name}: cannot be written (connection reset)")
        calls += 1
        put(self, path, name)

    def fails_last(*_: object) -> None:
        raise MediaError("the disk is full")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RemoteMedia, "put", fails)
        patched.setattr(register, "put_in_place", fails_last)
        with pytest.raises(MediaError):
            submit_recordings(store, study, agents["good"])
    assert counts(store) == (0, 0, 0, 0)
    assert not [path for path in bucket.rglob("*") if path.is_file()]
    assert register.put_in_place is place_files
    submit_recordings(store, study, agents["good"])
    assert counts(store)[:3] == (1, 1, 2)
    assert sum(path.is_file() for path in bucket.rglob("*")) == 3 * len(SEEDS)
    store.close()
