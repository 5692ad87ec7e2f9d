import json
from pathlib import Path

import pytest

from basalt.core import tasks
from basalt.core.scoring import outcome
from basalt.core.tasks import (
    TASKS,
    Questions,
    Task,
    get_task,
    parse_seeds,
    refuse_test_seeds,
    split_of,
)
from basalt.core.tasks.contract import HUMAN_LIKE
from basalt.data.bedd import load_index
from basalt.io.errors import ConfigError
from leaderboard.studies.rules import demo_study, official_study
from tests.support import ROOT


def test_four_tasks_with_eleven_seeds_each():
    assert sorted(task.env_id for task in TASKS.values()) == [
        "BuildVillageHouse",
        "CreateVillageAnimalPen",
        "FindCave",
        "MakeWaterfall",
    ]
    for task in TASKS.values():
        assert len(set(task.official_seeds)) == 11
        assert sum(count for _, count in task.inventory) <= 36 * 64


def test_every_fact_has_a_meaning_and_is_in_the_reference():
    page = (ROOT / "docs" / "worlds-reference.md").read_text()
    for task in TASKS.values():
        assert task.success.needed_fact in task.facts and set(task.concepts) <= set(task.facts)
        for name, meaning in task.facts.items():
            assert meaning and f"`{name}`" in page, name


def test_step_limits_are_the_competitions():
    limits = {task.env_id: task.step_limit for task in TASKS.values()}
    assert limits == {
        "FindCave": 3600,
        "MakeWaterfall": 6000,
        "CreateVillageAnimalPen": 6000,
        "BuildVillageHouse": 14400,
    }


def test_house_inventory_fills_thirty_slots():
    assert len(get_task("build_village_house").inventory) == 30


@pytest.mark.parametrize("name", ["find_cave", "FindCave", "basalt/FindCave-v0"])
def test_a_task_is_found_by_any_of_its_names(name):
    assert get_task(name).name == "find_cave"


def test_an_unknown_task_names_the_closest():
    with pytest.raises(ConfigError, match="did you mean 'find_cave'"):
        get_task("find_caev")


@pytest.mark.parametrize(
    ("spec", "seeds"),
    [
        ("100001..100003", [100001, 100002, 100003]),
        ("[1, 2]", [1, 2]),
        ("7", [7]),
        (7, [7]),
        ([3, 4], [3, 4]),
        ("dev:2", [200_000, 200_001]),
        ("heldout:3", [230_000, 230_001, 230_002]),
        ("heldout", list(range(230_000, 230_100))),
    ],
)
def test_seed_notations(spec, seeds):
    assert parse_seeds(spec, get_task("find_cave")) == seeds


def test_official_seeds_by_name():
    task = get_task("find_cave")
    assert parse_seeds("official", task) == list(task.official_seeds)


@pytest.mark.parametrize(
    "spec", ["", "a", "1;2", "5..1", "[1,1]", "-3", [-3], [], "dev:0", "dev:", "heldout:x"]
)
def test_senseless_seeds_are_refused(spec):
    with pytest.raises(ConfigError, match="seeds"):
        parse_seeds(spec, get_task("find_cave"))


def test_seeds_for_testing_are_refused_for_learning():
    task = get_task("find_cave")
    refuse_test_seeds(task, [100_000, 200_000], "recording")
    with pytest.raises(ConfigError, match="14169 is an official evaluation seed"):
        refuse_test_seeds(task, [100_000, 14169], "recording")
    for seed, why in (
        (5, "not a training seed"),
        (230_000, "a held-out seed"),
        (299_999, "a held-out seed"),
    ):
        with pytest.raises(ConfigError, match=why):
            refuse_test_seeds(task, [seed], "recording")


def test_splits():
    task = get_task("find_cave")
    seeds = (14169, 100_000, 200_000, 229_999, 230_000, 299_999, 300_000, 1)
    assert [split_of(task, seed) for seed in seeds] == [
        "official", "train", "dev", "dev", "heldout", "heldout", "other", "other",
    ]  # fmt: skip


def test_a_task_is_a_folder_named_as_it():
    folder = Path(tasks.__file__).parent
    assert set(TASKS) == {path.parent.name for path in folder.glob("*/__init__.py")}
    for task in TASKS.values():
        assert task.folder == folder / task.name
        assert {"terrain.lua", "site.lua", "play.lua"} <= {
            path.name for path in task.folder.iterdir()
        }
        assert task.success is not None and task.bedd_folder and task.site_columns


@pytest.fixture
def fifth(monkeypatch):
    """A task with nothing that it could do without: no seeds, no demonstrations, no success, no Lua."""
    task = Task(
        name="dig_hole",
        env_id="DigHole",
        title="Dig Hole",
        instruction="Dig a hole.",
        step_limit=100,
        official_seeds=(),
        questions=Questions((), (HUMAN_LIKE,)),
        biome="plains",
    )
    monkeypatch.setitem(TASKS, task.name, task)
    return task


def test_a_fifth_task_is_found_by_every_name(fifth):
    assert get_task("dig_hole") is get_task("DigHole") is get_task("basalt/DigHole-v0") is fifth
    assert split_of(fifth, 100_000) == "train"
    with pytest.raises(ConfigError, match=r"did you mean 'dig_hole'\? available: find_cave, "):
        get_task("dig_hol")


def test_a_fifth_task_leaves_the_index_of_demonstrations_as_it_is(fifth, tmp_path):
    for task in TASKS.values():
        if task is not fifth:
            paths = [
                f"data/{task.bedd_folder}/cheeky-cornflower-setter-{'0' * 12}-20220713-135632.mp4"
            ]
            content = {"basedir": "https://example.org/", "relpaths": paths}
            (tmp_path / f"{task.bedd_folder}-Jul-28.json").write_text(json.dumps(content))
    assert set(load_index(local=tmp_path)["task"]) == set(TASKS) - {fifth.name}
    with pytest.raises(ConfigError, match="BEDD has no demonstrations of dig_hole"):
        load_index([fifth], local=tmp_path)


def test_a_fifth_task_without_official_seeds_is_not_in_the_official_study(fifth):
    rules = official_study("luanti", "1")
    assert set(rules.tasks) == set(TASKS) - {fifth.name}
    assert "dig_hole" in demo_study({"dig_hole": [100_000]}, "luanti", "1").tasks


def test_a_fifth_task_without_success_is_left_to_people(fifth):
    with pytest.raises(ConfigError, match="let people judge"):
        outcome(fifth, [], "esc")


@pytest.mark.parametrize("spec", [1.5, True, None, [1.5], ["a"], [None], [True], {"a": 1}])
def test_seeds_that_are_not_whole_numbers_are_refused(spec):
    with pytest.raises(ConfigError, match="seeds: expected official, dev:50"):
        parse_seeds(spec, TASKS["find_cave"])
