"""What strangers published is fetched whole, or not at all, and never outside its folder."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core import published
from basalt.core.published import (
    MANIFEST,
    Manifest,
    copy_of,
    describe,
    fetch,
    is_address,
    local_copy,
)
from basalt.io import transfer
from basalt.io.errors import BasaltError, ConfigError
from tests.support.range_server import Server

CONTENT = {"a.bin": bytes(range(256)) * 1000, "deep/b.json": b"{}", "empty": b""}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "SLOWEST_RETRY_S", 0.02)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    offer(server, CONTENT)
    yield server
    server.shutdown()
    server.server_close()


def offer(server: Server, content: dict[str, bytes], **changes: object) -> None:
    files = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in content.items()
    ]
    listed = {"format": "basalt-published", "version": 1, "kind": "policy", "files": files}
    server.files |= {f"/x/{path}": data for path, data in content.items()}
    server.files[f"/x/{MANIFEST}"] = json.dumps(listed | changes).encode()


def found(folder: Path) -> dict[str, bytes]:
    paths = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (MANIFEST, ".lock")
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_everything_is_fetched_once_and_brought_up_to_date(server: Server) -> None:
    address = f"{server.url}/x"
    folder = local_copy(address)
    assert found(folder) == CONTENT
    assert local_copy(f"{address}/") == folder and local_copy(f"{address}/deep") == folder / "deep"
    assert server.seen["GET", "/x/a.bin"] == 1
    offer(server, newer := CONTENT | {"deep/b.json": b'{"newer": 1}'})
    assert found(local_copy(address)) == CONTENT, "a copy that is used does not change by itself"
    fetch(address, folder)
    assert found(folder) == newer and server.seen["GET", "/x/a.bin"] == 1


def test_a_fetch_that_was_cut_is_resumed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100_000)
    monkeypatch.setattr(transfer, "LEAST_CHUNK_BYTES", 100_000)
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    server.faults["/x/a.bin"] = "dies after first"
    with pytest.raises(BasaltError, match=r"a.bin: cannot be fetched .*; try again"):
        fetch(f"{server.url}/x", tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()
    server.faults.clear()
    server.ranges.clear()
    fetch(f"{server.url}/x", tmp_path / "out")
    assert found(tmp_path / "out") == CONTENT
    assert server.ranges["/x/a.bin"][0].startswith("bytes=100000-")


@pytest.mark.parametrize("fault", ["other content", "claims less", "longer", "404"])
def test_a_file_that_is_not_the_listed_one_is_refused_and_not_kept(
    server: Server, tmp_path: Path, fault: str
) -> None:
    data = CONTENT["a.bin"]
    server.faults["/x/a.bin"] = fault
    if fault == "other content":
        server.files["/x/a.bin"] = data[::-1]
    if fault == "longer":
        server.files["/x/a.bin"] = data + b"more"
    if fault == "claims less":
        server.files["/x/a.bin"] = data[:-10]
    with pytest.raises(ConfigError, match=r"x/a.bin: expected the 256,000 bytes with SHA-256"):
        fetch(f"{server.url}/x", tmp_path / "out")
    assert not (tmp_path / "out/a.bin").exists() and not (tmp_path / "out" / MANIFEST).exists()


def test_what_is_no_publication_is_one_error(server: Server, tmp_path: Path) -> None:
    server.files[f"/bad/{MANIFEST}"] = b"{"
    server.files[f"/large/{MANIFEST}"] = b" " * (published.MAX_JSON_BYTES + 1)
    server.faults[f"/busy/{MANIFEST}"] = "403"
    server.files[f"/busy/{MANIFEST}"] = b"{}"
    for place, message in {
        f"{server.url}/none": "expected a folder that `basalt hub publish` made",
        f"{server.url}/bad": "expected a basalt-published file",
        f"{server.url}/large": "expected at most 16,777,216 bytes, got 16,777,217",
        f"{server.url}/busy": "cannot be read \\(HTTP 403\\)",
        "nowhere://x": "nowhere://x.*expected a path or an address that fsspec supports",
    }.items():
        with pytest.raises(ConfigError, match=message):
            fetch(place, tmp_path / "out")
    with pytest.raises(ConfigError, match="expected a folder that"):
        local_copy(f"{server.url}/none")
    assert not (tmp_path / "out").exists()


HOSTILE = (
    "../up", "/etc/passwd", "a//b", "a/../b", "C:\\x", "a\\b", ".git/config", "~/x", "a/", "", "x\0y", "ä", "-rf",
    "a/./b", MANIFEST, "/".join("abcdefghi"),
)  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_leaves_its_folder(server: Server, tmp_path: Path, path: str) -> None:
    offer(server, {path: b"x"})
    with pytest.raises(ConfigError, match=f"{MANIFEST}: not a valid basalt-published file"):
        fetch(f"{server.url}/x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(st.text())
def test_every_listed_path_is_below_the_folder(path: str) -> None:
    file = {"path": path, "bytes": 1, "sha256": "0" * 64}
    try:
        manifest = Manifest.from_json({"kind": "board", "files": [file]}, "test")
    except ConfigError:
        return
    below = Path("/folder/here") / manifest.files[0].path
    assert below.resolve() == below and below.is_relative_to("/folder/here")


def test_no_two_paths_are_one_on_any_disk() -> None:
    for paths in (["a", "a"], ["a", "A"], ["a", "a/b"], ["B/c", "b"]):
        files = [{"path": path, "bytes": 1, "sha256": "0" * 64} for path in paths]
        with pytest.raises(ConfigError, match="each path once"):
            Manifest.from_json({"kind": "board", "files": files}, "test")


def test_only_texts_with_a_scheme_are_addresses(tmp_path: Path) -> None:
    assert all(map(is_address, ("hf://a/b", "s3://x", "https://x/y", "file:///x")))
    assert not any(map(is_address, ("runs/bc", "/x", "C:\\x", "a b://c", tmp_path)))
    assert local_copy("runs/bc") == Path("runs/bc")
    assert copy_of("hf://a/b") == copy_of("hf://a/b/") != copy_of("hf://a/c")


def test_a_folder_is_described_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"")
    manifest = describe(tmp_path, ["b", "a"], "board")
    assert [(one.path, one.bytes) for one in manifest.files] == [("a", 0), ("b", 2)]
