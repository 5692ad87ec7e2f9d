"""Videos in the many ways in which people encode and store them, drawn by Hypothesis."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from basalt.core.actions import FRAME_SIZE, FrameSize

RATE = 20
SMALL = FrameSize(64, 48)


def picture(number: int, size: FrameSize = SMALL) -> NDArray[np.uint8]:
    """A picture that shows its number (see `number_of`), over a pattern that moves and changes."""
    rng = np.random.default_rng(number // 5)
    blocks = rng.integers(0, 255, (size.height // 8, size.width // 8, 3), dtype=np.uint8)
    frame = np.roll(blocks.repeat(8, axis=0).repeat(8, axis=1), 3 * number, axis=1)
    half = size.height // 2
    for bit in range(8):
        left, right = bit * size.width // 8, (bit + 1) * size.width // 8
        frame[half:, left:right] = 255 * (number >> bit & 1)
    return np.ascontiguousarray(frame)


def number_of(frame: NDArray[np.uint8]) -> int:
    """The number that a picture shows."""
    lower = frame[frame.shape[0] * 5 // 8 :, :, 1].mean(axis=0)
    return sum(int(part.mean() > 127) << bit for bit, part in enumerate(np.split(lower, 8)))


@dataclass(frozen=True)
class Encoding:
    """How a video is made.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: Options of the encoder.
        format: Container format, whatever the file's name.
        flags: Flags of the mp4 container.
        shift: Number of frame times by which all times are later; in an mp4 an edit list hides earlier ones.
        keep: Frame times that an mp4's edit list shows; None shows all.
        cut: Number of packets left out at the front.
        sound: Whether there is an audio track.
    """

    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = ()
    format: str = "mp4"
    flags: str = "+faststart"
    shift: int = 0
    keep: int | None = None
    cut: int = 0
    sound: bool = False


PLAIN = Encoding(options=(("preset", "ultrafast"), ("g", "7")))


def encode(path: Path, frames: int, how: Encoding = PLAIN, size: FrameSize = SMALL) -> Path:
    """Write a video of that many pictures, numbered from 0."""
    options: dict[str, str] = {"avoid_negative_ts": "disabled"}
    if how.format == "mp4":
        options |= {"use_editlist": "1"} | ({"movflags": how.flags} if how.flags else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=how.format, options=options) as container:
        stream = container.add_stream(how.codec, rate=RATE, options=dict(how.options))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.time_base = Fraction(1, RATE)
        audio: Any = container.add_stream("aac", rate=8000) if how.sound else None
        packets = []
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets[how.cut :]:
            later = round(Fraction(how.shift, RATE) / packet.time_base)
            packet.pts += later
            packet.dts += later
            container.mux(packet)
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000 * frames // RATE), np.float32), "fltp", "mono"
            )
            silence.sample_rate, silence.pts = 8000, 0
            container.mux([*audio.encode(silence), *audio.encode(None)])
    if how.keep is not None:
        content = bytearray(path.read_bytes())
        # Type, version and flags, number of edits; then the length in milliseconds (ISO/IEC 14496-12, 8.6.6).
        at = content.index(b"elst") + 12
        length = min(int.from_bytes(content[at : at + 4]), how.keep * 1000 // RATE)
        content[at : at + 4] = length.to_bytes(4)
        path.write_bytes(content)
    return path


def encode_at(path: Path, milliseconds: list[int]) -> Path:
    """Write a video of full size whose pictures, numbered from 0, are shown at the given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(milliseconds):
            frame = av.VideoFrame.from_ndarray(picture(number, FRAME_SIZE), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def x264(**params: Any) -> tuple[tuple[str, str], ...]:
    """Encoder options that set x264's parameters."""
    text = ":".join(f"{name.replace('_', '-')}={value}" for name, value in params.items())
    return (("preset", "ultrafast"), ("crf", "18"), ("x264-params", text))


_X264 = st.builds(
    lambda keys, between, opened, refresh, headers: {
        "codec": "libx264",
        "options": x264(
            keyint=keys,
            min_keyint=1,
            scenecut=0,
            bframes=between,
            b_adapt=0,
            ref=3,
            open_gop=int(opened),
            intra_refresh=int(refresh),
            repeat_headers=int(headers),
        ),
    },
    keys=st.sampled_from([1, 4, 7, 12, 1000]),
    between=st.integers(0, 3),
    opened=st.booleans(),
    refresh=st.booleans(),
    headers=st.booleans(),
)

_STORED = st.one_of(
    st.builds(
        lambda flags, shift: {"format": "mp4", "flags": flags, "shift": shift},
        flags=st.sampled_from(
            [
                "+faststart",
                "",
                "+frag_keyframe+empty_moov",
                "+frag_every_frame+default_base_moof",
                "+negative_cts_offsets",
            ]
        ),
        shift=st.integers(-6, 6),
    ),
    st.builds(
        # These cannot store times below 0.
        lambda name, shift: {"format": name, "shift": shift},
        name=st.sampled_from(["mpegts", "flv", "matroska"]),
        shift=st.integers(3, 9),
    ),
    st.builds(
        lambda shift, keep: {"format": "mp4", "shift": shift, "keep": keep},
        shift=st.integers(-6, 0),
        keep=st.integers(1, 12),
    ),
    st.just({"format": "avi"}),
)

_CODED = st.one_of(
    _X264,
    st.sampled_from([1, 5, 30]).map(
        lambda keys: {"codec": "mpeg4", "options": (("g", str(keys)), ("bf", "2"))}
    ),
)


@st.composite
def encodings(draw: st.DrawFn, cuts: tuple[int, ...] = (0,)) -> Encoding:
    """Any codec in any container, with times that begin anywhere; `cuts` are numbers of packets cut off."""
    coded, stored = draw(_CODED), draw(_STORED)
    if stored["format"] == "flv":
        coded = draw(_X264)  # it holds no MPEG-4
    if stored["format"] in ("avi", "mpegts"):
        # Their headers hold no parameter sets.
        options = {key: text.replace("headers=0", "headers=1") for key, text in coded["options"]}
        coded = coded | {"options": tuple(options.items())}
    sound = draw(st.booleans()) and stored["format"] != "avi"
    return Encoding(**coded, **stored, cut=draw(st.sampled_from(cuts)), sound=sound)
