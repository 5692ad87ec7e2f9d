"""Many environments side by side, and what a failure of one of them does: an error or a mark, never a hang."""

import os
import signal
import subprocess
import sys
import textwrap

import gymnasium
import numpy as np
import pytest

import basalt.worlds
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds import make_env
from tests.support.minerl_standin import Faults, StandIn
from tests.support.world_behaviour import SEED

SMALL = (160, 90)


def vector(mode="async", n=2, **settings):
    return gymnasium.make_vec(
        "basalt/FindCave-v0", num_envs=n, vectorization_mode=mode, size=SMALL, **settings
    )


def actions(envs, **pressed):
    action = {key: np.zeros_like(value) for key, value in envs.action_space.sample().items()}
    return action | {key: np.full_like(action[key], value) for key, value in pressed.items()}


@pytest.mark.engine
def test_two_processes_play_and_a_crash_of_one_is_marked_and_mended():
    envs = vector(world="luanti", on_failure="truncate")
    try:
        observations, infos = envs.reset(seed=[SEED, SEED])
        assert observations["pov"].shape == (2, 90, 160, 3)
        assert infos["seed"].tolist() == [SEED, SEED]
        observations, rewards, *_ = envs.step(actions(envs, forward=1))
        assert np.abs(observations["pov"][0].astype(int) - observations["pov"][1]).mean() <= 0.2
        assert rewards.tolist() == [0.0, 0.0]

        engines = envs.call("engine_pid")
        os.kill(engines[0], signal.SIGKILL)
        *_, terminated, truncated, infos = envs.step(actions(envs))
        assert terminated.tolist() == [False, False] and truncated.tolist() == [True, False]
        assert infos["ended"][0] == "crash" and "game ended" in infos["error"][0]
        assert infos["telemetry"][0].step == 1 and infos["telemetry"][1].step == 2

        *_, truncated, infos = envs.step(actions(envs))  # begins the next episode of the first
        assert not truncated.any()
        assert infos["telemetry"][0].step == 0 and infos["telemetry"][1].step == 3
        again = envs.call("engine_pid")
        assert again[0] not in (None, engines[0]) and again[1] == engines[1]
    finally:
        envs.close()


@pytest.mark.engine
def test_a_crash_is_one_clear_error_where_nothing_else_was_asked_for():
    envs = vector(world="luanti", n=1)
    envs.reset(seed=SEED)
    os.kill(envs.call("engine_pid")[0], signal.SIGKILL)
    with pytest.raises(WorldError, match=r"game ended .* call reset"):
        envs.step(actions(envs))
    envs.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_list_of_minecrafts_is_shared_out(mode):
    with StandIn(Faults(die_at=2, episodes=1)) as one, StandIn() as two:
        envs = vector(
            mode, world="minerl", on_failure="truncate", address=[one.address, two.address]
        )
        envs.reset(seed=[1, 2])
        envs.step(actions(envs))
        *_, truncated, infos = envs.step(actions(envs))
        crashed = truncated.tolist().index(True)
        assert truncated.sum() == 1 and infos["ended"][crashed] == "crash"
        *_, truncated, infos = envs.step(actions(envs))
        assert not truncated.any() and infos["telemetry"][crashed].step == 0
        envs.close()
        assert len(one.begun) == 2 and len(two.begun) == 1


def test_a_failure_truncates_with_the_last_picture_and_state():
    with StandIn(Faults(die_at=2, episodes=1)) as standin:
        env = make_env("find_cave", "minerl", on_failure="truncate", address=standin.address)
        env.reset(seed=1)
        seen, *_, info = env.step({"forward": 1})
        again, reward, terminated, truncated, crash = env.step({"camera": [0.0, 5.0]})
        assert (reward, terminated, truncated, crash["ended"]) == (0.0, False, True, "crash")
        assert (again["pov"] == seen["pov"]).all() and crash["telemetry"] == info["telemetry"]
        assert (
            crash["applied"]["camera"].tolist() == [0.0, 0.0]
            and "closed the connection" in crash["error"]
        )
        with pytest.raises(WorldError, match="the world failed"):
            env.step({})
        env.reset(seed=1)
        assert env.step({})[-1]["telemetry"].step == 1
        env.close()


def test_a_worker_that_is_killed_is_an_error_and_no_hang():
    with StandIn() as one, StandIn() as two:
        envs = vector(world="minerl", address=[one.address, two.address])
        envs.reset(seed=[1, 2])
        os.kill(envs.processes[0].pid, signal.SIGKILL)
        with pytest.raises((EOFError, BrokenPipeError, ConnectionError)):
            envs.step(actions(envs))
        # Gymnasium's own close() waits for the lost worker's answer and fails likewise.
        for process in envs.processes:
            process.terminate()
            process.join(20)
        envs.closed = True


def test_senseless_settings_are_named():
    with pytest.raises(
        ConfigError, match="on_failure: expected 'raise' or 'truncate', got 'ignore'"
    ):
        make_env("find_cave", "minerl", on_failure="ignore")
    with pytest.raises(ConfigError, match=r"unknown setting 'adress'; did you mean 'address'\?"):
        make_env("find_cave", "minerl", adress="here:1")
    with pytest.raises(ConfigError, match="world luanti: unknown setting 'address'"):
        make_env("find_cave", "luanti", address="here:1")


ELSEWHERE = """
    import sys

    import psutil  # it has a part of its own for each system

    class Missing:  # what other systems do not have
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("fcntl", "Xlib", "resource", "pwd"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Missing())
    for name in ("fcntl", "Xlib", "resource", "pwd"):
        sys.modules.pop(name, None)
    import basalt.worlds, basalt.rollouts.rollout, basalt.rollouts.replay
    basalt.worlds.make_env("find_cave", "minerl", address="somewhere:1")
    sys.platform = "darwin"
    try:
        basalt.worlds.make_env("find_cave")
    except basalt.io.errors.MissingDependencyError as err:
        print(err)
"""


def test_outside_linux_only_the_luanti_world_is_missing():
    code = textwrap.dedent(ELSEWHERE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("world luanti: expected Linux, which it needs")
    assert "world=minerl" in done.stdout and next(iter(basalt.worlds.WORLDS)) == "luanti"
