"""Files of strangers are bounded before they are parsed: each is refused in one line under a limit of memory."""

import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support import ROOT
from tests.support.encodings import PLAIN, SMALL, encode

pytestmark = pytest.mark.long

MANY_OBJECTS = b'{"zzz":[' + b"{}," * 18 * 2**20 + b"{}]}"
"""54 MiB of JSON in one line, which Python's parser turns into 1.3 GB."""


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("payload") / "payload"
    path.write_bytes(MANY_OBJECTS)
    return path


def linked(payload: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(payload, path)
    return path


def read_limited(folder: Path, cases: list[tuple[str, Path]]) -> list[str]:
    """What reading each file raised, in a process with little memory."""
    (folder / "cases.json").write_text(json.dumps([[name, str(path)] for name, path in cases]))
    command = [sys.executable, "-m", "tests.support.limited_reading", str(folder / "cases.json")]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "BASALT_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_json_and_lines_are_bounded_before_they_are_parsed(payload: Path, tmp_path: Path) -> None:
    video = encode(tmp_path / "plain.mp4", 3)
    line = '{"mouse":null,"keyboard":null,"hotbar":0,"tick":%d,"isGuiOpen":false}\n'
    cases = []

    def recording(name: str, *, description: bool = False) -> Path:
        linked(video, tmp_path / name / "r.mp4")
        if description:
            (tmp_path / name / "r.jsonl").write_text(line % 0)
            linked(payload, tmp_path / name / "r.json")
        return tmp_path / name / "r"

    long = recording("long")
    linked(payload, long.with_suffix(".jsonl"))
    many = recording("many")
    many.with_suffix(".jsonl").write_text("".join(line % tick for tick in range(800_000)))
    large = recording("large")
    large.with_suffix(".jsonl").touch()
    os.truncate(large.with_suffix(".jsonl"), 2**40)
    cases += [("lines", long), ("inspect", long), ("validate", long)]
    cases += [("lines", many), ("validate", large)]
    described = recording("described", description=True)
    cases += [("description", described), ("validate", described)]
    for name, reader in (
        ("validation.json", "findings"),
        ("rollout.json", "claim"),
        ("c.csv", "comparisons"),
        ("c.json", "comparisons"),
        ("answers.json", "answers"),
    ):
        cases.append((reader, linked(payload, tmp_path / "json" / name)))
    for name, reader in (
        ("quarantine.json", "quarantine"),
        ("FindCave/find-cave-Jul-28.json", "index"),
        ("checkpoint.json", "policy"),
        ("cfg.json", "autoencoder"),
        ("index.json", "search"),
    ):
        cases.append((reader, linked(payload, tmp_path / reader / Path(name).name).parent))
    legacy = linked(video, tmp_path / "find_cave" / "seed_1.mp4")
    linked(payload, legacy.with_suffix(".jsonl"))
    cases.append(("legacy", legacy.parent))
    found = zip(cases, read_limited(tmp_path, cases), strict=True)
    wrong = [
        (reader, message)
        for (reader, _), message in found
        if "expected at most" not in message or "MemoryError" in message or "\n" in message
    ]
    assert wrong == []


def claiming(path: Path, frames: int, box: bytes) -> Path:
    """A small mp4 whose index claims that many frames."""
    if box == b"trun":
        flags = "+frag_keyframe+empty_moov"
        encode(path, 6, type(PLAIN)(options=PLAIN.options, flags=flags))
        content = bytearray(path.read_bytes())
        at = content.index(b"trun") + 4
        content[at : at + 8] = struct.pack(">II", 1, frames)  # no field of a frame's own
    else:
        encode(path, 6)
        content = bytearray(path.read_bytes())
        at = content.index(b"stsz") + 8
        content[at : at + 8] = struct.pack(">II", 1, frames)  # all of one byte
        at = content.index(b"stsc") + 8
        content[at : at + 16] = struct.pack(">IIII", 1, 1, frames, 1)
        at = content.index(b"stts") + 8
        content[at : at + 12] = struct.pack(">III", 1, frames, 1)
    path.write_bytes(content)
    return path


def large_picture(path: Path, side: int) -> Path:
    """A video of one black PNG picture, whose size the container does not say."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(1)
    row = bytes(4 * side + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    picture = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=20)
        stream.width, stream.height = SMALL
        stream.pix_fmt = "rgba"
        packet = av.Packet(picture)
        packet.stream, packet.time_base = stream, Fraction(1, 20)
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        container.mux(packet)
    return path


@pytest.mark.parametrize("box", [b"stsz", b"trun"])
def test_frames_that_a_video_only_claims_take_no_memory(tmp_path: Path, box: bytes) -> None:
    video = claiming(tmp_path / "v.mp4", 20_000_000, box)
    readers = ("video", "opened", "frames", "brightness")
    for message in read_limited(tmp_path, [(name, video) for name in readers]):
        assert message == (
            f"{video}: expected at most 200,000 frames, got 20,000,000; split the recording"
        )


def test_large_pictures_take_no_memory(tmp_path: Path) -> None:
    large_picture(tmp_path / "v.mp4", 17_000)
    (tmp_path / "v.jsonl").write_text("")
    (found,) = read_limited(tmp_path, [("inspect", tmp_path / "v")])
    assert "v.mp4: after 0 frames: Invalid" in found


def test_archives_take_no_memory(tmp_path: Path) -> None:
    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as file:
        for number in range(20_000):
            file.writestr(f"find_cave/seed_{number}.json", b"")
    (message,) = read_limited(tmp_path, [("bundle", many)])
    assert "expected a table of contents of at most" in message
