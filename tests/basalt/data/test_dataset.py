"""Training sequences show each episode's frames in order beside the right actions."""

import multiprocessing
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basalt.core.actions import NULL_CAMERA
from basalt.core.recording import Recording
from basalt.core.tasks import get_task
from basalt.core.video import FrameSize, VideoWriter, read_frames
from basalt.data import frames as frames_module
from basalt.data import steps as steps_module
from basalt.data.bedd import Play, find_plays
from basalt.data.dataset import SequenceStream, single_pass
from basalt.data.episodes import load_episodes, split_episodes
from basalt.data.frames import FrameReader, decoded_frames
from basalt.data.sources import CacheSource, EncodedSource, VideoSource
from basalt.data.steps import pointer_table, prepare_step_tables, step_table
from basalt.data.validate import validate
from basalt.io.errors import BasaltError, ConfigError, RecordingError
from basalt.io.paths import cache_dir
from basalt.policies.preprocess import resize_frame
from tests.support.bedd_files import bedd_line, esc_line, write_bedd, write_lines
from tests.support.encodings import SMALL, Encoding, encode, encodings, number_of, x264
from tests.support.synthetic import BLUE, GREEN, write_episode, write_episodes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def play_of(recording: Recording) -> Play:
    return Play((recording,), "find_cave")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_005), 20)


def test_frames_are_those_of_the_video_at_the_policys_size(tmp_path: Path, cache: Path) -> None:
    recording = write_episode(tmp_path, 100_000, 12)
    frames = decoded_frames(play_of(recording), FrameSize(128, 128))
    expected = [resize_frame(frame) for frame in recording.frames()]
    assert len(expected) == 13  # the picture after the last step has no action
    np.testing.assert_array_equal(frames, expected[:12])
    assert len(list(cache.rglob("*.npy"))) == 1
    assert not list(cache.rglob("*.partial"))


def test_frames_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = play_of(write_episode(tmp_path, 100_000, 5))
    first = np.array(decoded_frames(play, FrameSize(64, 64)))

    def refuse(*_args: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(frames_module, "_decode", refuse)
    np.testing.assert_array_equal(decoded_frames(play, FrameSize(64, 64)), first)
    write_episode(tmp_path, 100_000, 6)
    with pytest.raises(AssertionError, match="decoded again"):
        decoded_frames(play, FrameSize(64, 64))


def test_a_short_video_is_refused_and_leaves_no_file(tmp_path: Path, cache: Path) -> None:
    recording = write_episode(tmp_path, 100_000, 12)
    writer = VideoWriter(recording.video_path)
    writer.write(np.zeros((360, 640, 3), dtype=np.uint8))
    writer.close()
    with pytest.raises(RecordingError, match=r"episode-100000\.mp4: expected 12 frames, got 1"):
        decoded_frames(play_of(recording), FrameSize(128, 128))
    assert [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".parquet"] == []


def test_labels_stand_beside_their_pictures(folder: Path) -> None:
    episodes = load_episodes(folder, task=get_task("find_cave"), size=FrameSize(16, 16))
    for batch in single_pass(episodes, batch_size=2, seq_len=7):
        colours = batch.inputs.mean(axis=(2, 3))
        blue = np.abs(colours - BLUE).max(-1) < 20
        green = np.abs(colours - GREEN).max(-1) < 20
        forward = batch.buttons == 3 * 3 * 2**5  # the class of `forward` alone
        np.testing.assert_array_equal(batch.esc, green & batch.valid)
        np.testing.assert_array_equal(forward & batch.valid, blue & batch.valid)
        turning = batch.camera != NULL_CAMERA
        np.testing.assert_array_equal(turning & batch.valid, ~blue & ~green & batch.valid)


@pytest.mark.parametrize(("rows", "length"), [(1, 100), (2, 7), (3, 1), (5, 8), (9, 64)])
def test_a_single_pass_sees_every_frame_once_in_order(folder: Path, rows: int, length: int) -> None:
    episodes = load_episodes(folder, size=FrameSize(8, 8))
    seen: dict[int, list[int]] = {i: [] for i in range(len(episodes))}
    row_of: dict[int, int] = {}
    starts = 0
    for batch in single_pass(episodes, rows, length):
        for row, t in np.argwhere(batch.valid):
            index = int(batch.episode[row, t])
            assert batch.first[row, t] == (not seen[index])
            assert row_of.setdefault(index, row) == row
            seen[index].append(int(batch.frame[row, t]))
        starts += int(batch.first.sum())
        assert not batch.first[~batch.valid].any()
    assert starts == len(episodes)
    assert all(frames == list(range(len(episodes[i]))) for i, frames in seen.items())


def test_training_rows_run_through_whole_episodes(folder: Path) -> None:
    episodes = load_episodes(folder, size=FrameSize(8, 8))
    stream = SequenceStream(episodes, batch_size=2, seq_len=6, seed=3)
    counts = np.zeros(len(episodes), dtype=int)
    before: list[tuple[int, int] | None] = [None, None]
    for _ in range(60):
        batch = next(stream)
        assert batch.valid.all()
        for row in range(2):
            for t in range(6):
                at = int(batch.episode[row, t]), int(batch.frame[row, t])
                last = before[row]
                if batch.first[row, t]:
                    counts[at[0]] += 1
                    assert last is None or last[1] == len(episodes[last[0]]) - 1
                    assert last is None or at[1] == 0
                else:
                    assert last == (at[0], at[1] - 1)
                before[row] = at
    assert counts.min() >= counts.max() - 2


def test_half_of_the_episodes_come_mirrored_as_a_whole(folder: Path) -> None:
    episodes = load_episodes(folder, size=FrameSize(8, 8))
    plain = SequenceStream(episodes, 2, 6, seed=3)
    stream = SequenceStream(episodes, 2, 6, seed=3, mirror=True)
    sides: dict[tuple[int, int], set[bool]] = {}
    taken = [0, 0]
    for _ in range(80):
        batch, same = next(stream), next(plain)
        np.testing.assert_array_equal(batch.frame, same.frame)
        for row in range(2):
            for t in range(6):
                taken[row] += int(batch.first[row, t])
                if batch.camera[row, t] == NULL_CAMERA:
                    continue
                mirrored = bool(batch.camera[row, t] != same.camera[row, t])
                sides.setdefault((row, taken[row]), set()).add(mirrored)
                img = same.inputs[row, t, :, ::-1] if mirrored else same.inputs[row, t]
                np.testing.assert_array_equal(batch.inputs[row, t], img)
    assert all(len(seen) == 1 for seen in sides.values())
    assert 0.3 < np.mean([True in seen for seen in sides.values()]) < 0.7


def test_the_order_is_the_seeds_and_can_be_resumed(folder: Path) -> None:
    episodes = load_episodes(folder, size=FrameSize(8, 8))
    whole = SequenceStream(episodes, 3, 5, seed=1, mirror=True)
    batches = [next(whole) for _ in range(9)]
    resumed = SequenceStream(episodes, 3, 5, seed=1, mirror=True)
    resumed.skip(6)
    for expected in batches[6:]:
        for ours, theirs in zip(next(resumed).columns, expected.columns, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    other = next(SequenceStream(episodes, 3, 5, seed=2))
    assert (other.episode != batches[0].episode).any() or (other.frame != batches[0].frame).any()


def test_null_frames_are_dropped_after_quantisation(tmp_path: Path) -> None:
    write_episode(tmp_path, 100_000, 12, idle=4)
    (kept,) = load_episodes(tmp_path)
    assert len(kept) == 16
    (dropped,) = load_episodes(tmp_path, drop_null=True)
    # The idle frames move the mouse by 0.1 degrees, which the camera's bins do not see.
    assert dropped.kept.tolist() == list(range(4, 16))
    assert dropped.actions.esc.tolist() == [False] * 11 + [True]
    (batch,) = single_pass([dropped], 1, 12)
    np.testing.assert_array_equal(batch.inputs[0], dropped.read())


def test_recordings_of_one_place_are_not_split(tmp_path: Path) -> None:
    for player in ("a", "b"):
        write_episodes(tmp_path / player, range(100_000, 100_006), 5)
    episodes = load_episodes(tmp_path)
    train, test = split_episodes(episodes, 0.3)
    assert (len(train), len(test)) == (8, 4)
    assert {e.split_group for e in train}.isdisjoint({e.split_group for e in test})
    again, _ = split_episodes(list(reversed(episodes)), 0.3)
    assert {e.split_group for e in again} == {e.split_group for e in train}
    others = [{e.split_group for e in split_episodes(episodes, 0.3, seed)[1]} for seed in range(6)]
    assert any(places != others[0] for places in others)
    assert split_episodes(episodes, 0)[1] == []


def test_a_split_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    write_episode(tmp_path, 100_000, 5)
    with pytest.raises(ConfigError, match="leaves nothing to train on"):
        split_episodes(load_episodes(tmp_path), 0.2)
    with pytest.raises(ConfigError, match="held_out"):
        split_episodes(load_episodes(tmp_path), 1.0)


def test_official_seeds_are_refused(tmp_path: Path) -> None:
    task = get_task("find_cave")
    write_episode(tmp_path, task.official_seeds[0], 5)
    with pytest.raises(ConfigError, match="official"):
        load_episodes(tmp_path, task=task)


def test_other_tasks_are_left_out(tmp_path: Path) -> None:
    write_episode(tmp_path, 100_000, 5, task="make_waterfall")
    with pytest.raises(ConfigError, match="no recording of task find_cave"):
        load_episodes(tmp_path, task=get_task("find_cave"))
    write_episode(tmp_path, 100_001, 5)
    assert len(load_episodes(tmp_path, task=get_task("find_cave"))) == 1


def bedd_folder(folder: Path) -> Path:
    """A play of two files, and another player's of one; 30 steps a file, some without input."""
    for name, hotbar, last in (
        ("ann-0a9ad3ddd136-20220726-100000", 0, bedd_line(29)),
        ("ann-0a9ad3ddd136-20220726-100500", 3, esc_line(29)),
        ("bob-0a9ad3ddd137-20220726-100000", 0, bedd_line(29)),
    ):
        gui = dict.fromkeys(range(10, 14), True)
        lines = [
            bedd_line(
                t, dx=3.0 * (t % 3 == 0), hotbar=hotbar, gui=t in gui, x=100.0 + 40 * t, y=200.0
            )
            for t in range(29)
        ]
        write_bedd(folder / "find-cave" / name, [*lines, {**last, "hotbar": hotbar}])
    return folder


def test_the_files_of_a_play_are_one_episode(tmp_path: Path) -> None:
    ann, bob = load_episodes(bedd_folder(tmp_path), task=get_task("find_cave"))
    assert (len(ann), len(bob)) == (60, 30)
    # ESC ends the play, not a file; the slot changes between files by a press on the first's end.
    assert np.flatnonzero(ann.esc).tolist() == [59]
    assert ann.buttons[29] // (3 * 3 * 3 * 32) == 4
    first, second = (list(part.frames())[:30] for part in ann.play.parts)
    expected = np.array([resize_frame(frame) for frame in first + second])
    changed = (ann.read() != expected).any(axis=(1, 2, 3))
    # The pointer is in the pictures where a screen was open, and nowhere else.
    assert np.flatnonzero(changed).tolist() == [10, 11, 12, 13, 40, 41, 42, 43]
    assert ann.split_group != bob.split_group
    with pytest.raises(ConfigError, match="no recording of task make_waterfall"):
        load_episodes(tmp_path, task=get_task("make_waterfall"))


def test_null_frames_of_a_play_are_judged_after_the_hotbar(tmp_path: Path) -> None:
    ann, _ = load_episodes(bedd_folder(tmp_path), drop_null=True)
    turns = [30 * part + t for part in (0, 1) for t in range(0, 29, 3)]
    assert ann.kept.tolist() == sorted([*turns, 29, 59])


def test_the_published_labels_can_be_had(tmp_path: Path) -> None:
    mended, _ = load_episodes(bedd_folder(tmp_path))
    original, _ = load_episodes(tmp_path, labels="legacy")
    assert (mended.camera[:29:3] != NULL_CAMERA).all()  # 3 pixels are 0.45 degrees
    assert (original.camera == NULL_CAMERA).all()
    assert original.buttons[30] // (3 * 3 * 3 * 32) == 4  # one line late, in the second file
    np.testing.assert_array_equal(original.read(), mended.read())


def test_quarantined_and_crashed_recordings_are_left_out(tmp_path: Path) -> None:
    bedd_folder(tmp_path)
    (bob,) = tmp_path.rglob("bob*.jsonl")
    bob.write_text(bob.read_text()[:-20])
    with pytest.raises(RecordingError, match=r"bob-.*line 30.*basalt data validate .* is left out"):
        load_episodes(tmp_path)
    validate(tmp_path, decode=False, progress=False)
    write_episode(tmp_path / "crashed", 100_000, 5)
    (ann,) = load_episodes(tmp_path)
    assert ann.name.startswith("ann-")


@pytest.mark.parametrize("drop_null", [False, True])
def test_frames_read_on_the_way_are_those_of_the_cache(tmp_path: Path, drop_null: bool) -> None:
    """Also where rows begin in the middle of a video, and where frames are passed over."""
    bedd_folder(tmp_path)
    write_episodes(tmp_path / "ours", range(100_000, 100_001), 50)
    cached = load_episodes(tmp_path, size=FrameSize(32, 32), drop_null=drop_null)
    streamed = load_episodes(tmp_path, size=FrameSize(32, 32), drop_null=drop_null, cache_gb=0)
    assert {type(e.source) for e in cached} == {CacheSource}
    assert {type(e.source) for e in streamed} == {VideoSource}
    for seed in range(3):
        streams = [SequenceStream(e, 3, 11, seed, mirror=True) for e in (cached, streamed)]
        for _ in range(9):
            for a, b in zip(*(next(s).columns for s in streams), strict=True):
                np.testing.assert_array_equal(a, b)


def test_any_frame_can_be_reached_in_any_order(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(frames_module, "_SEEK_GAP", 3)
    play = play_of(write_episode(tmp_path, 100_000, 70))
    whole = decoded_frames(play, FrameSize(16, 16))
    reader = FrameReader(play, FrameSize(16, 16))
    order = [69, 0, 1, 5, 40, 39, 21, 20, 19, 41, 42, 60]
    np.testing.assert_array_equal(reader.read(np.array(order)), whole[order])
    with pytest.raises(IndexError, match="frame 70 of 70"):
        reader.read(np.array([70]))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(how=encodings(), order=st.lists(st.integers(0, 11), min_size=1, max_size=8))
@example(how=Encoding(options=x264(keyint=5, bframes=2, b_adapt=0), shift=-4), order=[7, 11, 0, 5])
def test_pictures_are_the_same_cached_and_streamed_however_they_are_encoded(
    tmp_path: Path, how: Encoding, order: list[int]
) -> None:
    stem = tmp_path / f"ann-0a9ad3ddd136-20220726-1000{len(order):02}"
    video = encode(stem.with_suffix(".mp4"), 18, how)
    shown = [number_of(frame) for frame in read_frames(video)]
    order = [number % len(shown) for number in order]
    write_lines(stem.with_suffix(".jsonl"), [bedd_line(tick) for tick in range(len(shown))])
    play = Play((Recording(stem, None),), "find_cave")
    sources = [source(play, SMALL) for source in (CacheSource, VideoSource)]
    pictures = np.empty((2, len(order), *SMALL.shape), np.uint8)
    for source, out in zip(sources, pictures, strict=True):
        with closing(source.open()) as reader:
            for place, number in enumerate(order):
                reader.read_into(out[place : place + 1], np.array([number]))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert [number_of(frame) for frame in pictures[1]] == [shown[number] for number in order]


def test_batches_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    bedd_folder(tmp_path)
    write_episodes(tmp_path / "ours", range(100_000, 100_002), 40)
    episodes = load_episodes(tmp_path, size=FrameSize(16, 16), cache_gb=0)
    alone, shared = (
        SequenceStream(episodes, 3, 7, seed=5, mirror=True, workers=workers) for workers in (0, 2)
    )
    for stream in (alone, shared):
        stream.skip(4)
    for _ in range(6):
        for a, b in zip(next(alone).columns, next(shared).columns, strict=True):
            np.testing.assert_array_equal(a, b)
    del shared
    # A finite pass ends, and more workers than rows are not started.
    whole = single_pass(episodes[:1], batch_size=2, seq_len=16)
    for ours, theirs in zip(single_pass(episodes[:1], 2, 16, workers=5), whole, strict=True):
        for a, b in zip(ours.columns, theirs.columns, strict=True):
            np.testing.assert_array_equal(a, b)


def test_reading_frames_needs_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bedd_folder(tmp_path)
    play = find_plays(tmp_path)[0]

    def refuse(*_args: object, **_settings: object) -> None:
        raise AssertionError("labels were computed")

    monkeypatch.setattr(steps_module, "label_play", refuse)
    frames = FrameReader(play, FrameSize(16, 16)).read(np.arange(60))
    assert frames.shape == (60, 16, 16, 3)


def test_a_size_is_width_and_height_everywhere_and_a_bare_tuple_is_refused(tmp_path: Path) -> None:
    recording = write_episode(tmp_path, 100_000, 3)
    wide = FrameSize(width=32, height=16)
    assert wide.shape == (16, 32, 3)
    assert FrameReader(play_of(recording), wide).read(np.arange(3)).shape == (3, 16, 32, 3)
    assert resize_frame(next(iter(recording.frames())), wide).shape == (16, 32, 3)
    for cache_gb in (0, 1):
        (episode,) = load_episodes(tmp_path, size=wide, cache_gb=cache_gb)
        assert episode.read().shape == (3, 16, 32, 3)
    for transposed in (
        lambda: FrameReader(play_of(recording), (16, 32)),  # type: ignore[arg-type]
        lambda: resize_frame(np.zeros((4, 4, 3), np.uint8), (16, 32)),  # type: ignore[arg-type]
        lambda: load_episodes(tmp_path, size=(16, 32)),  # type: ignore[arg-type]
    ):
        with pytest.raises(AttributeError):
            transposed()


def test_encoded_episodes_give_the_same_batches_as_their_frames(folder: Path) -> None:
    """Each source fills the same places, so that a policy can be run from either."""
    episodes = load_episodes(folder, size=FrameSize(8, 8), drop_null=True)
    encoded = [
        replace(
            e, source=EncodedSource(e.read().reshape(len(e), -1)[:, :5].astype(np.float32), e.kept)
        )
        for e in episodes
    ]
    for workers in (0, 2):
        pairs = zip(single_pass(episodes, 2, 7), single_pass(encoded, 2, 7, workers), strict=True)
        for frames, vectors in pairs:
            assert (frames.kind, vectors.kind) == ("frames", "encoded")
            expected = frames.inputs.reshape(*frames.valid.shape, -1)[..., :5]
            np.testing.assert_array_equal(vectors.inputs, expected)
            np.testing.assert_array_equal(vectors.position, frames.position)


def test_step_tables_are_made_once_and_again_when_lines_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bedd_folder(tmp_path)
    play = find_plays(tmp_path)[0]
    table = step_table(play)
    assert table["part"].tolist() == [0] * 30 + [1] * 30
    assert pointer_table(play)["cursor_x"].notna().sum() == 8 and table["esc"].sum() == 1
    np.testing.assert_allclose(table["yaw"][:4], [0.45, 0, 0, 0.45], rtol=1e-6)
    again = step_table(play)
    pd.testing.assert_frame_equal(table, again)
    lines = play.parts[0].lines_path
    lines.write_text(lines.read_text().replace('"dx": 3.0', '"dx": 20.0'))
    assert step_table(play)["yaw"][0] == 3.0
    for file in (cache_dir() / "steps").iterdir():
        file.write_bytes(b"PAR1 cut short")
    assert step_table(play)["yaw"][0] == 3.0


def test_step_tables_of_many_plays_are_made_side_by_side(tmp_path: Path) -> None:
    plays = [play_of(write_episode(tmp_path, 100_000 + i, 3)) for i in range(steps_module._FEW)]
    prepare_step_tables(plays, jobs=2)
    assert len(step_table(plays[-1])) == 3


def test_what_a_worker_meets_is_told(tmp_path: Path) -> None:
    play_of(write_episode(tmp_path, 100_000, 12))
    episodes = load_episodes(tmp_path, size=FrameSize(16, 16), cache_gb=0)
    episodes[0].play.parts[0].video_path.write_bytes(b"no video")
    with pytest.raises(RecordingError, match=r"episode-100000\.mp4: not a video"):
        next(single_pass(episodes, 1, 8, workers=1))


def test_a_killed_worker_is_told(tmp_path: Path) -> None:
    episodes = load_episodes(
        write_episodes(tmp_path, range(100_000, 100_002), 40), size=FrameSize(8, 8)
    )
    stream = SequenceStream(episodes, 2, 4, seed=0, workers=2)
    next(stream)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(BasaltError, match="a process that reads recordings was killed"):
        for _ in range(10):
            next(stream)
    assert not multiprocessing.active_children()
