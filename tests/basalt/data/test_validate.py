"""Every kind of damage is found and listed; nothing is deleted."""

import json
import shutil

import numpy as np
import pytest

from basalt.cli.data import main as data_main
from basalt.core.actions import FrameSize
from basalt.core.recording_checks import FAULT_KINDS
from basalt.data import validate as validate_module
from basalt.data.bedd import find_plays
from basalt.data.validate import findings_summary, findings_table, validate
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.paths import sample_dir
from tests.support.bedd_files import bedd_line, write_bedd, write_lines, write_video
from tests.support.encodings import encode_at
from tests.support.synthetic import write_episode

LINES = [bedd_line(tick) for tick in range(12)]
NAME = "ann-0a9ad3ddd136-20220726-100000"


def check(folder, **options):
    return {
        finding.name: dict(finding.faults)
        for finding in validate(folder, progress=False, **options)
    }


def faults(folder, **options):
    return sorted(check(folder, **options)[NAME])


@pytest.fixture
def stem(tmp_path):
    """One sound recording of 12 steps."""
    return write_bedd(tmp_path / NAME, LINES)


def jsonl(stem):
    return stem.with_name(f"{stem.name}.jsonl")


def mp4(stem):
    return stem.with_name(f"{stem.name}.mp4")


@pytest.mark.parametrize("frames", [12, 13])
def test_a_sound_recording_has_as_many_frames_as_lines_or_one_more(tmp_path, frames):
    write_bedd(tmp_path / NAME, LINES, frames)
    (finding,) = validate(tmp_path, progress=False)
    assert (finding.lines, finding.frames, finding.faults) == (12, frames, ())


@pytest.mark.parametrize("frames", [10, 11, 14])
@pytest.mark.parametrize("decode", [True, False])
def test_other_numbers_of_frames_are_a_fault(tmp_path, frames, decode):
    write_bedd(tmp_path / NAME, LINES, frames)
    assert check(tmp_path, decode=decode)[NAME] == {
        "frames": f"{frames} frames for 12 lines; expected as many, or one more"
    }


def test_half_a_recording_is_a_fault(stem):
    mp4(stem).unlink()
    assert faults(stem.parent) == ["no video"]
    write_video(mp4(stem), 13)
    jsonl(stem).unlink()
    assert faults(stem.parent) == ["no lines"]


def test_a_cut_line_is_named(stem):
    text = jsonl(stem).read_bytes()
    jsonl(stem).write_bytes(text[:-40])
    found = check(stem.parent)[NAME]
    assert list(found) == ["json"] and "line 12" in found["json"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("hotbar", 9), ("hotbar", None), ("isGuiOpen", "perhaps"), ("mouse", {}), ("tick", -1)],
)
def test_a_value_that_cannot_be_is_named_with_its_field(stem, field, value):
    write_lines(jsonl(stem), [*LINES[:5], LINES[5] | {field: value}, *LINES[6:]])
    found = check(stem.parent)[NAME]
    assert list(found) == ["schema"]
    assert "line 6" in found["schema"] and field in found["schema"]


def test_not_a_number_is_a_fault(stem):
    write_lines(jsonl(stem), [*LINES[:11], bedd_line(11, dx=float("nan"))])
    assert faults(stem.parent) in (["json"], ["schema"])


@pytest.mark.parametrize("ticks", [[0, 1, 3], [0, 1, 1], [1, 2, 3], [2, 1, 0]])
def test_missing_and_double_ticks_are_a_fault(tmp_path, ticks):
    write_bedd(tmp_path / NAME, [bedd_line(tick) for tick in ticks])
    assert faults(tmp_path) == ["ticks"]


def test_null_mouse_and_keyboard_are_sound(stem):
    write_lines(jsonl(stem), [*LINES[:11], LINES[11] | {"mouse": None, "keyboard": None}])
    assert faults(stem.parent) == []


def test_an_empty_file_is_a_fault(stem):
    jsonl(stem).write_text("")
    assert "empty" in faults(stem.parent)
    mp4(stem).write_bytes(b"")
    assert "video" in faults(stem.parent)


def test_a_cut_video_is_a_fault(stem):
    content = mp4(stem).read_bytes()
    mp4(stem).write_bytes(content[: len(content) // 2])
    assert set(faults(stem.parent)) & {"video", "decoding", "frames"}


def test_damage_inside_a_frame_is_found_by_decoding_only(stem):
    content = bytearray(mp4(stem).read_bytes())
    start = content.index(b"mdat") + len(content) // 2
    content[start : start + 2000] = np.random.default_rng(0).bytes(2000)
    mp4(stem).write_bytes(bytes(content))
    assert faults(stem.parent, decode=False) == []
    # Looking closer is not skipped because of what the quick look found.
    assert "decoding" in faults(stem.parent)


def test_another_picture_size_is_a_fault(stem):
    write_video(mp4(stem), 13, FrameSize(320, 180))
    assert check(stem.parent)[NAME] == {"picture": "is 320x180, not 640x360"}


def test_our_own_recordings_must_be_the_ones_described(tmp_path):
    recording = write_episode(tmp_path, 100_000, 5)
    assert check(tmp_path) == {"episode-100000": {}}
    with recording.lines_path.open("a") as file:
        file.write("\n")
    assert set(check(tmp_path)["episode-100000"]) >= {"changed", "json"}
    recording.meta_path.write_text("{}")
    assert "description" in check(tmp_path)["episode-100000"]


def test_all_faults_of_a_recording_are_found_at_once(stem):
    write_lines(jsonl(stem), [*LINES[:5], LINES[5] | {"hotbar": 9}, *LINES[8:]])
    write_video(mp4(stem), 20, FrameSize(320, 180))
    # After a line that cannot be read, the tick is not known, so no jump is claimed.
    assert faults(stem.parent) == ["frames", "picture", "schema"]


@pytest.fixture
def mixed(tmp_path):
    write_bedd(tmp_path / "find_cave" / NAME, LINES)
    write_bedd(tmp_path / "find_cave" / "bob-1a9ad3ddd136-20220726-100000", LINES, 3)
    write_bedd(tmp_path / "waterfall" / "eve-2a9ad3ddd136-20220726-100000", LINES)
    return tmp_path


def test_a_warning_is_counted_and_printed_once_and_quarantines_nothing(stem, capsys):
    encode_at(mp4(stem), [0, 30, *range(100, 700, 50)][:13])
    write_bedd(stem.with_name("bob-1a9ad3ddd136-20220726-100000"), LINES)
    findings = validate(stem.parent, progress=False)
    assert [finding.faults for finding in findings] == [(), ()]
    assert findings_summary(findings)["warnings"] == {"times": 1}
    assert findings_table(findings)["warnings"].tolist() == ["times", ""]
    assert data_main(["validate", str(stem.parent), "--quiet"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[1].endswith("2 sound, 0 broken")
    assert said[0].startswith("warning: times: frames do not follow each other by 50 ms")
    assert said[0].endswith(
        f"1 of 2 recordings; {NAME}: 2 of 13 frames do not follow the one before by 50 ms +- 1"
    )


def test_findings_of_fewer_checks_are_not_reused(stem):
    validate(stem.parent, progress=False)
    path = stem.parent / "validation.json"
    content = json.loads(path.read_text())
    content["version"] = 1
    content["findings"][0]["faults"] = [["video", "an old finding"]]
    path.write_text(json.dumps(content))
    assert faults(stem.parent) == []


def test_broken_recordings_are_listed_skipped_and_kept(mixed):
    before = {path: path.read_bytes() for path in mixed.rglob("*.*")}
    findings = validate(mixed, progress=False)
    bad = "find_cave/bob-1a9ad3ddd136-20220726-100000"
    listed = json.loads((mixed / "quarantine.json").read_text())["recordings"]
    assert listed == {bad: ["frames: 3 frames for 12 lines; expected as many, or one more"]}
    assert {path: path.read_bytes() for path in before} == before
    assert [play.player for play in find_plays(mixed)] == ["ann", "eve"]
    summary = findings_summary(findings)
    assert (summary["recordings"], summary["sound"], summary["broken"]) == (3, 2, 1)
    assert summary["faults"] == {"frames": 1} and list(summary["quarantined"]) == [bad]
    table = findings_table(findings).set_index("name")
    assert table.loc[bad, "faults"] == "frames" and table.loc[bad, "task"] == "find_cave"
    assert table["player"].tolist() == ["ann", "bob", "eve"] and (table["faults"] == "").sum() == 2


def test_a_mended_recording_leaves_the_list(mixed):
    validate(mixed, progress=False)
    write_video(mixed / "find_cave" / "bob-1a9ad3ddd136-20220726-100000.mp4", 13)
    assert findings_summary(validate(mixed, progress=False))["broken"] == 0
    assert len(find_plays(mixed)) == 3


def test_only_new_and_changed_recordings_are_looked_at_again(mixed, monkeypatch):
    first = validate(mixed, progress=False)
    looked_at = []
    real = validate_module.look_at

    def spy(folder, name, decode=True):
        looked_at.append(name)
        return real(folder, name, decode)

    monkeypatch.setattr(validate_module, "look_at", spy)
    assert validate(mixed, progress=False) == first and looked_at == []
    write_bedd(mixed / "waterfall" / "new-3a9ad3ddd136-20220726-100000", LINES)
    assert len(validate(mixed, progress=False)) == 4
    assert looked_at == ["waterfall/new-3a9ad3ddd136-20220726-100000"]
    shutil.rmtree(mixed / "find_cave")
    assert len(validate(mixed, progress=False)) == 2


def test_an_interruption_keeps_what_was_checked(mixed, monkeypatch):
    real = validate_module.look_at

    def interrupt(folder, name, decode=True):
        if name.startswith("waterfall"):
            raise KeyboardInterrupt
        return real(folder, name, decode)

    monkeypatch.setattr(validate_module, "look_at", interrupt)
    with pytest.raises(KeyboardInterrupt):
        validate(mixed, progress=False)
    content = json.loads((mixed / "validation.json").read_text())
    assert len(content["findings"]) == 2


def test_a_damaged_list_of_findings_is_made_again(mixed):
    (mixed / "validation.json").write_text("[")
    assert len(validate(mixed, progress=False)) == 3


def test_several_processes_find_the_same(mixed):
    alone = validate(mixed, progress=False)
    (mixed / "validation.json").unlink()
    assert validate(mixed, jobs=2, progress=False) == alone


def test_wrong_folders_and_jobs_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="no such folder"):
        validate(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="holds no recordings"):
        validate(tmp_path)
    with pytest.raises(ConfigError, match="jobs: expected an integer of at least 1, got 0"):
        validate(tmp_path, jobs=0)


def test_every_fault_is_explained():
    assert all(FAULT_KINDS.values())


def test_the_packages_own_sample_is_checked_without_writing_into_it():
    before = {path: path.stat().st_mtime_ns for path in sample_dir().iterdir()}
    findings = validate(sample_dir(), decode=False, progress=False)
    assert findings_summary(findings)["sound"] == len(findings) == 10
    assert {path: path.stat().st_mtime_ns for path in sample_dir().iterdir()} == before
