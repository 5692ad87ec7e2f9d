"""Saved worlds and the sites in them: found once, the same every time, walkable."""

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from basalt.core.tasks import get_task
from basalt.io.errors import WorldError
from basalt.worlds import make_env
from basalt.worlds.luanti import worldcache
from basalt.worlds.luanti.version import world_version
from basalt.worlds.luanti.worldcache import saved_world
from tests.support.world_behaviour import OTHER_SEED, SEED
from tools import sites

TASK = get_task("find_cave")
FIND = """
import json, sys
from basalt.core.tasks import get_task
from basalt.worlds.luanti.worldcache import saved_world
print(json.dumps(saved_world(get_task("find_cave"), int(sys.argv[1])).site))
"""


def finder(cache, seed=SEED):
    return subprocess.Popen(
        [sys.executable, "-c", FIND, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BASALT_CACHE": str(cache)},
    )


def moves(site):
    for a, b in zip(site["path"], site["path"][1:], strict=False):
        yield tuple(int(n - m) for m, n in zip(a, b, strict=True))


# ---- sites ----


@pytest.mark.engine
@pytest.mark.parametrize("seed", [SEED, OTHER_SEED])
def test_a_site_is_a_walk_to_a_cave_that_is_not_next_door(seed):
    site = saved_world(TASK, seed).site
    assert site["seed"] == seed
    assert site["path"][0] == site["spawn"] and site["path"][-1] == site["cave"]
    assert site["mouth"] in site["path"]
    assert math.dist(site["spawn"], site["mouth"]) == pytest.approx(site["mouth_distance"])
    assert 20 <= site["mouth_distance"] <= 80
    # A walk at four nodes a second fits many times into the task's limit.
    assert site["path_length"] / 3.9 * 20 < TASK.step_limit / 2
    for dx, dy, dz in moves(site):
        assert (abs(dx), abs(dz)) != (0, 0) and max(abs(dx), abs(dz)) == 1
        assert -3 <= dy <= 1
        assert dy == 0 or 0 in (dx, dz), "only level moves are diagonal"


@pytest.mark.engine
def test_the_way_is_free_dry_and_firm_in_the_world_that_is_played(staged_env):
    env = staged_env(
        SEED,
        """
        local site, all = basalt.site, {}
        local function class(x, y, z)
            local name = minetest.get_node({x = x, y = y, z = z}).name
            local def = minetest.registered_nodes[name] or {}
            if name == "ignore" then return name end
            if (def.liquidtype or "none") ~= "none" then return "liquid" end
            return def.walkable == false and "free" or "solid"
        end
        for k, p in ipairs(site.path) do
            minetest.load_area(vector.new(p[1] - 1, p[2] - 1, p[3] - 1),
                vector.new(p[1] + 1, p[2] + 1, p[3] + 1))
            local around = {}
            for oz = -1, 1 do for oy = -1, 1 do for ox = -1, 1 do
                around[#around + 1] = class(p[1] + ox, p[2] + oy, p[3] + oz)
            end end end
            all[k] = {ground = class(p[1], p[2] - 1, p[3]), feet = class(p[1], p[2], p[3]),
                head = class(p[1], p[2] + 1, p[3]), around = around,
                cave = basalt.task.facts(player, vector.new(p[1], p[2], p[3])).in_cave}
        end
        basalt.write_json("way.json", all)
        """,
    )
    _, info = env.reset(seed=SEED)
    site = info["site"]
    way = json.loads((env.display.folder / "world" / "way.json").read_text())
    assert len(way) == len(site["path"])
    for place in way:
        assert (place["ground"], place["feet"], place["head"]) == ("solid", "free", "free")
        assert not {"liquid", "ignore"} & set(place["around"])
    caves = [place["cave"] for place in way]
    assert caves[-1] and not any(caves[: site["path"].index(site["mouth"]) // 2])


@pytest.mark.engine
def test_the_same_site_from_a_fresh_cache_that_processes_fill_at_once(monkeypatch, tmp_path):
    """One is killed in the middle of its search, then two come at once."""
    expected = saved_world(TASK, SEED).site
    folder = tmp_path / "luanti" / "worlds" / world_version(TASK)
    killed = finder(tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".making-*/world/map.sqlite")):
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.02)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=20)
    assert list(folder.glob(".making-*")) and not (folder / f"find_cave-{SEED}").exists()

    finders = [finder(tmp_path) for _ in range(2)]
    found = [json.loads(process.communicate(timeout=400)[0]) for process in finders]
    assert found == [expected, expected]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"find_cave-{SEED}",
        f"find_cave-{SEED}.lock",
    ]

    # The whole land is the same, trees and all, not only what the search saw of it.
    views = []
    for cache in (None, tmp_path):
        if cache:
            monkeypatch.setenv("BASALT_CACHE", str(cache))
        env = make_env("find_cave")
        views.append([env.reset(seed=SEED)[0]["pov"]])
        for _ in range(4):
            views[-1].append(env.step({"camera": [0.0, 90.0]})[0]["pov"])
        env.close()
    for a, b in zip(*views, strict=True):
        assert np.abs(a.astype(np.int16) - b).mean() <= 0.2


# ---- without a site ----


@pytest.mark.engine
def test_a_seed_without_a_cave_says_so(changed_mod, monkeypatch, tmp_path):
    changed_mod("search.lua", lambda text: text.replace("MAX_AREAS = 25", "MAX_AREAS = 0"))
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path))
    with pytest.raises(WorldError, match=f"seed {SEED}: no site within .* choose another seed"):
        saved_world(TASK, SEED)
    assert not list(tmp_path.rglob(".making-*")) and not list(tmp_path.rglob("site.json"))


@pytest.mark.engine
def test_a_search_that_fails_or_hangs_says_so(changed_mod, monkeypatch, tmp_path):
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path))
    with monkeypatch.context() as short:
        short.setattr(worldcache, "SEARCH_TIMEOUT_S", 0.2)
        with pytest.raises(WorldError, match=r"no site within 0\.2 s"):
            saved_world(TASK, SEED)
    changed_mod("search.lua", lambda text: 'error("stumbled")\n' + text)
    with pytest.raises(WorldError, match=r"the game failed: .*stumbled") as failure:
        saved_world(TASK, SEED)
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.rglob(".making-*")) and not list(tmp_path.rglob("site.json"))


@pytest.mark.engine
def test_a_world_that_another_process_holds_for_ever(monkeypatch, tmp_path):
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path))
    monkeypatch.setattr(worldcache, "SEARCH_TIMEOUT_S", -60.0)
    lock = tmp_path / "luanti" / "worlds" / world_version(TASK) / f"find_cave-{SEED}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            WorldError, match=r"another process has been making this world .*\.lock"
        ):
            saved_world(TASK, SEED)


@pytest.mark.engine
def test_a_damaged_site_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path))
    folder = tmp_path / "luanti" / "worlds" / world_version(TASK) / f"find_cave-{SEED}"
    folder.mkdir(parents=True)
    (folder / "site.json").write_text('{"spawn": [1')
    with pytest.raises(WorldError, match=f"site.json is damaged .*; remove {folder}"):
        saved_world(TASK, SEED)


# ---- the table ----


def a_site(**changes):
    return {
        "path": [[0.0, 9.0, k] for k in range(31)],
        "path_length": 33.4,
        "mouth_distance": 25.2,
        "mouth_unobstructed": False,
        "mouth_visible_at_spawn": False,
        "spawn": [0.0, 9.0, 0.0],
        "cave": [0.0, -3.0, 30.0],
        "search": {"cave_size": 80.0, "areas": 2.0},
        **changes,
    }


def test_the_table_has_a_row_for_every_seed():
    seen = a_site(mouth_unobstructed=True, mouth_visible_at_spawn=True)
    lines = sites.markdown_table(TASK, [(5, a_site()), (6, seen)]).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| 5 | 33 (31 places) | 25 | no | 12 | 80 | 2 |"
    assert "| yes |" in lines[3]
    assert "after turning" in sites.markdown_table(TASK, [(7, a_site(mouth_unobstructed=True))])


def test_senseless_seeds_are_refused_in_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        sites.main(["all"])
    assert end.value.code == 1
    errors = capsys.readouterr().err
    assert errors.startswith("seeds: expected official") and errors.count("\n") == 1


@pytest.mark.engine
def test_the_command_prints_the_table(capsys):
    sites.main([f"{SEED},{OTHER_SEED}"])
    printed = capsys.readouterr().out
    assert world_version(TASK) in printed
    assert f"| {SEED} |" in printed and f"| {OTHER_SEED} |" in printed
