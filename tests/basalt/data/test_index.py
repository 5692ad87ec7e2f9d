"""The index lists recordings; files of one play are put together, others are not."""

import json
from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core.tasks import TASKS
from basalt.data import bedd
from basalt.data.bedd import (
    RecordingName,
    find_plays,
    index_summary,
    load_index,
    read_quarantine,
)
from basalt.io.errors import ConfigError, RecordingError
from tests.support.bedd_files import bedd_line, esc_line, write_bedd
from tests.support.synthetic import write_episode

FIND_CAVE = [TASKS["find_cave"]]


_load_once = cache(load_index)


@pytest.fixture
def real(published):
    return _load_once(local=published / "bedd_index")


def write_index(folder, paths, base="https://example.org/"):
    folder.mkdir(exist_ok=True)
    path = folder / "find-cave-Jul-28.json"
    path.write_text(json.dumps({"basedir": base, "relpaths": paths}))
    return folder


def index_of(tmp_path, names):
    return load_index(
        FIND_CAVE, local=write_index(tmp_path, [f"data/find-cave/{name}.mp4" for name in names])
    )


def test_the_official_index_has_the_known_numbers(real):
    assert index_summary(real) == {
        "recordings": 13_928,
        "tasks": {
            "find_cave": {"recordings": 5_466, "sessions": 5_129},
            "make_waterfall": {"recordings": 4_230, "sessions": 3_947},
            "create_village_animal_pen": {"recordings": 2_833, "sessions": 2_543},
            "build_village_house": {"recordings": 1_399, "sessions": 675},
        },
    }
    assert real.groupby("task")["session"].nunique().sum() == 12_294
    assert real.groupby("task")["alias"].nunique().between(17, 25).all()
    assert not real["name"].duplicated().any()


def test_parts_are_in_order_of_time(real):
    for _, rows in real.groupby(["task", "session"]):
        assert rows["part"].tolist() == list(range(len(rows)))
        assert rows["date"].is_monotonic_increasing


def test_a_session_id_of_its_own_is_one_play(real):
    own = real[~real["session_id"].isin(bedd.SHARED_IDS)]
    assert (own.groupby(["task", "session"])["play"].nunique() == 1).all()
    assert own.groupby(["task", "session"]).size().max() == 4


def test_the_shared_session_id_stands_for_many_plays(real):
    """One id belongs to 27 players and up to 46 files each, days apart: not one long play."""
    shared = real[real["session_id"].isin(bedd.SHARED_IDS)]
    assert len(shared) == 1_069 and shared["alias"].nunique() == 27
    assert shared.groupby(["task", "session"]).size().max() == 46
    assert shared["play"].nunique() == 917
    # Three minutes are FindCave's limit, so hardly a play can have two files.
    assert real[real["task"] == "find_cave"].groupby("play").size().gt(1).sum() <= 3


def test_names_are_read_from_the_right():
    name = RecordingName.parse("cheeky-cornflower-setter-0a9ad3ddd136-20220726-193610")
    assert name == RecordingName(
        "cheeky-cornflower-setter", "0a9ad3ddd136", datetime(2022, 7, 26, 19, 36, 10)
    )
    assert RecordingName.parse("Player162-0a9ad3ddd1367-20220726-193610").session_id == (
        "0a9ad3ddd1367"
    )
    # An alias that looks like an id, and hyphens only.
    assert RecordingName.parse("a-0a9ad3ddd136-0a9ad3ddd136-20220726-193610").alias == (
        "a-0a9ad3ddd136"
    )


@given(
    st.from_regex(r"[A-Za-z0-9]+(-[A-Za-z0-9]+){0,3}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{12,13}", fullmatch=True),
    st.datetimes(datetime(2021, 1, 1), datetime(2030, 1, 1)),
)
def test_every_name_survives_reading_and_writing(alias, session_id, date):
    name = RecordingName(alias, session_id, date.replace(microsecond=0))
    assert RecordingName.parse(name.stem) == name


@pytest.mark.parametrize(
    "stem",
    ["seed_100000", "a-0a9ad3ddd136-20221326-193610", "a-0a9ad3ddd13-20220726-193610", "a/../b"],
)
def test_other_names_are_not_bedds(stem):
    assert RecordingName.parse(stem) is None


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/a-0a9ad3ddd136-20220726-193610.mp4",
        "/etc/a-0a9ad3ddd136-20220726-193610.mp4",
        "data/find-cave/../a-0a9ad3ddd136-20220726-193610.mp4",
        "data/find-cave/..\\a-0a9ad3ddd136-20220726-193610.mp4",
        "data/find-cave/a-0a9ad3ddd136-20220726-193610.mp4/../../b.mp4",
        "data/find-cave/a-0a9ad3ddd136-20220726-193610.mp4\n.sh",
        "https://elsewhere.org/a-0a9ad3ddd136-20220726-193610.mp4",
        "data/find-cave/evil.mp4",
        "",
    ],
)
def test_names_that_could_leave_the_folder_are_refused(tmp_path, path):
    folder = write_index(tmp_path, [path])
    with pytest.raises(ConfigError, match="is not the path of a BEDD recording"):
        load_index(FIND_CAVE, local=folder)


def test_paths_without_suffix_are_the_same_recordings(tmp_path):
    name = "woozy-ruby-ostrich-0a9ad3ddd136-20220715-094908"
    table = load_index(FIND_CAVE, local=write_index(tmp_path, [f"data/find-cave/{name}"] * 2))
    assert table["url"].tolist() == [f"https://example.org/data/find-cave/{name}.mp4"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"basedir": 1, "relpaths": []}',
        '{"basedir": "", "relpaths": [1]}',
        '{"basedir": "", "relpaths": ["data/find-cave/evil\\u0000.mp4"]}',
    ],
)
def test_a_damaged_index_is_named(tmp_path, text):
    (tmp_path / "find-cave-Jul-28.json").write_text(text)
    with pytest.raises(ConfigError, match=r"find-cave-Jul-28\.json: not an index file"):
        load_index(FIND_CAVE, local=tmp_path)


def test_a_missing_index_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"find-cave-Jul-28\.json: no such index file"):
        load_index(FIND_CAVE, local=tmp_path)


def test_an_id_of_several_players_is_treated_as_shared(tmp_path):
    table = index_of(
        tmp_path,
        [
            "ann-0a9ad3ddd136-20220715-100000",
            "ann-0a9ad3ddd136-20220715-100500",
            "ann-0a9ad3ddd136-20220715-120000",
            "bob-0a9ad3ddd136-20220715-100000",
        ],
    )
    assert table[table["alias"] == "ann"]["part"].tolist() == [0, 1, 2]
    assert table["play"].nunique() == 3
    assert table["play"].iloc[1] == table["name"].iloc[0]


def part(name, time, lines, folder):
    return write_bedd(folder / f"{name}-20220726-{time}", lines, frames=1)


def two_lines(end=bedd_line):
    return [bedd_line(0), end(1)]


def test_files_of_a_session_are_one_play_until_esc(tmp_path):
    folder = tmp_path / "build-house"
    for time, end in (("100000", bedd_line), ("100500", esc_line), ("101000", bedd_line)):
        part("ann-0a9ad3ddd136", time, two_lines(end), folder)
    part("bob-1a9ad3ddd136", "100200", two_lines(), folder)
    plays = find_plays(tmp_path)
    assert [[recording.name[-6:] for recording in play.parts] for play in plays] == [
        ["100000", "100500"],
        ["101000"],
        ["100200"],
    ]
    assert {play.task for play in plays} == {"build_village_house"}
    assert [play.player for play in plays] == ["ann", "ann", "bob"]


def test_under_the_shared_id_only_a_full_file_is_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(bedd, "FULL_PART_LINES", 3)
    three = [*two_lines(), bedd_line(2)]
    for time, lines in (
        ("100000", three),
        ("100500", three),  # continues
        ("103000", two_lines()),  # too late to continue
        ("103500", two_lines()),  # the one before was not full
    ):
        part("ann-f153ac423f61", time, lines, tmp_path)
    assert [len(play.parts) for play in find_plays(tmp_path)] == [2, 1, 1]


def test_quarantined_and_half_present_files_are_skipped_and_not_bridged(tmp_path, capsys):
    for time in ("100000", "100500", "101000"):
        part("ann-0a9ad3ddd136", time, two_lines(), tmp_path)
    part("bob-1a9ad3ddd136", "100000", two_lines(), tmp_path).with_name(
        "bob-1a9ad3ddd136-20220726-100000.mp4"
    ).unlink()
    middle = "ann-0a9ad3ddd136-20220726-100500"
    (tmp_path / "quarantine.json").write_text(json.dumps({"recordings": {middle: ["ticks"]}}))
    plays = find_plays(tmp_path)
    assert [[recording.name[-6:] for recording in play.parts] for play in plays] == [
        ["100000"],
        ["101000"],
    ]
    said = capsys.readouterr().err
    assert (
        said
        == f"{tmp_path}: 1 recording left out, see quarantine.json; the first: {middle} (ticks)\n"
    )


def test_a_list_counts_wherever_the_folder_was_validated(tmp_path):
    part("ann-0a9ad3ddd136", "100000", two_lines(), tmp_path / "find_cave")
    part("ann-1a9ad3ddd136", "100000", two_lines(), tmp_path / "find_cave")
    bad = "find_cave/ann-0a9ad3ddd136-20220726-100000"
    (tmp_path / "quarantine.json").write_text(json.dumps({"recordings": {bad: ["ticks"]}}))
    (play,) = find_plays(tmp_path / "find_cave")
    assert play.name.startswith("ann-1")


def test_a_damaged_quarantine_list_is_not_ignored(tmp_path):
    (tmp_path / "quarantine.json").write_text("[1]")
    with pytest.raises(RecordingError, match="not a list of quarantined recordings"):
        read_quarantine(tmp_path)


def test_our_own_recordings_are_plays_of_their_task(tmp_path):
    write_episode(tmp_path, 100_000, 3)
    (play,) = find_plays(tmp_path)
    assert (play.task, play.player, play.is_bedd) == ("find_cave", "tester", False)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(RecordingError, match="no usable recording"):
        find_plays(tmp_path)
    with pytest.raises(RecordingError, match="no such folder"):
        find_plays(tmp_path / "nowhere")


def test_tasks_that_bedd_did_not_record_are_left_out_or_named(tmp_path, monkeypatch):
    recorded = {task.name: task.bedd_folder for task in TASKS.values() if task.bedd_folder}
    new = replace(TASKS["find_cave"], name="dig_tunnel", bedd_folder=None)
    monkeypatch.setitem(TASKS, "dig_tunnel", new)
    for folder in recorded.values():
        name = f"ann-{'a' * 12}-20220101-000000.mp4"
        content = {"basedir": "https://example.org/", "relpaths": [f"data/{folder}/{name}"]}
        (tmp_path / f"{folder}-Jul-28.json").write_text(json.dumps(content))
    assert set(load_index(local=tmp_path)["task"]) == set(recorded)
    with pytest.raises(
        ConfigError, match="no demonstrations of dig_tunnel; it has those of find_cave"
    ):
        load_index([TASKS["dig_tunnel"]], local=tmp_path)
