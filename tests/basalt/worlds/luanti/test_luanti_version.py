"""A task's world has a version of its own, which changes with what the task loads and with nothing else."""

import shutil
from dataclasses import replace

import pytest

from basalt.core.tasks import TASKS
from basalt.io.errors import ConfigError
from basalt.worlds.luanti import native, settings, version

CAVE, WATERFALL, PEN, HOUSE = (
    TASKS[name]
    for name in ("find_cave", "make_waterfall", "create_village_animal_pen", "build_village_house")
)


@pytest.fixture(autouse=True)
def copied(monkeypatch, tmp_path):
    """The mod and the shim as copies that a test may change; no game is needed."""
    shutil.copytree(version.MOD, tmp_path / "mod")
    shutil.copy(native.SHIM, tmp_path / "shim.c")
    monkeypatch.setattr(version, "MOD", tmp_path / "mod")
    monkeypatch.setattr(version, "SHIM", tmp_path / "shim.c")
    monkeypatch.setattr(version, "game_version", lambda: "5.6.1")
    for task in TASKS.values():
        shutil.copytree(task.folder, tmp_path / "tasks" / task.name)
        monkeypatch.setitem(TASKS, task.name, replace(task, folder=tmp_path / "tasks" / task.name))
    return tmp_path


def versions(tasks=None):
    tasks = tasks or TASKS.values()
    return {task.name: version.world_version.__wrapped__(task) for task in tasks}


def moved(before):
    """Names of the tasks whose version is another one now."""
    return {name for name, now in versions().items() if now != before[name]}


def edit(path, change):
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


def test_every_task_has_a_version_of_its_own():
    found = versions()
    assert len(set(found.values())) == len(TASKS)
    assert all(one.startswith("luanti-5.6.1-") for one in found.values())


@pytest.mark.parametrize("missing", [None, "terrain.lua", "site.lua", "play.lua"])
def test_a_task_without_all_lua_files_is_refused(copied, missing):
    folder = missing and copied / "tasks" / CAVE.name
    if folder:
        (folder / missing).unlink()
    with pytest.raises(ConfigError, match="fifth cannot be played in the Luanti world"):
        versions([replace(CAVE, name="fifth", folder=folder)])


def test_comments_and_whitespace_move_nothing(copied):
    before = versions()
    for path in copied.rglob("*.lua"):
        edit(
            path,
            lambda text: (
                '--[[ a block\n"comment" ]]\n'
                + text.replace("\n", "  -- it's said\n\n").replace(" = ", "   =\t")
            ),
        )
    edit(
        copied / "shim.c",
        lambda text: (
            "/* 'another' */\n" + text.replace(";\n", "; // one\n\n").replace(" = ", "  =  ")
        ),
    )
    assert not moved(before)


@pytest.mark.parametrize(
    ("file", "old", "new", "tasks"),
    [
        ("tasks/find_cave/play.lua", "local ", "local unused; local ", {CAVE.name}),
        ("tasks/build_village_house/structure.lua", "local ", "local unused; local ", {HOUSE.name}),
        ("mod/village/houses.lua", "local ", "local unused; local ", {PEN.name, HOUSE.name}),
        ("mod/telemetry.lua", "local ", "local unused; local ", set(TASKS)),
        ("mod/init.lua", '"basalt_world"', '"basalt_ world"', set(TASKS)),
        ("mod/textures/basalt_cow.png", None, b"\0", set(TASKS)),
        ("shim.c", "#define _GNU_SOURCE", "#define _GNU_SOURCE 1", set(TASKS)),
    ],
)  # fmt: skip
def test_a_changed_file_moves_the_tasks_that_load_it(copied, file, old, new, tasks):
    before = versions()
    path = copied / file
    if old is None:
        path.write_bytes(path.read_bytes() + new)
    else:
        edit(path, lambda text: text.replace(old, new, 1))
    assert moved(before) == tasks


@pytest.mark.parametrize("file", ["hills.mts", "rooms/hall.lua"])
def test_each_file_of_a_tasks_own_folder_counts(copied, file):
    before = versions()
    path = copied / "tasks" / CAVE.name / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("local a\n")
    assert moved(before) == {CAVE.name}
    before = versions()
    path.write_text("local b\n")
    assert moved(before) == {CAVE.name}


def test_a_changed_inventory_moves_its_own_task_alone():
    before = versions()
    richer = replace(WATERFALL, inventory=(("water_bucket", 2), *WATERFALL.inventory[1:]))
    assert versions([richer])[WATERFALL.name] != before[WATERFALL.name]
    fifth = replace(CAVE, name="find_cave", title="Another title", questions=HOUSE.questions)
    assert versions([fifth])[CAVE.name] == before[CAVE.name], "words for people do not count"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((version, name) for name in ("WORLD_FORMAT", "EPOCH_S", "STEP_NS", "SCREEN", "SHAPE")),
        *((settings, name) for name in ("WORLD_MT", "SEARCH_SETTINGS", "FOV", "PITCH_LIMIT")),
        *((settings, name) for name in ("AGE_S", "FLAMES_REPEAT_S")),
    ],
)
def test_settings_and_a_number_raised_by_hand_move_all(monkeypatch, module, name):
    before, value = versions(), getattr(module, name)
    monkeypatch.setattr(module, name, value * 2)
    assert moved(before) == set(TASKS)


def test_a_key_that_presses_another_button_moves_all(monkeypatch):
    before = versions()
    monkeypatch.setitem(settings.KEYS, "forward", "x")
    assert moved(before) == set(TASKS)


@pytest.mark.parametrize(
    ("engine", "height", "unit"),
    [("5.6.1", 360, 12.0), ("5.6.1", 90, 12.0), ("5.10.0", 360, 13.0), ("5.10.0", 90, 52.0)],
)
def test_a_form_is_drawn_in_the_unit_of_the_engine(engine, height, unit):
    lines = settings.play_settings((height * 16 // 9, height), engine).splitlines()
    assert dict(line.split(" = ") for line in lines)["basalt_form_unit"] == str(unit)
    assert any("density" in line for line in lines) == (engine != "5.6.1")
