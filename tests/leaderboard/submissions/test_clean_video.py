"""What raters see is what was submitted: cleaning changes how a video is stored, not what it shows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from basalt.core.actions import FrameSize
from basalt.core.key_frames import open_video
from basalt.core.recording import Recording, sha256_of
from basalt.core.recording_checks import inspect
from basalt.core.video import probe, read_frames
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.submissions.checks import check_claims, check_recordings
from leaderboard.submissions.clean_video import clean, cleaning_of
from leaderboard.submissions.register import submit_recordings
from tests.support.bedd_files import bedd_line, write_lines
from tests.support.encodings import PLAIN, Encoding, encode, encode_at, encodings, number_of, x264
from tests.support.three_players import record

FULL = FrameSize(640, 360)
B_FRAMES = x264(keyint=6, min_keyint=1, scenecut=0, bframes=3, b_adapt=0)


def spoiled(recording: Recording, how: Encoding) -> None:
    """Encode a recording's video otherwise, and describe it in its metadata."""
    assert recording.meta is not None
    encode(recording.video_path, recording.meta.frames + how.cut, how, FULL)
    meta = recording.meta.model_copy(update={"video_sha256": sha256_of(recording.video_path)})
    recording.meta_path.write_text(meta.model_dump_json())


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(how=encodings(), frames=st.integers(2, 16))
@example(how=Encoding(options=B_FRAMES, format="mpegts", shift=3), frames=16)
@example(how=Encoding(options=B_FRAMES, format="flv", shift=3), frames=16)
@example(how=Encoding(options=B_FRAMES, format="matroska", shift=3), frames=16)
@example(how=Encoding(options=B_FRAMES, format="avi"), frames=16)
@example(how=Encoding(options=B_FRAMES, shift=-4), frames=16)
@example(how=Encoding(options=B_FRAMES, shift=4, sound=True), frames=16)
def test_a_cleaned_video_shows_the_frames_of_the_one_submitted(
    tmp_path: Path, how: Encoding, frames: int
) -> None:
    source, target = tmp_path / "v.mp4", tmp_path / "cleaned.mp4"
    encode(source, frames, how)
    write_lines(tmp_path / "v.jsonl", [bedd_line(tick) for tick in range(frames)])
    found = inspect(Recording(tmp_path / "v", None), decode=True)
    assume({fault.kind for fault in found.faults} <= {"picture", "frames"} and found.video)
    how_cleaned = cleaning_of(source, probe(source))
    if how.keep is not None and found.frames != frames:
        assert how_cleaned == "encode"
    if how.format != "mp4" or how.sound or how.shift > 0 or "frag" in how.flags or not how.flags:
        assert how_cleaned is not None
    if how_cleaned is None:
        target.write_bytes(source.read_bytes())
    else:
        assert clean(source, target, how_cleaned) == sha256_of(target)
    info = probe(target)
    assert info.plays_in_browsers and (info.start, info.hidden, info.uneven) == (0.0, 0, 0)
    assert cleaning_of(target, info) is None
    with open_video(target) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 20 for number in range(len(times))])
    before, after = list(read_frames(source)), list(read_frames(target))
    assert [number_of(frame) for frame in after] == [number_of(frame) for frame in before]
    if how_cleaned == "remux" and how.codec == "libx264" and how.format != "avi":
        assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("container", ["mpegts", "flv", "matroska", "avi"])
def test_other_containers_are_registered_as_mp4(
    store: Store, study: StudyInfo, tmp_path: Path, container: str
) -> None:
    shift = 0 if container == "avi" else 3
    for seed in (100_001, 100_002):
        recording = record(tmp_path / "agent", seed, steps=8)
        spoiled(recording, Encoding(options=PLAIN.options, format=container, shift=shift))
    submit_recordings(store, study, tmp_path / "agent")
    stored = sorted(store.media.rglob("*.mp4"))
    assert len(stored) == 2
    for video in stored:
        assert probe(video).plays_in_browsers
        assert [number_of(frame) for frame in read_frames(video)] == list(range(9))
        assert not inspect(Recording.open(video), decode=True).faults


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (Encoding(options=B_FRAMES, shift=-2), "7 frames"),
        (Encoding(options=B_FRAMES, cut=1), "begins after its key frame"),
    ],
    ids=["hidden frames", "cut within a group"],
)
def test_a_video_without_all_its_frames_is_refused(
    study: StudyInfo, tmp_path: Path, how: Encoding, reason: str
) -> None:
    spoiled(record(tmp_path / "agent", 100_001, steps=8), how)
    checked, faults = check_recordings(tmp_path / "agent", study.rules)
    assert not checked and reason in " ".join(faults)


def test_frames_at_other_times_are_refused_and_in_files_of_others_a_warning(
    study: StudyInfo, tmp_path: Path
) -> None:
    recording = record(tmp_path / "agent", 100_001, steps=5)
    assert recording.meta is not None
    encode_at(recording.video_path, [0, 30, 100, 150, 198, 250])
    meta = recording.meta.model_copy(update={"video_sha256": sha256_of(recording.video_path)})
    recording.meta_path.write_text(meta.model_dump_json())
    _, faults = check_claims(recording.video_path, study.rules)
    assert faults == [
        "find_cave-100001.mp4: 4 of 6 frames do not follow the one before by 50 ms +- 1"
    ]
    item, faults = check_claims(recording.video_path, study.rules, even=False)
    assert faults == [] and item is not None
    assert [warning.kind for warning in item.warnings] == ["times"]


def test_damage_inside_a_frame_is_found_before_anything_is_registered(
    study: StudyInfo, tmp_path: Path
) -> None:
    recording = record(tmp_path / "agent", 100_001, steps=8)
    content = bytearray(recording.video_path.read_bytes())
    start = content.index(b"mdat") + 800
    content[start : start + 300] = np.random.default_rng(0).bytes(300)
    recording.video_path.write_bytes(bytes(content))
    assert recording.meta is not None
    meta = recording.meta.model_copy(update={"video_sha256": sha256_of(recording.video_path)})
    recording.meta_path.write_text(meta.model_dump_json())
    _, faults = check_recordings(tmp_path / "agent", study.rules)
    assert any("after " in fault or "damaged" in fault for fault in faults)


@pytest.mark.parametrize("extra", [b"free", b"uuid", b"skip"])
def test_words_in_further_boxes_are_left_out(tmp_path: Path, extra: bytes) -> None:
    video = encode(tmp_path / "v.mp4", 5)
    assert cleaning_of(video, probe(video)) is None
    words = b"SecretAgent plays"
    content = video.read_bytes()
    for said in (content + (8 + len(words)).to_bytes(4) + extra + words, content + words):
        video.write_bytes(said)
        assert cleaning_of(video, probe(video)) == "remux"
        clean(video, tmp_path / "cleaned.mp4", "remux")
        assert words not in (tmp_path / "cleaned.mp4").read_bytes()
        assert len(list(read_frames(tmp_path / "cleaned.mp4"))) == 5
