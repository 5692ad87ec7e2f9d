"""Downloads against a local server that serves ranges, and misbehaves on request."""

import json
import os
import signal
import subprocess
import sys
import threading

import fsspec
import pytest

from basalt.core.tasks import TASKS
from basalt.data import download as download_module
from basalt.data.bedd import load_index
from basalt.data.download import Downloader, choose_plays
from basalt.io import transfer
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from tests.support.range_server import Server
from tests.support.small_disk import on_a_small_disk

NAMES = [
    "woozy-ruby-ostrich-0a9ad3ddd136-20220715-094908",
    "Player162-1a9ad3ddd136-20220715-100525",
    "unknown-nix-2a9ad3ddd136-20220715-101500",
]


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def table(server, tmp_path):
    """An index of three recordings that the server has, 300 kB of video each."""
    for number, name in enumerate(NAMES):
        server.files[f"/data/find-cave/{name}.mp4"] = bytes([number, 1, 2]) * 100_000
        server.files[f"/data/find-cave/{name}.jsonl"] = b"{}\n" * (100 + number)
    folder = tmp_path / "index"
    folder.mkdir()
    index = {
        "basedir": f"{server.url}/",
        "relpaths": [f"data/find-cave/{name}.mp4" for name in NAMES],
    }
    (folder / "find-cave-Jul-28.json").write_text(json.dumps(index))
    return load_index([TASKS["find_cave"]], local=folder)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "bedd"


@pytest.fixture(autouse=True)
def _little_margin(monkeypatch):
    monkeypatch.setattr(download_module, "MARGIN_BYTES", 0)
    monkeypatch.setattr(transfer, "SLOWEST_RETRY_S", 0.02)


def make(out, **changes):
    settings = {"jobs": 2, "progress": False}
    return Downloader(out, **(settings | changes))


def fetch(out, table, *, limits=None, **changes):
    return make(out, **changes).run(choose_plays(table), **(limits or {}))


def files_in(folder):
    return {p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def video(name):
    return f"/data/find-cave/{name}.mp4"


def lines(name):
    return f"/data/find-cave/{name}.jsonl"


def test_all_files_arrive_whole_in_a_folder_per_task(server, table, out):
    report = fetch(out, table)
    assert (len(report.recordings), len(report.fetched), report.failed) == (3, 6, {})
    assert report.missing == []
    for name in NAMES:
        for suffix in (".mp4", ".jsonl"):
            there = server.files[f"/data/find-cave/{name}{suffix}"]
            assert (out / "find_cave" / f"{name}{suffix}").read_bytes() == there
    assert report.bytes_to_fetch == sum(map(len, server.files.values()))
    assert len(files_in(out)) == 6  # nothing half-done remains


def test_a_second_run_asks_for_nothing(server, table, out):
    fetch(out, table)
    server.seen.clear()
    report = fetch(out, table)
    assert not server.seen
    assert (report.present, report.fetched, report.bytes_to_fetch) == (6, [], 0)
    assert len(report.recordings) == 3


def test_a_dry_run_says_how_much_and_writes_nothing(server, table, out):
    report = fetch(out, table, limits={"dry_run": True})
    assert sorted(report.recordings) == sorted(f"find_cave/{name}" for name in NAMES)
    assert report.bytes_to_fetch == sum(map(len, server.files.values()))
    assert report.dry_run and not out.exists()
    assert not any(method == "GET" for method, _ in server.seen)


def test_a_dry_run_out_of_reach_still_says_what(server, table, out):
    server.faults[lines(NAMES[0])] = "503"
    report = fetch(out, table, limits={"dry_run": True})
    assert len(report.recordings) == 3 and list(report.failed) == [server.url + lines(NAMES[0])]


def test_large_files_come_in_ranges(server, table, out, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100_000)
    fetch(out, table)
    # The last range asks for one byte too many, to catch a server that claims too little.
    assert server.ranges[video(NAMES[0])] == [
        "bytes=0-99999",
        "bytes=100000-199999",
        "bytes=200000-300000",
    ]


def test_an_interrupted_file_goes_on_where_it_stopped(server, table, out, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100_000)
    server.faults[video(NAMES[0])] = "dies after first"
    report = fetch(out, table)
    assert list(report.failed) == [server.url + video(NAMES[0])]
    assert not (out / "find_cave" / f"{NAMES[0]}.mp4").exists()
    server.faults.clear()
    server.ranges.clear()
    report = fetch(out, table)
    assert report.fetched == [f"find_cave/{NAMES[0]}.mp4"]
    assert server.ranges[video(NAMES[0])] == ["bytes=100000-199999", "bytes=200000-300000"]
    assert (out / "find_cave" / f"{NAMES[0]}.mp4").read_bytes() == server.files[video(NAMES[0])]


def test_a_file_that_changed_at_the_source_is_begun_again(server, table, out, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100_000)
    server.faults[video(NAMES[0])] = "dies after first"
    fetch(out, table)
    server.faults.clear()
    server.ranges.clear()
    server.files[video(NAMES[0])] = b"new" * 100_000
    server.tags[video(NAMES[0])] = '"2"'
    fetch(out, table)
    assert server.ranges[video(NAMES[0])][0] == "bytes=0-99999"
    assert (out / "find_cave" / f"{NAMES[0]}.mp4").read_bytes() == b"new" * 100_000
    assert len(files_in(out)) == 6


def test_cut_connections_are_overcome_by_smaller_pieces(server, table, out):
    server.faults[video(NAMES[1])] = "cuts"
    report = fetch(out, table)
    assert report.failed == {}
    assert (out / "find_cave" / f"{NAMES[1]}.mp4").read_bytes() == server.files[video(NAMES[1])]


def test_a_busy_server_is_asked_again(server, table, out):
    server.faults[video(NAMES[1])] = "503 twice"
    report = fetch(out, table)
    assert report.failed == {} and len(report.fetched) == 6
    assert server.seen["GET", video(NAMES[1])] >= 3


def test_what_stays_busy_fails_alone_with_its_status(server, table, out):
    server.faults[video(NAMES[1])] = "503"
    report = fetch(out, table)
    assert report.failed == {server.url + video(NAMES[1]): "HTTP 503"}
    assert len(report.fetched) == 4


def test_a_forbidden_file_is_not_asked_for_again(server, table, out):
    server.faults[lines(NAMES[1])] = "403"
    report = fetch(out, table)
    assert report.failed == {server.url + lines(NAMES[1]): "HTTP 403"}
    assert server.seen["HEAD", lines(NAMES[1])] == 1


@pytest.mark.parametrize("path", [video(NAMES[2]), lines(NAMES[2])])
def test_a_missing_half_is_listed_and_its_recording_skipped(server, table, out, path):
    server.faults[path] = "404"
    report = fetch(out, table)
    assert report.missing == [server.url + path]
    assert report.failed == {} and len(report.recordings) == 2
    assert not any(NAMES[2] in name for name in files_in(out))


@pytest.mark.parametrize("fault", ["claims less", "claims more"])
def test_lengths_that_lie_are_detected_and_nothing_of_the_file_is_kept(server, table, out, fault):
    server.faults[video(NAMES[0])] = fault
    report = fetch(out, table)
    reason = report.failed[server.url + video(NAMES[0])]
    assert reason.startswith("the server reported")
    assert f"{NAMES[0]}.mp4" not in files_in(out)
    assert not list(out.rglob("*.partial"))
    came = sum((out / path).stat().st_size for path in report.fetched)
    assert report.bytes_fetched == came < report.bytes_to_fetch
    server.faults.clear()
    fetch(out, table)
    assert (out / "find_cave" / f"{NAMES[0]}.mp4").read_bytes() == server.files[video(NAMES[0])]


def test_a_server_without_ranges_is_taken_as_it_is(server, table, out, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100_000)
    server.faults[video(NAMES[0])] = "no ranges"
    assert fetch(out, table).failed == {}
    assert (out / "find_cave" / f"{NAMES[0]}.mp4").read_bytes() == server.files[video(NAMES[0])]


def test_empty_files_arrive_empty(server, table, out):
    server.files[lines(NAMES[0])] = b""
    assert fetch(out, table).failed == {}
    assert (out / "find_cave" / f"{NAMES[0]}.jsonl").read_bytes() == b""


def test_limits_count_what_is_here_already(server, table, out):
    one = len(server.files[video(NAMES[0])]) + 400
    limit = {"max_gb": 2.5 * one / 1e9}
    first = fetch(out, table, limits=limit)
    assert len(first.recordings) == 2
    again = fetch(out, table, limits=limit)
    assert again.recordings == first.recordings and again.fetched == []
    assert fetch(out, table, limits={"recordings": 1}).fetched == []
    assert fetch(out, table, limits={"recordings": 3}).present == 4


@pytest.mark.parametrize("limits", [{"recordings": 0}, {"max_gb": 0.0}, {"max_gb": float("nan")}])
def test_limits_that_make_no_sense_are_refused(table, out, limits):
    with pytest.raises(
        ConfigError, match=r"expected an integer of at least 1|expected a positive finite number"
    ):
        fetch(out, table, limits=limits)


def test_a_full_disk_is_noticed_before_anything_is_fetched(server, table, out, monkeypatch):
    monkeypatch.setattr(download_module, "MARGIN_BYTES", 10**18)
    with pytest.raises(ConfigError, match="GB free"):
        fetch(out, table)
    assert files_in(out) == set()


ON_A_FILLING_DISK = """
    import sys
    from pathlib import Path
    from basalt.cli.main import run
    from basalt.data import download
    small, index = sys.argv[1:]
    download.MARGIN_BYTES = -(10**9)  # it had room when it was asked
    arguments = ["data", "download", "task=find_cave", f"out={small}", "--local", index, "--quiet"]
    status = run([*arguments, "jobs=1"])
    kept = list(Path(small).rglob(".*.partial"))
    whole = list(Path(small).rglob("*.mp4"))
    print(status, len(whole), len(kept), kept[0].stat().st_size > 0)
"""


def test_a_disk_that_fills_up_on_the_way_is_said_once_and_what_came_is_kept(
    server, table, tmp_path
):
    done = on_a_small_disk(tmp_path, 500, ON_A_FILLING_DISK, str(tmp_path / "index"))
    assert done.stdout.splitlines()[-1] == "1 1 1 True", done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "the disk is full" in line and "--max-gb" in line


def test_two_downloads_do_not_share_a_folder(table, out):
    with sole_writer(out, "download"), pytest.raises(ConfigError, match="another download"):
        fetch(out, table)


def test_a_server_out_of_reach_ends_the_download_early(server, table, out):
    table = table.loc[[0] * 40].assign(play=[f"{NAMES[0][:-2]}{n}" for n in range(10, 50)])
    server.faults[lines(table["name"].iloc[0])] = "503"
    with pytest.raises(ConfigError, match="HTTP 503; 8 recordings in a row"):
        fetch(out, table)


def test_any_file_system_is_source_and_target(server, table, out, tmp_path):
    fetch(out, table)
    mirror = tmp_path / "mirror" / "find-cave"
    mirror.parent.mkdir()
    (out / "find_cave").rename(mirror)
    target = "memory://bedd-test"
    memory = fsspec.filesystem("memory")
    try:
        report = fetch(target, table, source=str(mirror.parent))
        assert len(report.fetched) == 6
        assert {path.rsplit("/", 1)[1] for path in memory.find("/bedd-test")} == {
            f"{name}{suffix}" for name in NAMES for suffix in (".mp4", ".jsonl")
        }
        path = f"/bedd-test/find_cave/{NAMES[0]}.mp4"
        assert memory.cat_file(path) == server.files[video(NAMES[0])]
        server.seen.clear()
        assert fetch(target, table, source=str(mirror.parent)).present == 6
        assert not server.seen
    finally:
        memory.rm("/bedd-test", recursive=True)


def test_an_unknown_protocol_is_refused(table, out):
    with pytest.raises(ConfigError, match="expected a path or an address"):
        fetch("nosuch://bedd", table)


def test_fewer_plays_are_among_more_and_names_are_checked(table):
    first = [rows["play"].iloc[0] for rows in choose_plays(table, sessions=1)]
    both = [rows["play"].iloc[0] for rows in choose_plays(table, sessions=2)]
    assert both[:1] == first and len(both) == 2
    session = table["session"].iloc[2]
    (play,) = choose_plays(table, sessions=[session])
    assert play["session"].tolist() == [session]
    with pytest.raises(ConfigError, match="'no-such'"):
        choose_plays(table, sessions=["no-such"])


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_the_command_goes_on_after_it_was_stopped(server, table, tmp_path, stop, status):
    """Stopped in the middle of a file of six ranges; the next run fetches the rest only."""
    name = NAMES[0]
    server.files[video(name)] = os.urandom(6 * transfer.CHUNK_BYTES)
    server.faults[video(name)] = "hangs from the third"
    arguments = [
        "task=find_cave", f"sessions={name[:-16]}", f"out={tmp_path / 'bedd'}", "--local",
        str(tmp_path / "index"), "--json",
    ]  # fmt: skip
    command = [sys.executable, "-c", "from basalt.cli.main import main; main()", "data", "download"]
    environment = os.environ | {"BASALT_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [*command, *arguments, "--quiet"], env=environment, stderr=subprocess.PIPE
    )
    try:
        assert server.hanging.wait(60)
        process.send_signal(stop)
        server.let_go.set()
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    final = tmp_path / "bedd" / "find_cave" / f"{name}.mp4"
    assert not final.exists()
    server.faults.clear()
    server.ranges.clear()
    done = subprocess.run(
        [*command, *arguments, "--quiet"], env=environment, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["fetched"] == [f"find_cave/{name}.mp4"]
    first = int(server.ranges[video(name)][0].removeprefix("bytes=").split("-")[0])
    assert first >= 2 * transfer.CHUNK_BYTES
    assert final.read_bytes() == server.files[video(name)]
