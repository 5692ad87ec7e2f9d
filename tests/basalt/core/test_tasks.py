import pytest

from basalt.core.tasks import TASKS, get_task, parse_seeds, refuse_official, split_of
from basalt.io.errors import ConfigError


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
    ],
)
def test_seed_notations(spec, seeds):
    assert parse_seeds(spec, get_task("find_cave")) == seeds


def test_official_seeds_by_name():
    task = get_task("find_cave")
    assert parse_seeds("official", task) == list(task.official_seeds)


@pytest.mark.parametrize("spec", ["", "a", "1;2", "5..1", "[1,1]", "-3", [-3], []])
def test_senseless_seeds_are_refused(spec):
    with pytest.raises(ConfigError, match="seeds"):
        parse_seeds(spec, get_task("find_cave"))


def test_official_seeds_are_refused_for_learning():
    task = get_task("find_cave")
    refuse_official(task, [100_000, 200_000], "recording")
    with pytest.raises(ConfigError, match="14169 is an official evaluation seed"):
        refuse_official(task, [100_000, 14169], "recording")
    with pytest.raises(ConfigError, match="not a training seed"):
        refuse_official(task, [5], "recording")


def test_splits():
    task = get_task("find_cave")
    assert [split_of(task, seed) for seed in (14169, 100_000, 200_000, 1)] == [
        "official",
        "train",
        "dev",
        "other",
    ]
