"""Bundles and plain folders become submissions; all problems are listed at once, and nothing changes."""

import contextlib
import hashlib
import json
import random
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from basalt.cli.main import run
from basalt.core.recording import Recording, find_recordings, sha256_of
from basalt.core.recording_checks import check_recording
from basalt.core.video import VideoWriter
from basalt.io.errors import StudyError
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Episode, Submission
from leaderboard.studies import settings
from leaderboard.studies.rules import StudyInfo, StudyRules, create_study, demo_study
from leaderboard.submissions import checks
from leaderboard.submissions import submit as submitting
from leaderboard.submissions.bundle import (
    MANIFEST,
    About,
    BundleError,
    BundleManifest,
    unpack_bundle,
    write_bundle,
)
from leaderboard.submissions.checks import CheckedRecording, SubmissionError, check_recordings
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, record

ABOUT = About(agent="good", agent_version="2", authors=("Ada",), training_data="none")


@pytest.fixture
def bundle(tmp_path: Path, agents: dict[str, Path]) -> Path:
    path = tmp_path / "good.zip"
    write_bundle(path, find_recordings(agents["good"]), ABOUT)
    return path


def respoiled(path: Path, spoil: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> Path:
    """The bundle written again, after something was done to its files by name."""
    with zipfile.ZipFile(path) as file:
        files = {name: file.read(name) for name in file.namelist()}
    out = path.with_name("spoilt.zip")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        spoil(file, files)
        for name, content in files.items():
            file.writestr(name, content)
    return out


@examples(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_bundle_is_refused_or_read_and_nothing_else(
    bundle: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(bundle.read_bytes())
    # Names, flags and offsets are in the table of contents at the end, and before each file.
    for _ in range(data.draw(st.integers(1, 4))):
        near = data.draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]))
        place = content.find(near) + data.draw(st.integers(4, 60))
        if 0 <= place < len(content):
            content[place] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content)
    shutil.rmtree(tmp_path / "into", ignore_errors=True)
    with contextlib.suppress(BundleError):
        unpack_bundle(damaged, tmp_path / "into")


def test_a_name_that_is_not_utf_8_is_refused(bundle: Path, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    entry = content.index(b"PK\x01\x02")
    flags, name = entry + 8, entry + 46
    broken = bytearray(content)
    broken[flags + 1] |= 0x08  # "names are UTF-8"
    broken[name] = 0xFF
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(BundleError, match="damaged"):
        unpack_bundle(tmp_path / "broken.zip", tmp_path / "into")


def test_a_bundle_comes_back_as_it_went_in(
    tmp_path: Path, bundle: Path, agents: dict[str, Path]
) -> None:
    manifest = unpack_bundle(bundle, tmp_path / "out")
    assert (manifest.agent, manifest.authors, manifest.world) == ("good", ("Ada",), "test")
    assert len(manifest.files) == 3 * len(SEEDS)
    before = {one.meta.seed: one.meta for one in find_recordings(agents["good"]) if one.meta}
    after = {one.meta.seed: one.meta for one in find_recordings(tmp_path / "out") if one.meta}
    assert before == after


def symlink(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    info = zipfile.ZipInfo("find_cave/seed_100001.mp4")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    del files[info.filename]
    file.writestr(info, "/etc/passwd")


def bomb(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    files["find_cave/seed_100001.jsonl"] = bytes(50 * 2**20)


def zeros(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    name, content = "find_cave/seed_100001.jsonl", bytes(50 * 2**20)
    files[name] = content
    manifest = json.loads(files[MANIFEST])
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files[MANIFEST] = json.dumps(manifest).encode()


def large_description(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    name, content = "find_cave/seed_100001.json", random.Random(0).randbytes(2**20 + 1)
    files[name] = content
    manifest = json.loads(files[MANIFEST])
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files[MANIFEST] = json.dumps(manifest).encode()


def packed_by(method: int) -> Callable[[zipfile.ZipFile, dict[str, bytes]], None]:
    def spoil(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
        name = "find_cave/seed_100001.jsonl"
        file.writestr(name, files.pop(name), method)

    return spoil


def changed(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    name = "find_cave/seed_100001.jsonl"
    files[name] = files[name].replace(b"w", b"s", 1)


def lying_size(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    manifest = json.loads(files[MANIFEST])
    manifest["files"]["find_cave/seed_100001.jsonl"]["bytes"] = 10**15
    files[MANIFEST] = json.dumps(manifest).encode()


def nameless(file: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    manifest = json.loads(files[MANIFEST])
    manifest["agent"] = "a\x00b\n<script>\x1b"
    files[MANIFEST] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _, files: files.update({"../../evil.mp4": b"x"}), "not a valid file name"),
        (lambda _, files: files.update({"/etc/passwd": b"x"}), "not a valid file name"),
        (lambda _, files: files.update({"a\\..\\b.mp4": b"x"}), "not a valid file name"),
        (lambda _, files: files.update({"find_cave/seed_7.mp4": b"x"}), "is not in manifest.json"),
        (lambda _, files: files.pop("find_cave/seed_100001.mp4"), "is in manifest.json but not"),
        (lambda _, files: files.pop(MANIFEST), "manifest.json is missing"),
        (lambda _, files: files.update({MANIFEST: b"{"}), "manifest.json"),
        (
            lambda _, files: files.update({f"find_cave/seed_{n}.mp4": b"" for n in range(1001)}),
            "at most 1000",
        ),
        (symlink, "is not a regular file"),
        (bomb, "its size differs from the manifest"),
        (zeros, "more than 200 times as many"),
        (large_description, "expected at most 1,048,576 bytes, got 1,048,577"),
        (packed_by(zipfile.ZIP_LZMA), "got another compression"),
        (packed_by(zipfile.ZIP_BZIP2), "got another compression"),
        (changed, "differs from the manifest"),
        (lying_size, "less than or equal"),
        (nameless, "cannot be printed"),
    ],
)  # fmt: skip
def test_hostile_bundles_are_refused(
    tmp_path: Path, bundle: Path, spoil: Callable, message: str
) -> None:
    spoilt = respoiled(bundle, spoil)
    with pytest.raises(BundleError, match=message):
        unpack_bundle(spoilt, tmp_path / "inner" / "out")
    assert not (tmp_path / "evil.mp4").exists()
    outside = [
        path for path in tmp_path.iterdir() if path not in (bundle, spoilt, tmp_path / "inner")
    ]
    assert outside == []


@examples(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kept=st.sets(st.sampled_from(SEEDS)), other=st.sets(st.integers(0, 2**63 - 1), max_size=3))
def test_nothing_is_unpacked_of_episodes_that_the_study_does_not_have(
    bundle: Path, tmp_path: Path, kept: set[int], other: set[int]
) -> None:
    into = tmp_path / "into"
    shutil.rmtree(into, ignore_errors=True)
    episodes = {("find_cave", seed) for seed in kept | other}
    missing = [seed for seed in SEEDS if ("find_cave", seed) not in episodes]
    if not missing:
        unpack_bundle(bundle, into, episodes)
        return
    with pytest.raises(BundleError) as error:
        unpack_bundle(bundle, into, episodes)
    assert not list(into.rglob("*"))
    assert {fault.split(": ")[1] for fault in error.value.faults} == {
        f"the study has no episode of find_cave with seed {seed}" for seed in missing
    }


def test_entries_that_share_bytes_are_refused(bundle: Path, tmp_path: Path) -> None:
    content = bytearray(bundle.read_bytes())
    # The table of contents says that each file takes nearly all of the bundle.
    at, entries = 0, 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 20 : at + 24] = (len(content) - 1000).to_bytes(4, "little")
        at, entries = at + 4, entries + 1
    assert entries > 2
    (tmp_path / "shared.zip").write_bytes(content)
    with pytest.raises(BundleError, match=r"share their bytes|damaged|Overlapped"):
        unpack_bundle(tmp_path / "shared.zip", tmp_path / "into")


def test_a_bundle_larger_than_the_disk_s_free_space_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    with pytest.raises(BundleError, match=r"temporary folder has 1,000; set TMPDIR"):
        unpack_bundle(bundle, tmp_path / "into")
    assert not list((tmp_path / "into").rglob("*"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"x" * 1000])
def test_files_that_are_no_bundles_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BundleError, match="not a zip file"):
        unpack_bundle(tmp_path / "x.zip", tmp_path / "out")


def test_damage_anywhere_in_a_bundle_is_one_error(tmp_path: Path, bundle: Path) -> None:
    content = bundle.read_bytes()
    for number, place in enumerate(range(0, len(content), len(content) // 60)):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        (tmp_path / "broken.zip").write_bytes(broken)
        try:
            unpack_bundle(tmp_path / "broken.zip", tmp_path / f"out{number}")
        except BundleError as err:
            assert err.faults
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError):
        unpack_bundle(tmp_path / "cut.zip", tmp_path / "cut")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with a small study."""
    store = open_store(tmp_path / "board.sqlite")
    create_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    store.close()
    return tmp_path / "board.sqlite"


def basalt(*arguments: str | Path) -> int:
    return run([str(one) for one in arguments])


def test_pack_check_and_submit(
    tmp_path: Path, place: Path, agents: dict[str, Path], capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "packed.zip"
    study = ("--study", "small", "--store", place)
    told = ("--name", "Deep", "--author", "Ada", "--author", "Bob", "--description", "It walks.")
    assert basalt("submit", agents["good"], "--pack", out, *told, *study) == 0
    assert basalt("submit", out, "--check", *study) == 0
    assert capsys.readouterr().out.count("unverified") == 4
    assert basalt("submit", out, *study) == 0
    assert "registered 'Deep' in study 'small': 2 episodes" in capsys.readouterr().out
    store = open_store(place)
    with store.read() as session:
        kept = BundleManifest.model_validate(session.scalar(sa.select(Submission.manifest)))
        assert not any(session.scalars(sa.select(Episode.verified)))
    assert (kept.agent, kept.authors, kept.description) == ("Deep", ("Ada", "Bob"), "It walks.")
    assert basalt("submit", out, *study) == 1
    assert "already" in capsys.readouterr().err
    # By the official rules the same bundle is wrong, and every reason is listed at once.
    assert basalt("submit", out, "--check", "--store", place) == 1
    assert capsys.readouterr().err.count("\n  - ") >= 3
    store.close()


def test_a_bundle_carries_the_players_name_where_none_is_given(
    tmp_path: Path, place: Path, agents: dict[str, Path]
) -> None:
    out = tmp_path / "packed.zip"
    study = ("--study", "small", "--store", place)
    assert basalt("submit", agents["good"], "--pack", out, "--author", "Ada", *study) == 0
    assert unpack_bundle(out, tmp_path / "out").agent == "good"


def test_each_recording_is_checked_once(
    tmp_path: Path, agents: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = checks.check_claims

    def counted(video: Path, rules: StudyRules) -> tuple[CheckedRecording | None, list[str]]:
        checked.append(video.name)
        return real(video, rules)

    monkeypatch.setattr(checks, "check_claims", counted)
    monkeypatch.setattr(
        submitting, "official_study", lambda *_: demo_study({"find_cave": SEEDS}, "test", "1")
    )
    monkeypatch.setattr(settings, "official_study", submitting.official_study)
    place = tmp_path / "official.sqlite"
    assert basalt("submit", agents["good"], "--study", "official", "--store", place) == 0
    assert len(checked) == len(set(checked)) == len(SEEDS)


def test_episodes_that_claim_another_end_are_refused(tmp_path: Path) -> None:
    rules = demo_study({"find_cave": SEEDS}, "test", "1")
    for seed, ended in zip(SEEDS, ("limit", "esc"), strict=True):
        recording = record(tmp_path / "x", seed)
        assert recording.meta is not None
        if ended == "esc":
            text = recording.lines_path.read_text().replace("key.keyboard.escape", "key.keyboard.w")
            recording.lines_path.write_text(text)
        meta = recording.meta.model_copy(
            update={"ended": ended, "lines_sha256": sha256_of(recording.lines_path)}
        )
        recording.meta_path.write_text(meta.model_dump_json())
    _, faults = check_recordings(tmp_path / "x", rules)
    assert "ended at the limit of 400 steps, after 4" in faults[0]
    assert "no ESC is on its last line" in faults[1]


def test_other_codecs_and_telling_files_are_made_fit_to_show(
    store: Store, study: StudyInfo, tmp_path: Path, agents: dict[str, Path]
) -> None:
    folder = Path(shutil.copytree(agents["good"], tmp_path / "copy"))
    one, other = find_recordings(folder)
    with av.open(str(one.video_path), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((360, 640, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    telling = tmp_path / "telling.mp4"
    with (
        av.open(str(other.video_path)) as source,
        av.open(str(telling), "w", options={"movflags": "faststart"}) as target,
    ):
        target.metadata["title"] = "SecretAgent plays"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    telling.replace(other.video_path)
    for recording in (one, other):
        assert recording.meta is not None
        meta = recording.meta.model_copy(update={"video_sha256": sha256_of(recording.video_path)})
        recording.meta_path.write_text(meta.model_dump_json())
    submit_recordings(store, study, folder)
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode)))
    for episode in episodes:
        stored = Recording.open(store.media / f"{episode.media_name}.mp4")
        assert check_recording(stored).plays_in_browsers
        assert sha256_of(stored.video_path) == episode.video_sha256
        assert b"SecretAgent" not in stored.video_path.read_bytes()


def plain_episode(folder: Path, seed: int, steps: int, *, lines: bool = True) -> None:
    """An episode as the original benchmark writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = VideoWriter(folder / f"seed_{seed}.mp4")
    for t in range(steps + 1):
        writer.write(np.full((360, 640, 3), 40 + t, np.uint8))
    writer.close()
    if lines:
        rows = [
            {"action": {"camera": [[0.0, 1.5]], "forward": 1}, "location_stats": {"xpos": 1.0}}
            for _ in range(steps - 1)
        ] + [{"action": {"camera": [[0, 0]], "ESC": [1]}}]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"seed_{seed}.jsonl").write_text(text)


@pytest.mark.parametrize("lines", [True, False], ids=["with lines", "video alone"])
def test_folders_of_the_original_benchmark_are_taken(
    tmp_path: Path, lines: bool, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "VPT" / "MineRLBasaltFindCave-v0"
    for seed in SEEDS:
        plain_episode(folder, seed, 6, lines=lines)
    store = open_store(tmp_path / "b.sqlite")
    rules = demo_study({"find_cave": SEEDS}, "minerl", "1.0", step_limit=3600)
    create_study(store, "plain", rules)
    assert (
        basalt("submit", tmp_path / "VPT", "--name", "VPT", "--store", tmp_path / "b.sqlite") == 0
    )
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode)))
    assert [one.steps for one in episodes] == [6, 6]
    assert {one.ended for one in episodes} == {"esc" if lines else "unknown"}
    stored = Recording.open(store.media / f"{episodes[0].media_name}.mp4")
    if lines:
        first = stored.actions().step(0)
        assert first["forward"] == 1 and first["camera"] == pytest.approx([0.0, 1.5])
    else:
        assert stored.lines[0].mouse is None and stored.lines[0].keyboard is None
    store.close()


def test_faulty_plain_folders_are_told_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plain_episode(tmp_path / "agent" / "FindCave", 1, 3)
    (tmp_path / "agent" / "FindCave" / "seed_1.jsonl").write_text('{"action": {"fly": 1}}\n')
    plain_episode(tmp_path / "agent" / "SomeTask", 2, 3)
    assert basalt("submit", tmp_path / "agent", "--check") == 1
    said = capsys.readouterr().err
    assert "line 1" in said and "fly" in said
    assert "unknown task" in said


def test_a_replay_that_strays_is_told(
    tmp_path: Path, place: Path, agents: dict[str, Path], capsys: pytest.CaptureFixture
) -> None:
    arguments = ("submit", agents["good"], "--check", "--study", "small", "--store", place)
    # There is no world named "test" here: an episode that cannot be replayed proves nothing.
    assert basalt(*arguments, "--replay", "1") == 1
    assert "test" in capsys.readouterr().err


def test_errors_are_the_projects_own() -> None:
    assert issubclass(BundleError, StudyError) and issubclass(SubmissionError, StudyError)
