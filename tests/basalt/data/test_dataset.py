"""Training sequences show each episode's frames in order beside the right actions."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import BLUE, GREEN, write_episode, write_episodes

from basalt.actions import NULL_CAMERA
from basalt.data import frames as frames_module
from basalt.data.dataset import SequenceStream, load_episodes, single_pass, split_episodes
from basalt.data.frames import decoded_frames
from basalt.errors import ConfigError, RecordingError
from basalt.policies.preprocess import resize_frame
from basalt.tasks import get_task
from basalt.video import VideoWriter


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_005), 20)


def test_frames_are_those_of_the_video_at_the_policys_size(tmp_path: Path, cache: Path) -> None:
    recording = write_episode(tmp_path, 100_000, 12)
    frames = decoded_frames(recording, (128, 128))
    expected = [resize_frame(frame) for frame in recording.frames()]
    assert len(expected) == 13  # the picture after the last step has no action
    np.testing.assert_array_equal(frames, expected[:12])
    assert len(list(cache.rglob("*.npy"))) == 1
    assert not list(cache.rglob("*.partial"))


def test_frames_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = write_episode(tmp_path, 100_000, 5)
    first = np.array(decoded_frames(recording, (64, 64)))

    def refuse(*_args: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(frames_module, "_decode", refuse)
    np.testing.assert_array_equal(decoded_frames(recording, (64, 64)), first)
    write_episode(tmp_path, 100_000, 6)
    with pytest.raises(AssertionError, match="decoded again"):
        decoded_frames(recording, (64, 64))


def test_a_short_video_is_refused_and_leaves_no_file(tmp_path: Path, cache: Path) -> None:
    recording = write_episode(tmp_path, 100_000, 12)
    writer = VideoWriter(recording.video_path)
    writer.write(np.zeros((360, 640, 3), dtype=np.uint8))
    writer.close()
    with pytest.raises(RecordingError, match=r"episode-100000\.mp4: 1 frames for 12 lines"):
        decoded_frames(recording, (128, 128))
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_labels_stand_beside_their_pictures(folder: Path) -> None:
    episodes = load_episodes(folder, task=get_task("find_cave"), size=(16, 16))
    for batch in single_pass(episodes, rows=2, length=7):
        colours = batch.img.mean(axis=(2, 3))
        blue = np.abs(colours - BLUE).max(-1) < 20
        green = np.abs(colours - GREEN).max(-1) < 20
        forward = batch.buttons == 3 * 3 * 2**5  # the class of `forward` alone
        np.testing.assert_array_equal(batch.esc, green & batch.valid)
        np.testing.assert_array_equal(forward & batch.valid, blue & batch.valid)
        turning = batch.camera != NULL_CAMERA
        np.testing.assert_array_equal(turning & batch.valid, ~blue & ~green & batch.valid)


@pytest.mark.parametrize(("rows", "length"), [(1, 100), (2, 7), (3, 1), (5, 8), (9, 64)])
def test_a_single_pass_sees_every_frame_once_in_order(folder: Path, rows: int, length: int) -> None:
    episodes = load_episodes(folder, size=(8, 8))
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
    episodes = load_episodes(folder, size=(8, 8))
    stream = SequenceStream(episodes, rows=2, length=6, seed=3)
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
    episodes = load_episodes(folder, size=(8, 8))
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
                img = same.img[row, t, :, ::-1] if mirrored else same.img[row, t]
                np.testing.assert_array_equal(batch.img[row, t], img)
    assert all(len(seen) == 1 for seen in sides.values())
    assert 0.3 < np.mean([True in seen for seen in sides.values()]) < 0.7


def test_the_order_is_the_seeds_and_can_be_resumed(folder: Path) -> None:
    episodes = load_episodes(folder, size=(8, 8))
    whole = SequenceStream(episodes, 3, 5, seed=1, mirror=True)
    batches = [next(whole) for _ in range(9)]
    resumed = SequenceStream(episodes, 3, 5, seed=1, mirror=True)
    resumed.skip(6)
    for expected in batches[6:]:
        for ours, theirs in zip(next(resumed), expected, strict=True):
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
    np.testing.assert_array_equal(batch.img[0], dropped.frames[4:])


def test_recordings_of_one_place_are_not_split(tmp_path: Path) -> None:
    for player in ("a", "b"):
        write_episodes(tmp_path / player, range(100_000, 100_006), 5)
    episodes = load_episodes(tmp_path)
    train, test = split_episodes(episodes, 0.3)
    assert (len(train), len(test)) == (8, 4)
    assert {e.place for e in train}.isdisjoint({e.place for e in test})
    again, _ = split_episodes(list(reversed(episodes)), 0.3)
    assert {e.place for e in again} == {e.place for e in train}
    others = [{e.place for e in split_episodes(episodes, 0.3, seed)[1]} for seed in range(6)]
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
