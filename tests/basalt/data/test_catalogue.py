"""Catalogues: the same episodes as from the folder, from any address, and nothing from outside is believed."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from agents.bc.config import TrainConfig
from agents.bc.train import train
from basalt.core.tasks import get_task
from basalt.core.video import FrameSize
from basalt.data import catalogue
from basalt.data.catalogue import write_catalogue
from basalt.data.copies import PlayCopies, require_room
from basalt.data.dataset import SequenceStream
from basalt.data.embeddings import load_embedded
from basalt.data.episodes import load_episodes
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.paths import cache_dir
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.config import VPTConfig
from basalt.policies.embed import EmbedConfig, embed
from basalt.policies.vpt import VPTPolicy
from tests.support.synthetic import write_episode, write_episodes

TINY = VPTConfig(
    hidsize=32, attention_heads=2, attention_memory_size=24, timesteps=8, n_recurrence_layers=1,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(32, 32, 3),
)  # fmt: skip
SIZE = FrameSize(width=32, height=32)
TASK = get_task("find_cave")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    return cache_dir()


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_episodes(tmp_path_factory.mktemp("demos"), range(100_000, 100_004), 20)
    write_catalogue(made, progress=False)
    return made


@pytest.fixture
def folder(demos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demos, tmp_path / "demos"))


@pytest.fixture
def address(folder: Path) -> str:
    """The same files at an address; the name of the folder keeps those of two tests apart."""
    return put(folder, f"memory://{folder.parent.name}")


def put(folder: Path, address: str) -> str:
    system, root = fsspec.core.url_to_fs(address)
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{address}/plays.parquet"


def listed(source, embedded=False, **settings):
    return catalogue.load_catalogued(source, embedded=embedded, **settings)


def assert_same(found, expected):
    assert [one.name for one in found] == [one.name for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.task, one.split_group) == (other.task, other.split_group)
        for column in ("kept", "buttons", "camera", "esc"):
            mine, theirs = getattr(one, column), getattr(other, column)
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(one.read(), other.read())


@pytest.mark.parametrize("drop_null", [False, True])
def test_a_catalogue_gives_the_episodes_of_its_folder(folder, address, drop_null):
    expected = load_episodes(folder, task=TASK, size=SIZE, drop_null=drop_null)
    for source in (folder / "plays.parquet", address):
        assert_same(listed(source, task=TASK, size=SIZE, drop_null=drop_null), expected)


def test_nothing_but_the_catalogue_is_read_at_the_start(folder, address, cache):
    system, root = fsspec.core.url_to_fs(address)
    for path in system.find(root.rpartition("/")[0]):
        if not path.endswith(".parquet"):
            system.rm(path)
    episodes = listed(address, task=TASK, size=SIZE)
    assert len(episodes) == 4
    with pytest.raises(ConfigError, match=r"expected the [\d,]+ bytes with SHA-256"):
        episodes[0].read()


def test_training_from_an_address_fetches_each_play_once_and_learns_the_same(
    demos, tmp_path, monkeypatch
):
    torch.manual_seed(1)
    save_checkpoint(tmp_path / "base", 1, VPTPolicy(TINY), {}, {"task": "find_cave"})
    out = tmp_path / "embeddings"
    embed(EmbedConfig(str(demos), str(tmp_path / "base"), str(out), workers=0, progress=False))
    assert write_catalogue(out, progress=False).width == 32
    address = put(out, f"memory://{tmp_path.name}-embedded")
    assert_same(listed(address, embedded=True, task=TASK), load_embedded(out, task=TASK))
    shutil.rmtree(cache_dir() / "plays")

    fetched = []
    fetch = PlayCopies._fetch
    monkeypatch.setattr(
        PlayCopies, "_fetch", lambda *values: (fetched.append(values[1]), fetch(*values))
    )
    curves = []
    for name, data in (("folder", out), ("address", address)):
        values = {"data": str(data), "out": str(tmp_path / name), "device": "cpu", "held_out": 0.3}
        train(TrainConfig(**values, batch_size=2, seq_len=8, steps=4, progress=False))
        rows = (tmp_path / name / "metrics.jsonl").open()
        curves.append([json.loads(row)["loss"] for row in rows])
    assert curves[0] == curves[1]
    assert len(fetched) == len(set(fetched)) == 4


def test_copies_make_room_for_others_but_not_while_they_are_read(folder, address, cache):
    sizes = [path.stat().st_size for path in folder.glob("*00000*") if path.suffix != ".parquet"]
    episodes = listed(address, size=SIZE, cache_gb=1.5 * sum(sizes) / 1e9)
    copies = cache / "plays"

    def here() -> int:
        return sum(path.is_dir() and not path.name.startswith(".") for path in copies.iterdir())

    for episode in episodes:
        episode.read()
        assert here() == 1
    with closing(episodes[0].source.open()) as reader:
        episodes[1].read()
        assert here() == 2  # more than the limit, since both are in use
        episodes[2].read()
        reader.read_into(np.empty((1, *SIZE.shape), np.uint8), np.array([0]))
    episodes[3].read()
    assert here() == 1


def test_a_cache_that_cannot_hold_the_window_of_plays_is_refused(folder, address):
    """Four threads fetch ahead, so with any window all four plays are wanted at the same time."""
    room = sum(path.stat().st_size for path in folder.glob("*10000[0-3]*"))
    for fits, gb in ((True, room / 1e9), (False, (room - 1) / 1e9)):
        episodes = listed(address, size=SIZE, cache_gb=gb)
        if fits:
            require_room(episodes, 1)
        else:
            with pytest.raises(
                ConfigError, match=r"cache_gb: expected at least .* 1 largest plays"
            ):
                require_room(episodes, 1)
    # What is read in place needs no copies.
    require_room(listed(folder / "plays.parquet", size=SIZE, cache_gb=0), 4)
    require_room(load_episodes(folder, task=TASK, size=SIZE), 4)


def test_training_on_segments_asks_for_the_room_before_anything_is_fetched(
    address, cache, tmp_path
):
    values = {"data": address, "out": str(tmp_path / "run"), "device": "cpu"}
    with pytest.raises(ConfigError, match=r"cache_gb: expected at least .* raise it, or give"):
        train(TrainConfig(**values, batch_size=2, seq_len=8, segment=4, cache_gb=0.0, steps=4))
    assert not (cache / "plays").exists()


def test_what_is_needed_next_is_fetched_ahead(address, cache):
    episodes = listed(address, task=TASK, size=SIZE)
    stream = SequenceStream(episodes, 2, 5, seed=0)
    next(stream)
    deadline = time.monotonic() + 60
    while sum(path.is_dir() for path in (cache / "plays").iterdir()) < 4:
        assert time.monotonic() < deadline, "the other plays are not fetched"
        time.sleep(0.05)


# ---- hostile and damaged ----


def rewritten(folder: Path, change) -> Path:
    """The folder's catalogue with changed rows."""
    path = folder / "plays.parquet"
    facts = parquet.read_metadata(path).metadata[b"basalt"]
    rows = parquet.read_table(path).to_pylist()
    change(rows)
    table = pa.Table.from_pylist(rows, catalogue.SCHEMA)
    parquet.write_table(table.replace_schema_metadata({"basalt": facts}), path)
    return path


def set_path(path):
    return lambda rows: rows[0]["files"][0].update(path=path)


@pytest.mark.parametrize(
    "change",
    [
        *(set_path(path) for path in ("../secret", "/etc/passwd", "a/../../b", "C:\\x", ".git", "")),
        lambda rows: rows[0]["files"][0].update(bytes=-1),
        lambda rows: rows[0]["files"][0].update(sha256="0"),
        lambda rows: rows[0].update(files=[]),
        lambda rows: rows[0].update(files=None),
        lambda rows: rows[0].update(name=None),
        lambda rows: rows[0].update(frames=7),
        lambda rows: rows[0].update(frames=None),
        lambda rows: rows[1].update(buttons=None),
        lambda rows: rows[1]["buttons"].__setitem__(0, 8641),
        lambda rows: rows[1]["camera"].__setitem__(0, -1),
        lambda rows: rows[1]["esc"].__setitem__(0, None),
    ],
)  # fmt: skip
def test_a_catalogue_that_lies_is_one_error(folder, change):
    path = rewritten(folder, change)
    with pytest.raises(ConfigError, match=r"expected a catalogue \(.*make it again"):
        listed(path, task=TASK)


def test_other_files_than_catalogues_are_one_error(folder, tmp_path):
    other = tmp_path / "other.parquet"
    with pytest.raises(ConfigError, match="no such catalogue"):
        listed(other)
    with pytest.raises(ConfigError, match="no such catalogue"):
        listed("memory://nowhere/plays.parquet")
    other.write_bytes(b"PAR1 but no more")
    with pytest.raises(ConfigError, match="expected a catalogue"):
        listed(other)
    parquet.write_table(pa.table({"x": [1]}), other)
    with pytest.raises(ConfigError, match="expected a catalogue"):
        listed(other)
    with pytest.raises(ConfigError, match=r"labels: expected corrected.*got legacy"):
        listed(folder / "plays.parquet", labels="legacy")
    with pytest.raises(ConfigError, match="expected embeddings, got recordings"):
        listed(folder / "plays.parquet", embedded=True)


def test_official_seeds_are_not_learned_from(tmp_path):
    write_episode(tmp_path / "demos", 100_000, 12)
    write_episode(tmp_path / "demos", TASK.official_seeds[0], 12)
    write_catalogue(tmp_path / "demos", progress=False)
    with pytest.raises(ConfigError, match="official evaluation seed"):
        listed(tmp_path / "demos" / "plays.parquet", task=TASK)


@pytest.mark.parametrize("fault", ["other", "longer", "shorter", "missing"])
def test_files_are_those_that_are_listed(folder, address, fault, cache):
    system, root = fsspec.core.url_to_fs(address.rpartition("/")[0])
    video = next(path for path in sorted(system.find(root)) if path.endswith(".mp4"))
    content = system.cat_file(video)
    changed = {"other": content[:-1] + b"x", "longer": content + b"x", "shorter": content[:-1]}
    if fault == "missing":
        system.rm(video)
    else:
        system.pipe_file(video, changed[fault])
    episode = listed(address, task=TASK, size=SIZE)[0]
    with pytest.raises(ConfigError, match=r"expected the [\d,]+ bytes with SHA-256"):
        episode.read()
    assert not [path for path in cache.rglob("*.mp4") if path.stat().st_size > len(content)]
    system.pipe_file(video, content)
    episode.read()


def test_a_local_file_of_another_size_is_refused(folder):
    (episode, *_) = listed(folder / "plays.parquet", size=SIZE)
    with next(folder.glob("*100000*.jsonl")).open("a") as lines:
        lines.write("\n")
    with pytest.raises(ConfigError, match="bytes that the catalogue lists"):
        episode.read()


# ---- object store ----


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an S3 server, moto's."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        url = next(
            line.split("on ")[1].strip() for line in server.stderr if "Running on http" in line
        )
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        urlopen(url).close()
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("demos")
        yield "s3://demos/cave"
    finally:
        server.kill()
        server.wait()


@pytest.mark.long
def test_training_data_are_read_from_an_object_store(folder, bucket):
    address = put(folder, bucket)
    expected = load_episodes(folder, task=TASK, size=SIZE)
    assert_same(listed(address, task=TASK, size=SIZE), expected)
    # Changed there, so other plays here.
    shutil.rmtree(folder)
    write_episodes(folder, range(100_010, 100_012), 25)
    write_catalogue(folder, progress=False)
    put(folder, bucket)
    assert_same(listed(address, task=TASK, size=SIZE), load_episodes(folder, task=TASK, size=SIZE))
    with pytest.raises(BasaltError, match="no such catalogue"):
        listed("s3://demos/other/plays.parquet")
