"""Counts over plays, as tables and pictures, and the command line of `basalt data`."""

import json

import numpy as np
import pandas as pd
import pytest

from basalt.cli import main as cli
from basalt.core.actions import EnvActions
from basalt.data.bedd import find_plays
from basalt.data.plots import write_plots
from basalt.data.stats import (
    ACTIVITIES,
    activities,
    activity_table,
    camera_histogram,
    play_table,
    summarise,
    write_tables,
)
from basalt.io.errors import RecordingError
from tests.support.bedd_files import bedd_line, esc_line, write_bedd

W = ["key.keyboard.w"]


@pytest.fixture
def folder(tmp_path):
    """Three plays: ann's of two files ended by ESC, bob's of 5 null steps, eve's in another task."""
    walk = [bedd_line(t, keys=W, dx=20) for t in range(4)]
    write_bedd(tmp_path / "find_cave" / "ann-0a9ad3ddd136-20220726-100000", walk)
    end = [bedd_line(0, gui=True, x=100), esc_line(1)]
    write_bedd(tmp_path / "find_cave" / "ann-0a9ad3ddd136-20220726-100500", end)
    null = [bedd_line(t) for t in range(5)]
    write_bedd(tmp_path / "find_cave" / "bob-1a9ad3ddd136-20220726-100000", null)
    look = [bedd_line(t, dy=-300) for t in range(2)]
    write_bedd(tmp_path / "build-house" / "eve-2a9ad3ddd136-20220726-100000", look)
    return tmp_path


@pytest.fixture
def table(folder):
    return play_table(find_plays(folder), progress=False)


def test_plays_are_counted_whole(table):
    ann = table.set_index("player").loc["ann"]
    assert (ann["recordings"], ann["steps"], ann["esc_end"]) == (2, 6, 1)
    assert (ann["steps.forward"], ann["steps.ESC"], ann["gui_steps"]) == (4, 1, 1)
    assert ann["null_steps"] == 1  # the step in the open screen without input
    assert ann["camera_steps"] == 4 and ann["yaw.8"] == 4 and ann["yaw.5"] == 2
    assert table["task"].tolist() == ["build_village_house", "find_cave", "find_cave"]


def test_shares_are_per_task_and_player(table):
    tasks = summarise(table).set_index("task")
    cave = tasks.loc["find_cave"]
    assert (cave["plays"], cave["recordings"], cave["steps"]) == (2, 3, 11)
    assert cave["share_esc_end"] == 0.5
    assert cave["share_null"] == round(6 / 11, 5)
    assert cave["share.forward"] == round(4 / 11, 5)
    assert cave["median_s"] == 5.5 / 20 and cave["longest_s"] == 0.3
    players = summarise(table, ["task", "player"]).set_index("player")
    assert players.loc["bob", "share_null"] == 1.0 and players.loc["eve", "share_esc_end"] == 0.0
    (whole,) = summarise(table, []).to_dict("records")
    assert (whole["plays"], whole["steps"]) == (3, 13)


def test_each_step_has_the_first_activity_that_applies():
    steps = [
        ({"use": 1}, True, True, "screen"),
        ({"use": 1, "attack": 1, "forward": 1}, True, False, "use"),
        ({"attack": 1, "forward": 1}, False, False, "attack"),
        ({"jump": 1}, True, False, "move"),
        ({"sprint": 1}, True, False, "look"),
        ({"hotbar.3": 1}, False, False, "other"),
        ({"ESC": 1}, False, False, "idle"),
        ({}, False, False, "idle"),
    ]
    buttons = EnvActions.stack([keys for keys, *_ in steps]).buttons
    camera, screen = (np.array([step[n] for step in steps]) for n in (1, 2))
    found = activities(buttons, camera, screen)
    assert [ACTIVITIES[index] for index in found] == [step[-1] for step in steps]


def test_activities_are_counted_by_tenths_of_each_play(table):
    found = activity_table(table).set_index(["task", "activity", "tenth"])
    assert found.groupby("task")["steps"].sum().to_dict() == {
        "build_village_house": 2,
        "find_cave": 11,
    }
    # bob's 5 steps are idle; ann walks 4 of 6 steps, then has a screen open, then presses ESC.
    cave = found.loc["find_cave"]["steps"].unstack()
    assert cave.loc["idle"].tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 2, 0]
    assert cave.loc["move"].tolist() == [1, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    assert cave.loc["screen"].tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert found.loc["find_cave"].loc["move"]["share"].tolist()[:2] == [0.5, 1.0]
    assert found.loc["build_village_house"].loc["look"]["steps"].sum() == 2


def test_a_key_that_is_held_is_one_press(table):
    ann = table.set_index("player").loc["ann"]
    assert (ann["steps.forward"], ann["presses.forward"], ann["presses.ESC"]) == (4, 1, 1)
    cave = summarise(table).set_index("task").loc["find_cave"]
    assert cave["per_minute.forward"] == round(1 / (11 / 20 / 60), 5)
    assert (cave["lower_quartile_s"], cave["upper_quartile_s"]) == (5.25 / 20, 5.75 / 20)


def test_camera_bins_add_up_to_the_steps(table):
    histogram = camera_histogram(table)
    sums = histogram.groupby(["task", "axis"])["steps"].sum()
    assert sums.to_dict() == {
        ("build_village_house", "pitch"): 2,
        ("build_village_house", "yaw"): 2,
        ("find_cave", "pitch"): 11,
        ("find_cave", "yaw"): 11,
    }
    up = histogram[(histogram["axis"] == "pitch") & (histogram["bin"] == 0)]
    assert up.set_index("task").loc["build_village_house", ["degrees", "steps"]].tolist() == [
        -10,
        2,
    ]


def test_the_lines_of_many_plays_do_not_stay_in_memory(folder):
    plays = find_plays(folder)
    play_table(plays, progress=False)
    assert not any("lines" in vars(part) for play in plays for part in play.parts)


def test_original_labels_give_other_counts(folder):
    table = play_table(find_plays(folder), "legacy", progress=False).set_index("player")
    assert table.loc["bob", "null_steps"] == 5 and table.loc["ann", "null_steps"] == 1


def test_tables_and_pictures_are_written(table, tmp_path):
    tables = write_tables(table, tmp_path / "out")
    assert [path.name for path in tables] == [
        "plays.parquet",
        "tasks.csv",
        "players.csv",
        "camera.csv",
        "activities.csv",
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(tables[0]), table)
    assert len(pd.read_csv(tables[2])) == 3
    pytest.importorskip("matplotlib")
    plots = write_plots(table, tmp_path / "out")
    assert len(plots) == 5
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


def test_a_damaged_recording_points_to_validation(folder):
    path = folder / "find_cave" / "bob-1a9ad3ddd136-20220726-100000.jsonl"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(RecordingError, match="basalt data validate"):
        play_table(find_plays(folder), progress=False)
    assert cli.run(["data", "validate", str(folder), "--quick", "--quiet"]) == 0
    assert "bob" not in play_table(find_plays(folder), progress=False)["player"].tolist()


def run(capsys, *arguments):
    code = cli.run(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_one_json_object(folder, tmp_path, capsys):
    out = tmp_path / "stats"
    code, text, _ = run(capsys, "analyse", folder, f"out={out}", "--json", "--no-plots", "--quiet")
    content = json.loads(text)
    assert code == 0 and content["total"]["plays"] == 3
    assert [row["task"] for row in content["tasks"]] == ["build_village_house", "find_cave"]
    assert {row["activity"] for row in content["activities"]} == set(ACTIVITIES)
    assert not list(out.glob("*.png")) and len(content["files"]) == 5
    code, text, _ = run(capsys, "validate", f"data={folder}", "--json", "--quiet", "--quick")
    assert code == 0 and json.loads(text)["recordings"] == 4
    code, text, _ = run(capsys, "labels-report", folder, "--json")
    assert code == 0 and json.loads(text)["files"] == 4
    assert json.loads(text)["hotbar_presses"] == 0


def test_the_command_prints_tables_for_people(folder, capsys):
    (folder / "build-house" / "eve-2a9ad3ddd136-20220726-100000.mp4").unlink()
    code, text, _ = run(capsys, "analyse", folder, "--quiet")
    assert code == 0 and "share_esc_end" in text and "what players do" in text
    code, text, _ = run(capsys, "labels-report", folder)
    assert code == 0 and "none of the hotbar presses" in text
    code, text, _ = run(capsys, "validate", folder, "--quick", "--quiet")
    assert code == 0 and "3 sound, 1 broken" in text and "quarantine.json" in text
    assert "no video" in text


def test_the_index_command_prints_the_known_numbers(published, capsys, tmp_path):
    local = published / "bedd_index"
    code, text, _ = run(capsys, "index", "--local", local, "--json")
    assert code == 0 and json.loads(text)["recordings"] == 13_928
    table = tmp_path / "index.parquet"
    code, text, _ = run(capsys, "index", "--local", local, "task=find_cave", f"out={table}")
    assert code == 0 and "5129" in text and len(pd.read_parquet(table)) == 5_466


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["download"], "give --task, --max-gb, --n or --sessions"),
        (["download", "--n", "1", "--local", "."], "the index files list no recording"),
        (["index", "--task", "dig"], "unknown task 'dig'"),
        (["index", "--task", "find_cave", "--index", "/nowhere"], "no such index file"),
        (
            ["labels-report", ".", "--out", "x.txt"],
            "--out: expected a .parquet or .csv file, got x.txt",
        ),
        (["analyse", "/nowhere"], "no such folder"),
        (["analyse", ".", "--labels", "best"], "no usable recording"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "--local" in arguments:
        index = {"basedir": "https://example.org/", "relpaths": []}
        for task in ("find-cave", "waterfall", "pen-animals", "build-house"):
            (tmp_path / f"{task}-Jul-28.json").write_text(json.dumps(index))
    code, _, error = run(capsys, *arguments)
    assert code == 1 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["download", "--tsk", "find_cave"], "No such option: --tsk"),
        (["download", "tsk=find_cave"], "unexpected extra argument(s) (tsk=find_cave)"),
        (["download", "--n", "many"], "Invalid value for '--n'"),
        (["index", "find_cave"], "unexpected extra argument(s) (find_cave)"),
        (["labels-report"], "Missing argument 'PATH...'"),
        (["validate", ".", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["download", "--n", "1", "--jobs", "-2"], "Invalid value for '--jobs'"),
        (["analyse"], "Missing argument 'FOLDER'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(capsys, *arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1


def test_settings_may_stand_among_flags(folder, capsys):
    code, text, _ = run(capsys, "analyse", "--quiet", folder, "--json", "--labels", "original")
    assert code == 0 and json.loads(text)["total"]["plays"] == 3
    with pytest.raises(SystemExit) as stopped:
        run(capsys, "analyse", folder, "--jsn")
    assert stopped.value.code == 2
