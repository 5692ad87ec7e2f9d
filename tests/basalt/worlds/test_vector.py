"""Many environments side by side, and what a failure of one of them does: an error or a mark, never a hang."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import basalt.worlds
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds import make_env, make_vec
from basalt.worlds.vector import WorldVectorEnv
from tests.support.minerl_standin import Faults, StandIn
from tests.support.toy_world import CountingWorld
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


class GatedWorld(CountingWorld):
    """Its resets wait until a file is there; the file is named by the world's only setting."""

    def __init__(self, gate, **settings):
        super().__init__(**settings)
        self.gate = gate
        self.seen = []

    def _begin(self, seed):
        self.seen.append(seed)
        deadline = time.monotonic() + 60
        while not self.gate.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return super()._begin(seed)


@pytest.fixture
def gated(tmp_path):
    """Two toy worlds and the gates of their resets, which are open."""
    gates = [tmp_path / "0", tmp_path / "1"]
    for gate in gates:
        gate.touch()
    made = []

    def make(limits=(2, 1000), seeds=((7, 8), (9,)), **settings):
        makers = [
            partial(GatedWorld, gate, step_limit=limit, seeds=of)
            for gate, limit, of in zip(gates, limits, seeds, strict=True)
        ]
        made.append(WorldVectorEnv(makers, **settings))
        return made[-1]

    yield make, gates
    for envs in made:
        for gate in gates:
            gate.touch()
        envs.close()


def brightness(observations):
    assert (observations["pov"] == observations["pov"][:, :1, :1, :1]).all()
    return observations["pov"][:, 0, 0, 0].tolist()


def test_no_step_waits_for_a_reset(gated):
    make, gates = gated
    envs = make()
    observations, infos = envs.reset()
    assert brightness(observations) == [0, 0] and infos["seed"].tolist() == [7, 9]
    envs.step(actions(envs))
    gates[0].unlink()  # from now on, resets of the first wait
    observations, _, terminated, truncated, infos = envs.step(actions(envs))
    assert truncated.tolist() == [True, False] and infos["ended"][0] == "limit"
    assert infos["played"].tolist() == [True, True] and brightness(observations) == [10, 10]
    for step in range(3, 8):  # the second one is played; of the first, the last frame is returned
        observations, rewards, terminated, truncated, infos = envs.step(actions(envs))
        assert infos["played"].tolist() == [False, True]
        assert brightness(observations) == [10, 5 * step]
        assert not terminated.any() and not truncated.any() and rewards.tolist() == [0.0, 0.0]
        assert infos["telemetry"][1].step == step and "seed" not in infos
    gates[0].touch()
    while "seed" not in infos:
        observations, *_, infos = envs.step(actions(envs))
    assert infos["played"].tolist() == [False, True], (
        "the action before a first frame is not played"
    )
    assert infos["seed"][0] == 8 and infos["telemetry"][0].step == 0
    assert brightness(observations)[0] == 0
    observations, *_, infos = envs.step(actions(envs))
    assert infos["played"].all() and brightness(observations)[0] == 5


def test_a_step_waits_where_no_environment_can_play(gated):
    make, _ = gated
    envs = make(limits=(1, 1))
    envs.reset()
    envs.step(actions(envs))
    for _ in range(4):
        *_, infos = envs.step(actions(envs))
        assert "seed" in infos or infos["played"].any()


def test_episodes_are_reset_by_hand_where_autoreset_is_disabled(gated):
    make, _ = gated
    envs = make(autoreset_mode=AutoresetMode.DISABLED)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    envs.reset(seed=[1, 2])
    for _ in range(2):
        *_, truncated, _ = envs.step(actions(envs))
    observations, infos = envs.reset(options={"reset_mask": truncated})
    assert truncated.tolist() == [True, False] and brightness(observations) == [0, 10]
    assert infos["_seed"].tolist() == [True, False]
    with pytest.raises(ConfigError, match="autoreset_mode: expected NEXT_STEP or DISABLED"):
        make(autoreset_mode=AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("copy", [True, False])
def test_frames_are_copied_once_or_never(gated, copy):
    make, _ = gated
    envs = make(copy=copy)
    first = envs.reset()[0]["pov"]
    second = envs.step(actions(envs))[0]["pov"]
    assert np.shares_memory(first, second) is not copy
    assert np.shares_memory(second, envs.observations["pov"]) is not copy
    assert first[0, 0, 0, 0] == (0 if copy else 5)


def test_an_unexpected_seed_or_call_waits_for_the_reset_in_the_background(gated):
    make, _ = gated
    envs = make()
    envs.reset()
    for _ in range(2):
        envs.step(actions(envs))
    assert envs.call("seen") == ([7, 8], [9]), "the reset in the background is done"
    *_, infos = envs.step(actions(envs))
    assert infos["seed"][0] == 8
    for _ in range(2):
        envs.step(actions(envs))
    assert envs.reset(seed=[3, 4])[1]["seed"].tolist() == [3, 4]
    *_, infos = envs.step(actions(envs))
    assert infos["played"].all() and infos["telemetry"][0].step == 1


def test_a_reset_that_fails_in_the_background_is_one_error(capfd):
    class Broken(CountingWorld):
        def _begin(self, seed):
            if seed == 2:
                raise WorldError("seed 2: no site")
            return super()._begin(seed)

    envs = WorldVectorEnv(
        [partial(Broken, step_limit=1, seeds=(1, 2)), partial(Broken, seeds=(1,))]
    )
    envs.reset()
    with pytest.raises(WorldError, match=r"^seed 2: no site") as failure:
        for _ in range(1000):
            envs.step(actions(envs))
    assert failure.value.__notes__ == ["in environment 0 of 2; close the vector"]
    envs.close()
    assert capfd.readouterr().err == ""


def test_a_process_that_is_killed_closes_the_vector_with_one_error(gated):
    make, _ = gated
    envs = make()
    envs.reset()
    os.kill(envs.processes[0].pid, signal.SIGKILL)
    with pytest.raises(WorldError, match="a process of the vector was killed"):
        envs.step(actions(envs))
    assert envs.closed and not any(process.is_alive() for process in envs.processes)


@pytest.mark.parametrize("use", ["step", "reset", "call", "set_attr"])
def test_a_process_that_ended_long_ago_is_the_same_error(gated, use):
    make, _ = gated
    envs = make()
    envs.reset()
    envs.processes[0].kill()
    envs.processes[0].join()
    arguments = {"step": (actions(envs),), "call": ("seen",), "set_attr": ("seen", 1)}
    with pytest.raises(WorldError, match="a process of the vector was killed"):
        getattr(envs, use)(*arguments.get(use, ()))
    assert envs.closed and not any(process.is_alive() for process in envs.processes)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_vector_whose_processes_were_interrupted_can_be_closed(gated, waiting):
    make, _ = gated
    envs = make()
    envs.reset()
    if waiting:
        envs.step_async(actions(envs))
    for process in envs.processes:
        os.kill(process.pid, signal.SIGINT)
    for process in envs.processes:
        process.join(60)
    envs.close()
    assert not any(process.is_alive() for process in envs.processes)


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def test_an_error_that_cannot_be_pickled_is_one_with_its_text():
    class Odd(CountingWorld):
        def _advance(self, action, step):
            raise UnpicklableError("odd", 2)

    envs = WorldVectorEnv([Odd])
    envs.reset()
    with pytest.raises(WorldError, match=r"^UnpicklableError: odd"):
        envs.step(actions(envs))
    envs.close()


def test_the_vector_s_own_methods_are_not_called_in_its_environments(gated):
    make, _ = gated
    with pytest.raises(ConfigError, match="call: expected another method than 'reset'"):
        make().call("reset")


@pytest.mark.engine
def test_the_registered_tasks_make_such_vectors_with_soft_resets():
    envs = gymnasium.make_vec(
        "basalt/FindCave-v0", num_envs=2, size=SMALL, seeds=[SEED, SEED], step_limit=5, kept_games=1
    )
    try:
        assert isinstance(envs, WorldVectorEnv)
        observations, infos = envs.reset()
        first, engines = observations["pov"].copy(), envs.call("engine_pid")
        assert infos["seed"].tolist() == [SEED, SEED]
        begun = np.zeros(2, int)
        while begun.min() < 2:
            observations, *_, infos = envs.step(actions(envs, forward=1))
            for index in np.flatnonzero(infos.get("_seed", ())):
                begun[index] += 1
                assert (observations["pov"][index] == first[index]).all(), "the same episode again"
        assert envs.call("engine_pid") == engines, "no game was started"
    finally:
        envs.close()


@pytest.mark.engine
def test_the_example_of_the_page_runs():
    page = (Path(__file__).parents[3] / "docs" / "worlds.md").read_text()
    section = page.partition("## Many environments")[2].partition("\n## ")[0]
    names: dict = {}
    exec(section.partition("```python")[2].partition("```")[0], names)
    assert names["transitions"] >= 160 and names["envs"].closed


def test_senseless_settings_are_named():
    with pytest.raises(
        ConfigError, match="on_failure: expected 'raise' or 'truncate', got 'ignore'"
    ):
        make_env("find_cave", "minerl", on_failure="ignore")
    with pytest.raises(ConfigError, match=r"unknown setting 'adress'; did you mean 'address'\?"):
        make_env("find_cave", "minerl", adress="here:1")
    with pytest.raises(ConfigError, match="world luanti: unknown setting 'address'"):
        make_env("find_cave", "luanti", address="here:1")
    with pytest.raises(ConfigError, match="seeds: expected at least 2, one per environment, got 1"):
        make_vec("find_cave", 2, seeds=[1])
    with pytest.raises(ConfigError, match="autoreset_mode: expected one of 'NextStep'"):
        make_vec("find_cave", autoreset_mode="later")
    with pytest.raises(ConfigError, match="num_envs: expected at least 1, got 0"):
        make_vec("find_cave", 0)
    with pytest.raises(ConfigError, match="seeds: expected at least one seed or null"):
        make_env("find_cave", seeds=[])
    with pytest.raises(ConfigError, match=r"at most 5\.7 times as wide as high, got \(640, 80\)"):
        make_env("find_cave", size=(640, 80))
    with pytest.raises(ConfigError, match="prepare_next: expected true or false, got 'no'"):
        make_env("find_cave", prepare_next="no")


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
