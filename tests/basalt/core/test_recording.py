import json
import shutil
import signal
import subprocess
import sys
import textwrap

import av
import numpy as np
import pytest

from basalt.core.actions import EnvActions, validate_action
from basalt.core.recorder_lines import Label
from basalt.core.recording import Recording, RecordingWriter, find_recordings
from basalt.core.recording_checks import check_recording
from basalt.core.telemetry import Telemetry
from basalt.core.video import FrameSize, VideoWriter, probe
from basalt.io.errors import RecordingError
from basalt.policies.preprocess import resize_frame

FACTS = {
    "task": "find_cave", "world": "luanti", "world_version": "test", "seed": 100_000,
    "player": "tester", "player_kind": "scripted", "step_limit": 100,
}  # fmt: skip


def state(step):
    return Telemetry(
        step=step, xpos=step / 7, ypos=3.5, zpos=-1.0, yaw=10.0, pitch=0.0, health=20, breath=10,
        hotbar=0, held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=15,
        daylight=15, under_roof=False, distance_walked=0.0, dead=False, facts={"in_cave": step > 3},
    )  # fmt: skip


def frame(t):
    picture = np.full((360, 640, 3), 40, dtype=np.uint8)
    picture[:, 20 * t : 20 * t + 20] = (250, 200, 20)
    return picture


ACTIONS = [
    validate_action({"forward": 1, "camera": [0.15 * t, -0.3 * t], "jump": t % 2}) for t in range(5)
] + [validate_action({"ESC": 1})]


def write(folder, name="episode", **changes):
    with RecordingWriter(folder, name, **(FACTS | changes)) as writer:
        writer.begin(frame(0), state(0))
        for t, action in enumerate(ACTIONS):
            writer.step(action, action["camera"], frame(t + 1), state(t + 1))
        return writer.finish("esc")


def test_what_was_played_is_what_is_read(tmp_path):
    write(tmp_path)
    recording = Recording.open(tmp_path / "episode.mp4")
    expected = EnvActions.stack(ACTIONS)
    actions = recording.actions()
    np.testing.assert_array_equal(actions.buttons, expected.buttons)
    np.testing.assert_allclose(actions.camera, expected.camera, atol=1e-4)
    assert recording.telemetry() == tuple(state(t) for t in range(7))
    assert (
        recording.meta.ended == "esc"
        and recording.meta.steps == 6
        and recording.meta.seed == 100_000
    )
    frames = list(recording.frames())
    assert len(frames) == 7 and frames[0].shape == (360, 640, 3)
    for t, picture in enumerate(frames):
        # Lossy, and colours at half resolution: judge the middle of the bar and of the ground.
        assert np.abs(picture[180, 20 * t + 10].astype(int) - (250, 200, 20)).max() < 30
        assert np.abs(picture[180, 500].astype(int) - 40).max() < 12
    check_recording(recording)


def test_a_second_stream_says_what_an_expert_would_have_done(tmp_path):
    wanted = [validate_action({"back": 1, "camera": [1.5, -0.3 * t]}) for t in range(6)]
    with RecordingWriter(tmp_path, "labelled", labels="tutor", **FACTS) as writer:
        writer.begin(frame(0), state(0))
        for t, action in enumerate(ACTIONS):
            label = Label(None if t == 2 else wanted[t], cue_visible=t > 3)
            writer.step(action, action["camera"], frame(t + 1), state(t + 1), label)
        writer.finish("esc")
    recording = Recording.open(tmp_path / "labelled")
    check_recording(recording)
    stream = recording.expert()
    assert recording.meta.labels == "tutor"
    assert stream.labelled.tolist() == [True, True, False, True, True, True]
    assert stream.cue_visible.tolist() == [False, False, False, False, True, True]
    for t in (0, 1, 3, 4, 5):
        np.testing.assert_allclose(stream.actions.step(t)["camera"], wanted[t]["camera"])
        assert stream.actions.step(t)["back"] == 1 and stream.actions.step(t)["forward"] == 0
    assert not stream.actions.buttons[2].any() and not stream.actions.camera[2].any()
    np.testing.assert_array_equal(recording.actions().buttons, EnvActions.stack(ACTIONS).buttons)


def test_a_recording_that_nobody_labelled_has_no_second_stream(tmp_path):
    recording = write(tmp_path)
    assert recording.meta.labels is None and recording.expert() is None
    assert b"expert" not in recording.lines_path.read_bytes()
    meta = json.loads(recording.meta_path.read_text())
    del meta["labels"]  # as recordings were before
    recording.meta_path.write_text(json.dumps(meta))
    assert Recording.open(recording.stem).expert() is None


def test_labels_are_for_every_step_or_for_none(tmp_path):
    label = Label(None, cue_visible=False)
    for facts, given in ((FACTS, label), (FACTS | {"labels": "tutor"}, None)):
        with RecordingWriter(tmp_path, "e", **facts) as writer:
            writer.begin(frame(0), state(0))
            with pytest.raises(ValueError, match="expected a label at every step"):
                writer.step(ACTIONS[0], ACTIONS[0]["camera"], frame(1), state(1), given)


def test_a_label_that_is_missing_from_a_line_is_named(tmp_path):
    recording = write(tmp_path)
    meta = json.loads(recording.meta_path.read_text()) | {"labels": "tutor"}
    recording.meta_path.write_text(json.dumps(meta))
    with pytest.raises(RecordingError, match="line 1: expected cueVisible"):
        Recording.open(recording.stem).expert()


def test_the_video_plays_in_browsers(tmp_path):
    recording = write(tmp_path)
    info = probe(recording.video_path)
    assert info.plays_in_browsers and (info.width, info.height, info.fps) == (640, 360, 20)
    data = recording.video_path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index must come first"


def test_the_video_has_a_key_frame_each_second(tmp_path):
    writer = VideoWriter(tmp_path / "v.mp4")
    for t in range(60):
        writer.write(frame(t % 30))
    writer.close()
    with av.open(str(tmp_path / "v.mp4")) as container:
        keys = sorted(
            round(packet.pts * packet.time_base * 20)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None
        )
    assert keys[0] == 0 and np.diff([*keys, 60]).max() <= 20


def test_nothing_stands_under_a_final_name_after_a_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt), RecordingWriter(tmp_path, "e", **FACTS) as writer:
        writer.begin(frame(0), state(0))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_final_names(tmp_path):
    code = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from tests.basalt.core.test_recording import ACTIONS, FACTS, frame, state
        from basalt.core.recording import RecordingWriter
        writer = RecordingWriter(Path(sys.argv[1]), "e", **FACTS)
        writer.begin(frame(0), state(0))
        writer.step(ACTIONS[0], ACTIONS[0]["camera"], frame(1), state(1))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    with pytest.raises(RecordingError, match="no recordings"):
        find_recordings(tmp_path)
    with RecordingWriter(tmp_path, "f", **FACTS) as writer:
        writer.begin(frame(0), state(0))
        assert [path.name for path in tmp_path.iterdir() if ".e." in path.name] == []


def test_bedds_recordings_are_read_by_the_same_code(tmp_path, published):
    lines = published / "bedd_actions" / "animalpen.jsonl"
    name = "cheeky-cornflower-setter-0a9ad3ddd136-20220726-193610"
    shutil.copy(lines, tmp_path / f"{name}.jsonl")
    writer = VideoWriter(tmp_path / f"{name}.mp4", preset="ultrafast")
    for _ in range(1308):
        writer.write(frame(0))
    writer.close()
    (recording,) = find_recordings(tmp_path)
    assert recording.meta is None and recording.telemetry() == ()
    assert len(recording) == 1307 and check_recording(recording).frames == 1308
    actions = recording.actions()
    assert actions.column("ESC").tolist() == [0] * 1306 + [1]
    assert actions.column("attack")[0] == 0, "the stuck button is corrected"


def test_frames_are_resized_as_vpt_does(tmp_path, golden):
    import cv2

    recording = write(tmp_path)
    for full in recording.frames():
        np.testing.assert_array_equal(
            resize_frame(full, FrameSize(128, 128)),
            cv2.resize(full, (128, 128), interpolation=cv2.INTER_LINEAR),
        )
    stored = np.load(golden / "vpt" / "frames.npz")
    for name in ("noise", "smooth"):
        resized = cv2.resize(stored[name], (128, 128), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(resized, stored[f"{name}_128"])


def _damage_line(recording, change):
    lines = recording.lines_path.read_text().splitlines()
    line = json.loads(lines[2])
    change(line)
    lines[2] = json.dumps(line)
    recording.lines_path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.pop("hotbar"), r"line 3: hotbar: Field required"),
        (lambda line: line.update(hotbar=9), r"line 3: hotbar"),
        (lambda line: line.update(tick=7), r"line 3: tick 7 follows 1"),
        (lambda line: line["mouse"].update(dx=float("nan")), r"line 3: mouse.dx"),
        (lambda line: line["mouse"].update(buttons="left"), r"line 3: mouse.buttons"),
        (lambda line: line["keyboard"].pop("keys"), r"line 3: keyboard.keys"),
        (lambda line: line["telemetry"].update(version=3), r"line 3: telemetry.version"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, change, message):
    recording = write(tmp_path)
    _damage_line(recording, change)
    with pytest.raises(RecordingError, match=message):
        _ = Recording.open(recording.stem).lines


def test_a_cut_line_file_is_named(tmp_path):
    recording = write(tmp_path)
    text = recording.lines_path.read_bytes()
    recording.lines_path.write_bytes(text[:-200])
    with pytest.raises(RecordingError, match=r"episode.jsonl, line 6: .*JSON"):
        _ = Recording.open(recording.stem).lines


def test_changed_files_fail_the_check(tmp_path):
    recording = write(tmp_path)
    recording.lines_path.write_text(recording.lines_path.read_text().replace("3.5", "4.5"))
    with pytest.raises(RecordingError, match=r"episode.jsonl: changed since"):
        check_recording(Recording.open(recording.stem))


@pytest.mark.parametrize("suffix", [".mp4", ".jsonl"])
def test_a_missing_file_is_named(tmp_path, suffix):
    recording = write(tmp_path)
    recording.stem.with_suffix(suffix).unlink()
    with pytest.raises(RecordingError, match=f"episode{suffix}: missing"):
        Recording.open(recording.stem)


def test_meta_with_foreign_fields_is_refused(tmp_path):
    recording = write(tmp_path)
    meta = json.loads(recording.meta_path.read_text())
    recording.meta_path.write_text(json.dumps(meta | {"rating": 9}))
    with pytest.raises(RecordingError, match=r"episode.json: rating"):
        Recording.open(recording.stem)


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0" * 5000])
def test_a_video_that_is_none_is_one_clear_error(tmp_path, content):
    recording = write(tmp_path)
    recording.meta_path.unlink()
    recording.video_path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"episode.mp4: not a video"):
        check_recording(Recording.open(recording.stem))


def test_too_few_frames_fail_the_check(tmp_path):
    recording = write(tmp_path)
    recording.meta_path.unlink()
    writer = VideoWriter(recording.video_path)
    for t in range(4):
        writer.write(frame(t))
    writer.close()
    with pytest.raises(RecordingError, match="4 frames for 6 lines"):
        check_recording(Recording.open(recording.stem))


def test_a_folder_without_recordings_says_so(tmp_path):
    with pytest.raises(RecordingError, match="holds no recordings"):
        find_recordings(tmp_path)
    with pytest.raises(RecordingError, match="no such folder"):
        find_recordings(tmp_path / "absent")
