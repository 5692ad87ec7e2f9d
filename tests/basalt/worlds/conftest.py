"""Fixtures of the worlds' tests."""

import shutil

import pytest

from basalt.core.tasks import TASKS
from basalt.worlds import make_env
from basalt.worlds.luanti import version, worldcache


@pytest.fixture
def changed_mod(monkeypatch, tmp_path):
    """Worlds get a mod in which a file of the real one is changed; the world's version stays."""

    def change(name, edit):
        for task in TASKS.values():  # cached, so that saved worlds are those of the real mod
            version.world_version(task)
        mod = tmp_path / "mod"
        shutil.copytree(version.MOD, mod)
        (mod / name).write_text(edit((mod / name).read_text()))
        monkeypatch.setattr(version, "MOD", mod)

    return change


@pytest.fixture
def staged_env(changed_mod):
    """Makes a small world of a task (FindCave) whose every episode also runs a piece of Lua at its beginning.

    The Lua knows `at(seconds, function(player) ... end)`.
    """
    made = []

    def make(seed, lua, task="find_cave", size=(160, 90)):
        env = make_env(task, size=size)
        made.append(env)
        worldcache.saved_world(env.task, seed)
        changed_mod(
            "telemetry.lua",
            lambda text: (
                f"""{text}
local old_begin = basalt.begin
function basalt.begin(player)
    old_begin(player)
    local function at(seconds, act) minetest.after(seconds, function() act(player) end) end
    {lua}
end
"""
            ),
        )
        return env

    yield make
    for env in made:
        env.close()
