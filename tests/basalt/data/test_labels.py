"""Labels of whole plays, the published loaders' labels, and the difference on real human files."""

import numpy as np
import pytest

from basalt.core.actions import NULL_CAMERA
from basalt.core.recorder_lines import Line
from basalt.core.video import FrameSize
from basalt.data.bedd import Play, find_plays
from basalt.data.cursor import SPRITE, paste_cursor
from basalt.data.frames import FrameReader
from basalt.data.labels import (
    label_mode,
    label_parts,
    label_play,
    labels_report,
    line_files,
    read_line_file,
    report_summary,
)
from basalt.io.errors import ConfigError, RecordingError
from basalt.policies.preprocess import resize_frame
from tests.support.bedd_files import bedd_line, esc_line, write_bedd, write_lines
from tests.support.synthetic import write_episode


def lines_of(*lines):
    return [Line.model_validate(line) for line in lines]


def attack(parts, mode="mended"):
    return [part.actions.column("attack").tolist() for part in label_parts(parts, mode)]


@pytest.fixture
def human(published):
    return line_files([published / "bedd_actions"])


def test_real_files_show_what_the_published_labels_lose(human):
    """The figures of the project's facts, measured on the two public human files."""
    table = labels_report(human)
    summary = report_summary(table)
    assert table["lines"].tolist() == [1_307, 6_000]
    assert round(100 * summary["share_camera_components_lost"]) == 54
    assert 0.42 < summary["share_moving_frames_made_still"] < 0.43
    assert (summary["hotbar_lost"], summary["hotbar_presses"]) == (21, 68)
    assert table["stuck_lines"].tolist() == [285, 312]
    # Raw null rule after the stuck button is corrected: 15.6 % and 18.3 %.
    assert (table["null_raw"] / table["lines"]).round(3).tolist() == [0.156, 0.183]


def test_real_original_hotbar_presses_come_one_line_late(human):
    for path in human:
        lines = read_line_file(path)
        mended, original = (label_parts([lines], mode)[0] for mode in ("corrected", "legacy"))
        for slot in range(1, 10):
            pressed = mended.actions.column(f"hotbar.{slot}")
            np.testing.assert_array_equal(
                original.actions.column(f"hotbar.{slot}")[1:], pressed[:-1]
            )


def test_original_camera_is_cut_to_whole_degrees_and_loses_bins():
    (labels,) = label_parts(
        [lines_of(*(bedd_line(t, dx=dx) for t, dx in enumerate((6, 7, 13, 20, -6, -13))))],
        "legacy",
    )
    assert labels.actions.camera[:, 1].tolist() == [0, 1, 1, 3, 0, -1]
    assert labels.indices.camera[0] == NULL_CAMERA and not labels.null[0]


def test_mended_null_is_judged_after_quantisation_and_the_hotbar():
    lines = lines_of(
        bedd_line(0, dx=1),  # too small for a camera bin
        bedd_line(1),  # nothing, but the slot changes after it
        bedd_line(2, hotbar=3),
        bedd_line(3, hotbar=3, dx=2),
        bedd_line(4, hotbar=3, keys=["key.keyboard.f3"]),  # a key without an action
    )
    (mended,), (original,) = label_parts([lines]), label_parts([lines], "legacy")
    assert mended.null.tolist() == [True, False, True, False, True]
    assert mended.actions.column("hotbar.4").tolist() == [0, 1, 0, 0, 0]
    assert original.null.tolist() == [False, True, True, False, True]
    assert original.actions.column("hotbar.4").tolist() == [0, 0, 1, 0, 0]  # lost: line 2 is null


def test_a_slot_change_between_files_is_pressed_at_the_end_of_the_first():
    parts = [lines_of(bedd_line(0), bedd_line(1)), lines_of(bedd_line(0, hotbar=4), bedd_line(1))]
    first, second = label_parts(parts)
    assert first.actions.column("hotbar.5").tolist() == [0, 1]
    assert second.actions.column("hotbar.5").tolist() == [0, 0]
    assert second.actions.column("hotbar.1").tolist() == [1, 0]


def test_a_continuation_has_no_spurious_press_but_the_original_has():
    parts = [lines_of(bedd_line(0, hotbar=4)), lines_of(bedd_line(0, hotbar=4))]
    assert [part.actions.buttons.sum() for part in label_parts(parts)] == [0, 0]
    assert [part.actions.column("hotbar.5").tolist() for part in label_parts(parts, "legacy")] == [
        [1],
        [1],
    ]


def held(tick, new=False):
    return bedd_line(tick, buttons=[0], new_buttons=[0] if new else [])


def test_a_stuck_button_stays_stuck_across_files_until_it_is_pressed():
    parts = [
        lines_of(held(0, new=True), held(1)),
        lines_of(held(0, new=True), held(1), held(2, new=True)),
    ]
    assert attack(parts) == [[0, 0], [0, 0, 1]]
    # Without the recorder's mark on the second file it is stuck no less.
    parts[1] = lines_of(held(0), held(1), held(2, new=True))
    assert attack(parts) == [[0, 0], [0, 0, 1]]
    assert attack(parts, "legacy") == [[0, 0], [1, 1, 1]]


def test_a_button_held_across_files_stays_held():
    parts = [lines_of(bedd_line(0), held(1, new=True)), lines_of(held(0, new=True), held(1))]
    assert attack(parts) == [[0, 1], [1, 1]]
    assert attack(parts, "legacy") == [[0, 1], [0, 0]]


def test_a_button_that_appears_with_a_new_file_is_stuck():
    parts = [lines_of(bedd_line(0)), lines_of(held(0, new=True), held(1), held(2, new=True))]
    assert attack(parts) == [[0], [0, 0, 1]]


def test_esc_ends_only_the_last_file():
    gui_esc = bedd_line(1, keys=["key.keyboard.escape"], gui=True)
    parts = [lines_of(bedd_line(0), gui_esc, esc_line(2)), lines_of(bedd_line(0), esc_line(1))]
    first, second = label_parts(parts)
    assert first.indices.esc.tolist() == [False] * 3
    assert first.actions.column("inventory").tolist() == [0, 1, 0]
    assert second.indices.esc.tolist() == [False, True] and not second.null[1]
    assert label_parts(parts, "legacy")[0].indices.esc.tolist() == [False, True, True]


def test_our_own_recordings_have_no_stuck_buttons(tmp_path):
    write_episode(tmp_path, 100_000, 12)
    (play,) = find_plays(tmp_path)
    (labels,) = label_play(play)
    expected = play.parts[0].actions()
    np.testing.assert_array_equal(labels.actions.buttons, expected.buttons)
    assert len(labels) == 12 and labels.indices.esc.tolist() == [False] * 11 + [True]


def test_labels_pair_with_each_files_frames(tmp_path):
    for time in ("100000", "100500"):
        write_bedd(tmp_path / f"ann-0a9ad3ddd136-20220726-{time}", [bedd_line(0), bedd_line(1)])
    (play,) = find_plays(tmp_path)
    assert [len(labels) for labels in label_play(play)] == [2, 2]
    reader = FrameReader(play, None)
    whole = [frame for part in play.parts for frame in list(part.frames())[:2]]
    np.testing.assert_array_equal(reader.read(np.arange(4)), whole)


def test_no_lines_and_wrong_modes():
    assert len(label_parts([[]])[0]) == 0 == len(label_parts([[]], "legacy")[0])
    with pytest.raises(
        ConfigError, match="labels: unknown rules 'best'; available: corrected, legacy"
    ):
        label_parts([[]], "best")


def test_files_from_before_the_rules_were_renamed_are_read():
    assert [label_mode(name) for name in ("mended", "original")] == ["corrected", "legacy"]


def test_a_report_names_what_it_cannot_read(tmp_path):
    write_lines(tmp_path / "a.jsonl", [])
    with pytest.raises(RecordingError, match=r"a\.jsonl: has no lines"):
        labels_report([tmp_path / "a.jsonl"])
    with pytest.raises(RecordingError, match="no such file or folder"):
        line_files([tmp_path / "b"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match=r"expected \.jsonl files, found none"):
        line_files([tmp_path / "empty"])


def test_a_share_of_nothing_is_none(tmp_path):
    write_lines(tmp_path / "still.jsonl", [bedd_line(0), bedd_line(1)])
    summary = report_summary(labels_report(line_files([tmp_path])))
    assert summary["share_camera_components_lost"] is None
    assert summary["share_hotbar_presses_lost"] is None and summary["share_null_corrected"] == 1.0


def test_the_pointer_is_where_the_window_says():
    frame = np.full((360, 640, 3), 100, dtype=np.uint8)
    paste_cursor(frame, 641.9, 360.5)
    rows, columns = np.nonzero((frame != 100).any(axis=2))
    assert (columns.min(), rows.min()) == (320, 180)
    assert columns.max() < 336 and rows.max() < 196
    assert frame.max() > 200 and frame.min() < 20  # white with a dark rim


@pytest.mark.parametrize(
    ("x", "y"), [(-10, -12), (1270, 710), (-10, 715), (1279.5, 0), (5000, 300), (0, -4000)]
)
def test_a_pointer_at_any_edge_is_cut_off_there(x, y):
    large = np.full((1000, 1200, 3), 100, dtype=np.uint8)
    frame = np.full((360, 640, 3), 100, dtype=np.uint8)
    paste_cursor(frame, x, y)
    left, top = 300 + int(x / 2), 300 + int(y / 2)
    if 0 <= left < 1184 and 0 <= top < 984:
        target = large[top : top + 16, left : left + 16]
        alpha = SPRITE[:, :, 3:]
        target[:] = np.rint(target * (1 - alpha) + 255 * SPRITE[:, :, :3] * alpha)
    np.testing.assert_array_equal(frame, large[300:660, 300:940])


def test_the_policy_sees_the_pointer_in_open_screens_only(tmp_path):
    stem = tmp_path / "ann-0a9ad3ddd136-20220726-100000"
    write_bedd(stem, [bedd_line(0), bedd_line(1, gui=True, x=700, y=300), bedd_line(2)])
    (play,) = find_plays(tmp_path)
    plain = list(play.parts[0].frames())
    seen = FrameReader(play, None).read(np.arange(3))
    changed = [bool((a != b).any()) for a, b in zip(seen, plain, strict=False)]
    assert changed == [False, True, False]
    expected = plain[1].copy()
    paste_cursor(expected, 700, 300)
    small = FrameReader(play, FrameSize(128, 128)).read(np.array([1]))
    np.testing.assert_array_equal(small[0], resize_frame(expected))


def test_worlds_draw_their_own_pointer(tmp_path):
    recording = write_episode(tmp_path, 100_000, 3)
    seen = FrameReader(Play((recording,), "find_cave"), None).read(np.arange(3))
    np.testing.assert_array_equal(seen, list(recording.frames())[:3])
