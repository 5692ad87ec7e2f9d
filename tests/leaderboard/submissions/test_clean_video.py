"""What raters see is what was submitted: cleaning changes how a video is stored, not what it shows."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from basalt.core.actions import FrameSize
from basalt.core.key_frames import open_video
from basalt.core.recording import Recording, sha256_of
from basalt.core.recording_checks import check_recording, inspect
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
    # With an open GOP or periodic intra refresh, the points where decoding can begin are in SEI, which is left out: where
    # that changes what is shown, the video is encoded again.
    needs_sei = any(word in str(how.options) for word in ("open-gop=1", "intra-refresh=1"))
    if how_cleaned == "remux" and how.codec == "libx264" and how.format != "avi" and not needs_sei:
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
    video = tmp_path / "v.mp4"
    clean(encode(tmp_path / "encoded.mp4", 5), video, "remux")
    assert cleaning_of(video, probe(video)) is None
    words = b"SecretAgent plays"
    content = video.read_bytes()
    for said in (content + (8 + len(words)).to_bytes(4) + extra + words, content + words):
        video.write_bytes(said)
        assert cleaning_of(video, probe(video)) == "remux"
        clean(video, tmp_path / "cleaned.mp4", "remux")
        assert words not in (tmp_path / "cleaned.mp4").read_bytes()
        assert len(list(read_frames(tmp_path / "cleaned.mp4"))) == 5


WORDS = b"SecretAgent plays"


def in_stream(content: bytes, words: bytes) -> bytes:
    """A raw H.264 stream with words in supplemental information (SEI) before its first slice."""
    unit = b"\0\0\0\1\x06\x05" + bytes([16 + len(words)]) + b"U" * 16 + words + b"\x80"
    first = min(at for kind in (b"\x65", b"\x25") if (at := content.find(b"\0\0\1" + kind)) >= 0)
    start = first - 1 if content[first - 1] == 0 else first
    return content[:start] + unit + content[start:]


def spoken(path: Path, source: Path, words: dict[str, bytes], dated: str | None) -> Path:
    """Write the pictures of a video to an mp4 that says words in each of the places named."""
    raw = path.with_suffix(".h264")
    with av.open(str(source)) as before, av.open(str(raw), "w", format="h264") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(before.streams.video[0]):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    if "SEI" in words:
        raw.write_bytes(in_stream(raw.read_bytes(), words["SEI"]))
    options = {"movflags": "faststart+use_metadata_tags"}
    with (
        av.open(str(raw), options={"framerate": "20"}) as before,
        av.open(str(path), "w", format="mp4", options=options) as after,
    ):
        stream = after.add_stream_from_template(before.streams.video[0])
        if "title" in words:
            after.metadata["title"] = words["title"].decode()
        if "handler" in words:
            stream.metadata["handler_name"] = words["handler"].decode()
        if dated is not None:
            after.metadata["creation_time"] = stream.metadata["creation_time"] = dated
        stream.time_base = Fraction(1, 20)
        for number, packet in enumerate(one for one in before.demux(video=0) if one.size):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 20), stream
            after.mux(packet)
    content = bytearray(path.read_bytes())
    if "brand" in words:
        content[16:20] = words["brand"][:4].ljust(4)
    if "compressor" in words:
        at = content.index(b"avc1", content.index(b"stsd")) + 4 + 42
        content[at : at + 32] = words["compressor"][:32].ljust(32, b"\0")
    if "pictures" in words:
        at = content.index(b"mdat") - 4
        size = int.from_bytes(content[at : at + 4]) + len(words["pictures"])
        content[at : at + 4] = size.to_bytes(4)
        content += words["pictures"]
    for kind in ("free", "uuid"):
        if kind in words:
            content += (8 + len(words[kind])).to_bytes(4) + kind.encode() + words[kind]
    path.write_bytes(bytes(content) + words.get("end", b""))
    return path


PLACES = (
    "SEI", "title", "handler", "brand", "compressor", "pictures", "free", "uuid", "end",
)  # fmt: skip


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    words=st.dictionaries(
        st.sampled_from(PLACES),
        st.text(st.characters(min_codepoint=48, max_codepoint=122), min_size=16, max_size=40).map(
            str.encode
        ),
    ),
    dated=st.none() | st.dates().map(lambda day: f"20{day.year % 38:02}-{day:%m-%d}T01:02:03Z"),
)
@example(words=dict.fromkeys(PLACES, WORDS), dated="2026-01-02T03:04:05Z")
def test_whatever_a_file_says_its_pictures_alone_are_served(
    tmp_path: Path, words: dict[str, bytes], dated: str | None
) -> None:
    source = tmp_path / "source.mp4"
    if not source.exists():
        encode(source, 6)
        clean(spoken(tmp_path / "silent.mp4", source, {}, None), tmp_path / "expected.mp4", "remux")
    expected = tmp_path / "expected.mp4"
    content = expected.read_bytes()
    assert not any(name in content for name in (b"x264", b"Lavc", b"Lavf"))
    video = spoken(tmp_path / "v.mp4", source, words, dated)
    assert all(said[:4] in video.read_bytes() for said in words.values())
    assert cleaning_of(video, probe(video)) == "remux"
    clean(video, tmp_path / "cleaned.mp4", "remux")
    assert (tmp_path / "cleaned.mp4").read_bytes() == content
    assert [number_of(frame) for frame in read_frames(expected)] == list(range(6))


def test_times_and_encoders_names_do_not_tell_submissions_apart(
    store: Store, study: StudyInfo, tmp_path: Path
) -> None:
    for seed in (100_001, 100_002):
        record(tmp_path / "agent", seed, steps=8)
    submit_recordings(store, study, tmp_path / "agent")
    for video in store.media.rglob("*.mp4"):
        content = video.read_bytes()
        assert not any(name in content for name in (b"x264", b"Lavc", b"Lavf"))
        assert cleaning_of(video, probe(video)) is None
        check_recording(Recording.open(video))
