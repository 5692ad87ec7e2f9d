"""Every frame of every encoding is the right one, or the file is refused with the reason."""

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basalt.core.actions import FrameSize
from basalt.core.key_frames import FIRST, last_entry, open_video
from basalt.core.recording import Recording
from basalt.core.recording_checks import Inspection, inspect
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video import VideoReader, VideoWriter, probe, read_frames
from basalt.io.errors import RecordingError
from tests.support.bedd_files import bedd_line, write_lines
from tests.support.encodings import (
    PLAIN,
    SMALL,
    Encoding,
    encode,
    encode_at,
    encodings,
    number_of,
    picture,
    x264,
)

FAST = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BETWEEN = x264(keyint=6, min_keyint=1, scenecut=0, bframes=3, b_adapt=0)
TS_MPEG4 = Encoding("mpeg4", (("g", "1"), ("bf", "2")), format="mpegts", shift=3)
"""FFmpeg alone takes a few frames of it for another format, and does not know their rate."""


def looked_at(video: Path, lines: int) -> Inspection:
    """What a full check finds in a recording of that video."""
    write_lines(video.with_suffix(".jsonl"), [bedd_line(tick) for tick in range(lines)])
    return inspect(Recording(video.with_suffix(""), None), decode=True)


def faults(video: Path, lines: int) -> dict[str, str]:
    return {fault.kind: fault.detail for fault in looked_at(video, lines).faults}


@FAST
@given(how=encodings(cuts=(0, 0, 0, 1, 5)), frames=st.integers(6, 20))
@example(how=Encoding(options=BETWEEN), frames=20)
@example(how=Encoding(options=BETWEEN, shift=-5), frames=20)
@example(how=Encoding(options=BETWEEN, format="matroska", shift=3), frames=20)
@example(how=Encoding(options=x264(keyint=6, open_gop=1, bframes=2, b_adapt=0)), frames=20)
@example(how=replace(TS_MPEG4, cut=5), frames=7)
@example(how=replace(TS_MPEG4, options=(("g", "30"), ("bf", "2")), cut=5), frames=8)
def test_reading_from_any_frame_gives_what_reading_from_the_start_gives(
    tmp_path: Path, how: Encoding, frames: int
) -> None:
    video = encode(tmp_path / "v.mp4", frames, how)
    try:
        expected = list(read_frames(video))
    except RecordingError:
        # Without its first packets, a stream of one key frame cannot be decoded.
        assert how.cut and "decoding" in faults(video, frames)
        return
    for start, frame in enumerate(expected):
        with closing(VideoReader(video, start)) as reader:
            assert reader.position == start
            assert np.array_equal(reader.read(), frame)
            assert reader.position == start + 1
            after = reader.read()
        later = expected[start + 1 :]
        assert np.array_equal(after, later[0]) if later else after is None
    with pytest.raises(RecordingError, match=f"has {len(expected)} frames, none at 50"):
        VideoReader(video, 50)


@FAST
@given(how=encodings(cuts=(0, 0, 1, 5)), frames=st.integers(8, 20))
@example(how=TS_MPEG4, frames=7)
@example(how=replace(TS_MPEG4, options=(("g", "30"), ("bf", "2")), sound=True), frames=6)
@example(how=replace(TS_MPEG4, cut=5), frames=7)
@example(
    how=replace(
        TS_MPEG4, options=(("g", "30"), ("bf", "2")), format="mp4", shift=-3, keep=3, cut=1
    ),
    frames=8,
)
def test_a_file_that_is_called_sound_shows_every_frame_that_it_stores(
    tmp_path: Path, how: Encoding, frames: int
) -> None:
    video = encode(tmp_path / "v.mp4", frames, how)
    found = looked_at(video, frames)
    kinds = {fault.kind: fault.detail for fault in found.faults}
    kinds.pop("picture", None)  # these are small
    if not (how.cut or how.keep or how.shift < 0 or "frag_every_frame" in how.flags):
        assert kinds == {}
    if "decoding" not in kinds:
        shown = [number_of(frame) for frame in read_frames(video)]
        assert found.frames == len(shown) == probe(video).frames
        assert shown == list(range(shown[0], shown[0] + len(shown)))


@pytest.mark.parametrize("frames", range(1, 9))
@pytest.mark.parametrize("name", ["mpegts", "flv", "matroska", "mp4", "avi"])
def test_videos_of_a_few_frames_are_read_whatever_holds_them(
    tmp_path: Path, name: str, frames: int
) -> None:
    for codec in ("libx264", "mpeg4") if name != "flv" else ("libx264",):
        coded = PLAIN if codec == "libx264" else TS_MPEG4
        video = encode(tmp_path / f"{codec}.mp4", frames, replace(coded, format=name, shift=0))
        assert [number_of(frame) for frame in read_frames(video)] == list(range(frames))
        assert set(faults(video, frames)) == {"picture"}
        assert probe(video).fps == (pytest.approx(20, abs=0.1) if frames > 1 else 0)


def test_a_plain_file_is_entered_at_its_key_frames(tmp_path: Path) -> None:
    video = encode(tmp_path / "v.mp4", 20)
    entries = []
    for start in range(20):
        with open_video(video) as container:
            entries.append(last_entry(container, start).frame)
    assert entries == [0] * 7 + [7] * 7 + [14] * 6


@pytest.mark.parametrize(
    "how",
    [
        Encoding(options=x264(keyint=1000, intra_refresh=1)),
        Encoding(format="mpegts"),
        Encoding(format="avi"),
        Encoding(codec="mpeg4", options=(("g", "5"),)),
        Encoding(options=x264(keyint=5, min_keyint=1, open_gop=1, bframes=2, b_adapt=0)),
    ],
)
def test_others_are_decoded_from_their_start(tmp_path: Path, how: Encoding) -> None:
    with open_video(encode(tmp_path / "v.mp4", 20, how)) as container:
        entry = last_entry(container, 15)
    assert (entry.packet, entry.frame) == (FIRST.packet, FIRST.frame)


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path: Path) -> None:
    video = encode(tmp_path / "v.mp4", 20, Encoding(options=BETWEEN, shift=-5))
    info = probe(video)
    assert (info.frames, info.hidden, info.start, info.uneven) == (15, 5, 0.0, 0)
    assert [number_of(frame) for frame in read_frames(video)] == list(range(5, 20))
    assert set(faults(video, 15)) == {"picture"}
    assert "15 frames for 20 lines" in faults(video, 20)["frames"]


@pytest.mark.parametrize("between", [0, 3])
@pytest.mark.parametrize("keep", [7, 11])
def test_frames_that_an_edit_list_cuts_off_at_the_end_do_not_count(
    tmp_path: Path, between: int, keep: int
) -> None:
    options = x264(keyint=6, min_keyint=1, scenecut=0, bframes=between, b_adapt=0)
    video = encode(tmp_path / "v.mp4", 20, Encoding(options=options, shift=-3, keep=keep))
    info = probe(video)
    assert (info.frames, info.hidden >= 20 - keep - 3, info.holes) == (keep, True, 0)
    expected = list(range(3, 3 + keep))
    assert [number_of(frame) for frame in read_frames(video)] == expected
    for start in range(keep):
        with closing(VideoReader(video, start)) as reader:
            frame = reader.read()
            assert frame is not None and number_of(frame) == expected[start]
    assert set(faults(video, keep)) == {"picture"}


def two_sizes(path: Path) -> Path:
    """A stream whose pictures change their size at frame 6."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20, options=dict(PLAIN.options))
        stream.width, stream.height, stream.pix_fmt = *SMALL, "yuv420p"
        wide = av.CodecContext.create("libx264", "w")
        wide.width, wide.height, wide.pix_fmt = 96, 64, "yuv420p"
        wide.time_base, wide.options = Fraction(1, 20), {"preset": "ultrafast"}
        stream.time_base = Fraction(1, 20)
        for size, encoder in ((SMALL, stream), (FrameSize(96, 64), wide)):
            packets = []
            for number in range(6):
                frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 20)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode(None)]:
                if encoder is wide:
                    packet.stream, packet.time_base = stream, Fraction(1, 20)
                    packet.pts, packet.dts = packet.pts + 6, packet.dts + 6
                container.mux(packet)
    return path


def test_every_frame_must_have_the_same_size(tmp_path: Path) -> None:
    video = two_sizes(tmp_path / "v.mp4")
    with pytest.raises(RecordingError, match="every frame to be 64x48, got 96x64 at frame 6"):
        list(read_frames(video))
    for start in (5, 6, 9):
        with pytest.raises(RecordingError, match="every frame to be 64x48"):
            reader = VideoReader(video, start)
            while reader.read() is not None:
                pass
    assert "frame 6 is 96x64, not 64x48" in [
        fault.detail for fault in looked_at(video, 12).faults if fault.kind == "picture"
    ]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_pictures_are_refused(tmp_path: Path, degrees: int) -> None:
    video = tmp_path / "v.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.set_display_rotation(degrees)
        for number in range(4):
            shown = picture(number, FrameSize(640, 360))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    assert probe(video).turned == (degrees != 0)
    expected = {"picture": "is turned or mirrored by players; encode it upright with square pixels"}
    assert faults(video, 4) == (expected if degrees else {})


def test_stretched_pictures_are_refused(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for number in range(4):
            shown = picture(number, FrameSize(640, 360))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    assert not probe(video).square
    assert "stretched" in faults(video, 4)["picture"]


def test_frames_at_other_times_are_a_warning_with_their_number(tmp_path: Path) -> None:
    even = [0, 51, 100, 150, 199, 249]
    assert looked_at(encode_at(tmp_path / "even.mp4", even), 6).warnings == ()
    video = encode_at(tmp_path / "uneven.mp4", [0, 30, 100, 150, 198, 250])
    (warning,) = looked_at(video, 6).warnings
    assert warning.kind == "times"
    assert warning.detail == "4 of 6 frames do not follow the one before by 50 ms +- 1"


def test_a_picture_that_ffmpeg_has_no_decoder_for_is_one_fault(tmp_path: Path) -> None:
    svg = tmp_path / "v.mp4"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>')
    assert set(faults(svg, 3)) == {"video"}
    for read in (probe, VideoReader, lambda path: list(read_frames(path))):
        with pytest.raises(RecordingError, match=r"v\.mp4: "):
            read(svg)


def test_our_own_videos_have_even_times_and_keys_of_a_second(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", SMALL)
    for number in range(45):
        writer.write(picture(number))
    writer.close()
    info = probe(tmp_path / "v.mp4")
    assert (info.frames, info.hidden, info.start, info.uneven) == (45, 0, 0.0, 0)
    with open_video(tmp_path / "v.mp4") as container:
        assert 44 - STEPS_PER_SECOND < last_entry(container, 44).frame <= 44
