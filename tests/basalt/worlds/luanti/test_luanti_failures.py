"""The Luanti world when something fails: no process survives, every error is clear, a reset recovers."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from basalt.io.errors import BasaltError, ConfigError, MissingDependencyError, WorldError
from basalt.worlds import make_env as make_world
from basalt.worlds import processes
from basalt.worlds.luanti import engine, game, native, version, worldcache
from basalt.worlds.luanti import input as x_input
from tests.support.world_behaviour import SEED

SMALL = (160, 90)
GAME, XVFB, COMPILER = ("minetest", "luanti"), ("Xvfb",), ("gcc", "cc", "clang")


@pytest.fixture
def env():
    env = make_world("find_cave", size=SMALL)
    env.reset(seed=SEED)
    yield env
    for pid in (env._engine and env.engine.process.pid, env._display and env.display.process.pid):
        if pid:
            os.kill(pid, signal.SIGCONT)
    env.close()


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids, *folders, seconds=20):
    deadline = time.monotonic() + seconds
    while any(map(is_there, pids)) or any(folder.exists() for folder in folders):
        left = [pid for pid in pids if is_there(pid)], [f for f in folders if f.exists()]
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def pids_of(env):
    """Game, X server and their supervisors."""
    processes = [env.engine.process, env.display.process]
    return [one.pid for one in processes] + [one.supervisor_pid for one in processes]


def plays_again(env):
    _, info = env.reset(seed=SEED)
    assert info["telemetry"].step == 0
    assert env.step({"forward": 1})[-1]["telemetry"].step == 1


# ---- nothing survives ----

PLAYER = """
import json, os, sys, time
from basalt.worlds import make_env
env = make_env("find_cave", size=(160, 90))
env.reset(seed=int(sys.argv[1]))
processes = [env.engine.process, env.display.process]
pids = [one.pid for one in processes] + [one.supervisor_pid for one in processes]
print(json.dumps([pids, str(env.display.folder)]), flush=True)
while True:
    env.step({"forward": 1})
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_nothing_survives_its_parent(how):
    player = subprocess.Popen(
        [sys.executable, "-c", PLAYER, str(SEED)], stdout=subprocess.PIPE, text=True
    )
    try:
        pids, folder = json.loads(player.stdout.readline())
        assert len(pids) == 4 and all(map(is_there, pids)) and Path(folder).is_dir()
    finally:
        player.send_signal(how)
        player.wait(20)
        player.stdout.close()
    wait_until_gone(pids, Path(folder))


@pytest.mark.engine
def test_nothing_survives_close_or_being_forgotten():
    env = make_world("find_cave", size=SMALL)
    env.reset(seed=SEED)
    pids, folder = pids_of(env), env.display.folder
    env.close()
    assert not any(map(is_there, pids)) and not folder.exists()

    env.reset(seed=SEED)
    pids, folder = pids_of(env), env.display.folder
    del env
    gc.collect()
    wait_until_gone(pids, folder)


@pytest.mark.engine
@pytest.mark.long
def test_a_supervisor_that_is_killed_takes_its_program_along(env):
    game, _, supervisor, _ = pids_of(env)
    os.kill(supervisor, signal.SIGKILL)
    wait_until_gone([game])
    with pytest.raises(WorldError):
        env.step({})
    plays_again(env)


# ---- failures in the middle of an episode ----


@pytest.mark.engine
def test_a_game_that_is_killed(env):
    env.step({})
    os.kill(env.engine.process.pid, signal.SIGKILL)
    with pytest.raises(WorldError, match=r"game ended .* call reset") as failure:
        env.step({})
    assert "\n" not in str(failure.value)
    with pytest.raises(WorldError, match="the world failed"):
        env.step({})
    plays_again(env)


@pytest.mark.engine
@pytest.mark.long
def test_a_game_that_hangs(env, monkeypatch):
    monkeypatch.setattr(engine, "STEP_TIMEOUT_S", 0.5)
    pids = pids_of(env)
    os.kill(env.engine.process.pid, signal.SIGSTOP)
    with pytest.raises(WorldError, match=r"did not answer within 0\.5 s"):
        env.step({})
    assert not any(map(is_there, pids)), "it was ended"
    monkeypatch.undo()
    plays_again(env)


@pytest.mark.engine
def test_an_x_server_that_is_killed(env):
    os.kill(env.display.process.pid, signal.SIGKILL)
    with pytest.raises(WorldError, match=r"X server|game ended"):
        for _ in range(3):
            env.step({"forward": 1, "camera": [0.0, 3.0]})
    plays_again(env)


@pytest.mark.engine
@pytest.mark.long
def test_an_x_server_that_hangs(env, monkeypatch):
    monkeypatch.setattr(x_input, "ANSWER_TIMEOUT_S", 0.5)
    pids = pids_of(env)
    os.kill(env.display.process.pid, signal.SIGSTOP)
    with pytest.raises(WorldError, match="X server did not answer"):
        env.step({"forward": 1})
    assert not any(map(is_there, pids)), "it was ended"
    plays_again(env)


@pytest.mark.engine
def test_a_wrong_start_is_told_and_mended(env, monkeypatch, tmp_path):
    real = worldcache.SavedWorld.copy_to

    def damaged(saved, folder):
        real(saved, folder)
        (folder / "caves.bin").unlink()

    monkeypatch.setattr(worldcache.SavedWorld, "copy_to", damaged)
    with pytest.raises(WorldError, match=r"exited at its start.*caves\.bin") as failure:
        env.reset(seed=SEED)
    assert "\n" not in str(failure.value)
    monkeypatch.setattr(worldcache.SavedWorld, "copy_to", real)
    plays_again(env)


# ---- what is missing ----


@pytest.fixture
def without(monkeypatch, tmp_path):
    """Hides programs, and starts with an empty cache."""

    def hide(names):
        real = shutil.which
        monkeypatch.setattr(
            shutil, "which", lambda name, *a: None if Path(name).name in names else real(name, *a)
        )
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
        game.game_version.cache_clear()
        version.world_version.cache_clear()

    yield hide
    game.game_version.cache_clear()
    version.world_version.cache_clear()


def test_without_the_game(without):
    without(GAME)
    packages = " ".join(game.engine_packages())
    with pytest.raises(MissingDependencyError, match=f"apt-get install .*{packages}$"):
        make_world("find_cave").reset(seed=SEED)


def test_without_the_x_server(without):
    without(XVFB)
    with pytest.raises(MissingDependencyError, match=r"apt-get install .*xvfb"):
        engine.open_display()


def test_without_a_compiler(without):
    without(COMPILER)
    with pytest.raises(MissingDependencyError, match=r"apt-get install .*gcc libc6-dev"):
        native.build_shim()


@pytest.mark.engine
def test_what_was_compiled_needs_no_compiler(without, tmp_path):
    without(())
    built = native.build_shim()
    without(COMPILER)
    assert native.build_shim() == built


@pytest.mark.engine
def test_a_source_that_does_not_compile_is_named(monkeypatch, tmp_path):
    (tmp_path / "shim.c").write_text("int main(void) { return nothing; }")
    monkeypatch.setattr(native, "SHIM", tmp_path / "shim.c")
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WorldError, match=r"shim\.c.* failed: .*error.*nothing"):
        native.build_shim()
    assert not list((tmp_path / "cache").rglob("shim-*")), "no half program is left"


@pytest.mark.engine
def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    cache = tmp_path / "cache"
    monkeypatch.setenv("BASALT_CACHE", str(cache))
    for place, ask in (
        ("luanti/worlds", lambda env: env.reset(seed=SEED)),
        ("luanti/native", lambda env: native.build_shim()),
    ):
        shutil.rmtree(cache, ignore_errors=True)
        (cache / "luanti").mkdir(parents=True)
        (cache / place).write_text("a file in the folder's place")
        with pytest.raises(WorldError, match="set BASALT_CACHE") as failure:
            ask(make_world("find_cave", size=SMALL))
        assert "\n" not in str(failure.value) and str(cache) in str(failure.value)
    shutil.rmtree(cache)
    cache.write_text("a file in the folder's place")
    with pytest.raises(BasaltError, match="set BASALT_CACHE"):
        make_world("find_cave", size=SMALL).reset(seed=SEED)


def test_a_home_that_cannot_be_written(monkeypatch):
    """Where not even root may write: in the kernel's own file system."""
    monkeypatch.delenv("BASALT_CACHE")
    monkeypatch.setenv("HOME", "/proc/nobody")
    with pytest.raises(
        BasaltError, match=r"/proc/nobody/\.cache/basalt .* set BASALT_CACHE"
    ) as failure:
        make_world("find_cave", size=SMALL).reset(seed=SEED)
    assert "\n" not in str(failure.value)


def test_a_cache_where_programs_may_not_run(monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("")
    monkeypatch.setattr(processes.sys, "executable", str(python))
    with pytest.raises(WorldError, match=r"python: expected a file .* set BASALT_CACHE"):
        processes.SupervisedProcess(["true"], tmp_path / "log")


@pytest.mark.parametrize("seed", [2**31, 10**15])
def test_a_seed_too_large_for_the_map_generator(seed):
    with pytest.raises(ConfigError, match=f"seed: expected a number from 0 to .*, got {seed}"):
        make_world("find_cave").reset(seed=seed)


def test_properties_of_a_world_that_is_not_running():
    env = make_world("find_cave")
    for name in ("engine", "display"):
        with pytest.raises(WorldError, match="reset"):
            getattr(env, name)
    env.close()
