"""Minecraft's environment when things go wrong, its telemetry, and rollouts on it."""

import functools
import json
import subprocess
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest

from agents.random.agent import RandomAgent
from basalt.cli.record import main as record_main
from basalt.cli.rollout import main as rollout_main
from basalt.core.actions import null_action
from basalt.core.recording import Recording, find_recordings
from basalt.core.recording_checks import check_recording
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import ConfigError, MissingDependencyError, WorldError
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.worlds import make_env
from basalt.worlds.minerl import protocol
from basalt.worlds.minerl.addresses import claim_address, parse_addresses
from basalt.worlds.minerl.env import WORLD_VERSION, MinerlEnv
from basalt.worlds.minerl.info import Observer
from basalt.worlds.minerl.protocol import (
    MinecraftBusy,
    MinecraftDied,
    MinecraftGarbled,
    MinecraftHung,
)
from tests.support.minerl_standin import Faults, StandIn

CAVE = get_task("find_cave")
SMALL = (64, 36)


def make(standin, task=CAVE, **settings):
    return MinerlEnv(task, **({"size": SMALL, "address": standin.address} | settings))


def test_nothing_beyond_the_core_is_imported():
    code = (
        "import sys, basalt.worlds.minerl.env, basalt.worlds.minerl.package, "
        "tools.serve_luanti_as_minerl; "
        "extra = {'gym', 'minerl', 'torch', 'Xlib', 'sqlalchemy', 'streamlit', 'cv2'}; "
        "sys.exit(str(extra & set(sys.modules)) if extra & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_there(name):
    with StandIn() as standin:
        env = make_env(name, "minerl", size=SMALL, address=standin.address)
        env.reset(seed=100_001)
        assert env.step({})[-1]["telemetry"].step == 1
        env.close()
        assert get_task(name).env_id in standin.begun[0][1]


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (Faults(hang_at=2, episodes=1), MinecraftHung),
        (Faults(die_at=2, episodes=1), MinecraftDied),
        (Faults(empty_picture_at=2, episodes=1), MinecraftGarbled),
        (Faults(wrong_length_at=2, episodes=1), MinecraftGarbled),
    ],
)
def test_a_failure_is_a_typed_error_and_reset_begins_anew(faults, error):
    with StandIn(faults) as standin:
        env = make(standin, step_timeout_s=1.0, busy_timeout_s=20)
        env.reset(seed=1)
        env.step({})
        with pytest.raises(error):
            env.step({})
        with pytest.raises(WorldError, match=r"the world failed.*reset"):
            env.step({})
        env.reset(seed=1)
        for _ in range(3):
            env.step({})
        env.close()


def test_an_episode_that_minecraft_ends_is_a_death():
    with StandIn(Faults(done_at=2, empty_picture_at=2)) as standin:
        env = make(standin)
        env.reset(seed=1)
        before = env.step({})[0]["pov"]
        observation, _, terminated, truncated, info = env.step({})
        env.close()
    assert (terminated, truncated, info["ended"]) == (True, False, "death")
    assert info["telemetry"].dead and info["telemetry"].health == 0
    assert (observation["pov"] == before).all(), "a world that has ended draws no more"


def test_minecrafts_own_clock_is_the_limit():
    with StandIn(Faults(done_at=3590)) as standin:
        env = make(standin, size=(16, 16))
        env.reset(seed=1)
        for _ in range(3590):
            *_, terminated, truncated, info = env.step({})
        env.close()
    assert (terminated, truncated, info["ended"]) == (False, True, "limit")
    assert not info["telemetry"].dead


def test_a_world_that_does_not_come_is_hung(monkeypatch):
    monkeypatch.setattr(protocol, "PEEK_PAUSE_S", 0.01)
    with StandIn(Faults(empty_pictures=10**6)) as standin:
        env = make(standin, world_timeout_s=0.2)
        with pytest.raises(MinecraftHung, match=r"within 0\.2 s"):
            env.reset(seed=1)
        env.close()


def test_a_process_that_is_gone_is_said():
    standin = StandIn()
    standin.stop()
    env = make(standin)
    with pytest.raises(MinecraftDied, match="check that Minecraft is running"):
        env.reset(seed=1)
    env.close()


def test_every_environment_has_a_minecraft_of_its_own():
    with StandIn() as one, StandIn() as two:
        addresses = [one.address, two.address]
        envs = [make(one, address=addresses) for _ in range(3)]
        for env in envs[:2]:
            env.reset(seed=1)
        with pytest.raises(MinecraftBusy, match=r"address=\[HOST:PORT,HOST:PORT\]"):
            envs[2].reset(seed=1)
        envs[0].close()
        envs[2].reset(seed=2)
        assert len(one.begun) + len(two.begun) == 3
        for env in envs:
            env.close()


def test_an_address_is_given_back_by_any_thread():
    addresses = parse_addresses("127.0.0.1:9000")
    with ThreadPoolExecutor(1) as other:
        claim = other.submit(claim_address, addresses, "find_cave").result()
    with pytest.raises(MinecraftBusy):
        claim_address(addresses, "find_cave")
    claim.release()
    claim_address(addresses, "find_cave").release()


def test_a_vector_of_environments_shares_a_list_of_processes():
    with StandIn() as one, StandIn() as two:
        vector = gymnasium.make_vec(
            "basalt/FindCave-v0",
            num_envs=2,
            vectorization_mode="sync",
            world="minerl",
            size=SMALL,
            address=f"{one.address},{two.address}",
        )
        observations, _ = vector.reset(seed=[1, 2])
        assert observations["pov"].shape == (2, 36, 64, 3)
        vector.close()
        assert sorted(seed for seed, _ in one.begun + two.begun) == [1, 2]


def test_one_process_per_task():
    with StandIn() as standin:
        env = make(standin, get_task("build_village_house"))
        env.reset(seed=1)
        env.close()
        env = make(standin)
        with pytest.warns(UserWarning, match="build_village_house was played there before"):
            env.reset(seed=1)
        env.close()
        with StandIn() as fresh, warnings.catch_warnings():
            warnings.simplefilter("error")
            env = make(
                standin, get_task("make_waterfall"), address=[standin.address, fresh.address]
            )
            env.reset(seed=1)
            env.close()
            assert len(fresh.begun) == 1, "a process without a past comes first"


def test_the_address_may_stand_in_the_environment(monkeypatch):
    with StandIn() as standin:
        monkeypatch.setenv("BASALT_MINERL", standin.address)
        env = MinerlEnv(CAVE, size=SMALL)
        env.reset(seed=1)
        env.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"address": "nowhere:port"}, "address: expected HOST:PORT, .* got 'nowhere:port'"),
        ({"address": ["a:1", "a:1"]}, "expected each address once"),
        ({"step_timeout_s": 0}, "step_timeout_s: expected a positive number of seconds, got 0"),
    ],
)
def test_senseless_settings_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        MinerlEnv(CAVE, **settings)


def test_with_nothing_told_telemetry_is_what_the_actions_say():
    with StandIn(told=False) as standin:
        env = make(standin)
        assert env.reset(seed=1)[1]["telemetry"].observed == {"gui_open"}
        state = env.step({"forward": 1, "hotbar.3": 1, "camera": [5, 5]})[-1]["telemetry"]
        assert (state.hotbar, state.xpos, state.yaw, state.health) == (2, 0, 0, 20)
        assert env.step({"inventory": 1})[-1]["telemetry"].gui_open
        state = env.step({"hotbar.5": 1})[-1]["telemetry"]
        assert state.hotbar == 2, "in a form the key moves items instead"
        env.close()


def test_what_is_told_is_used():
    info = {
        "XPos": 1.5, "location_stats": {"ypos": 64.0, "zpos": -2.0, "yaw": 270.0, "pitch": -10.0},
        "life": 7.5, "Air": 150, "isGuiOpen": True,
        "inventory": [{"type": "dirt", "quantity": 2}, {"type": "air", "quantity": 0}],
        "equipped_items": {"mainhand": json.dumps({"type": "dirt", "damage": 0})},
    }  # fmt: skip
    observer = Observer()
    observer.telemetry(0, {"xpos": 1.5, "zpos": 2.0}, dead=False)
    state = observer.telemetry(1, info, dead=False)
    assert (state.xpos, state.ypos, state.zpos, state.yaw, state.pitch) == (1.5, 64, -2, -90, -10)
    assert (state.health, state.breath, state.gui_open, state.held) == (7.5, 5, True, "dirt")
    assert [(item.type, item.quantity) for item in state.inventory] == [("dirt", 2)]
    assert state.distance_walked == 4
    assert state.is_observed("breath") and not state.is_observed("light")
    assert sorted(state.observed) == (
        "breath gui_open health held inventory pitch xpos yaw ypos zpos".split()
    )


@pytest.mark.parametrize(
    "info", [{"xpos": "far", "life": None, "inventory": 5, "equipped_items": [], "hotbar": 99},
             {"xpos": float("nan"), "equipped_items": {"mainhand": "{half"}, "life": 400}],
)  # fmt: skip
def test_nonsense_is_as_good_as_nothing(info):
    state = Observer().telemetry(0, info, dead=False)
    assert (state.xpos, state.health, state.held, state.inventory) == (0, 20, "", ())


def test_a_rollout_by_name_is_a_recording_that_validates(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["basalt"])
    with StandIn() as standin:
        rollout_main(
            ["agent=random", "task=find_cave", "world=minerl", f"world.args.address='{standin.address}'",
             "seeds=[100001,100002]", "max_steps=25", f"out={tmp_path / 'out'}"]
        )  # fmt: skip
    recordings = find_recordings(tmp_path / "out")
    assert [recording.meta.seed for recording in recordings] == [100_001, 100_002]
    for recording in recordings:
        check_recording(recording)
        assert (recording.meta.world, recording.meta.world_version) == ("minerl", WORLD_VERSION)
        assert (recording.meta.ended, len(recording.telemetry())) == ("cut", 26)
        first = next(iter(recording.frames()))
        assert first[40, 320, 0] < first[320, 320, 0], "the right way up"
    assert "let people judge" in capsys.readouterr().out


def test_tasks_without_success_by_telemetry_are_rolled_out_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["basalt"])
    with StandIn(told=False) as standin:
        monkeypatch.setenv("BASALT_MINERL", standin.address)
        rollout_main(
            ["agent=random", "task=make_waterfall", "world=minerl", "seeds=100001", "max_steps=3",
             f"out={tmp_path}"]
        )  # fmt: skip
    printed = capsys.readouterr().out
    assert "let people judge" in printed and "distance" not in printed
    assert printed.splitlines()[1].split() == ["100001", "3", "cut", "?", "?", "?"]


def test_the_demonstrator_says_that_it_does_not_know_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["basalt"])
    with StandIn() as standin, pytest.raises(ConfigError, match="demonstrator needs a world"):
        monkeypatch.setenv("BASALT_MINERL", standin.address)
        record_main(["task=find_cave", "world=minerl", "seeds=100001", f"out={tmp_path}"])


@pytest.mark.parametrize("faults", [{"die_at": 4}, {"half_message_dies_at": 4}, {"bad_info_at": 4}])
def test_a_crashed_episode_is_marked_and_repeated(tmp_path, faults):
    with StandIn(Faults(**faults, episodes=1)) as standin:
        plan = RolloutPlan(
            "find_cave", "minerl", {"name": "random"}, (100_001,), tmp_path, max_steps=10,
            world_args={"address": standin.address},
        )  # fmt: skip
        (recording,) = rollout(functools.partial(RandomAgent, seed=0), plan, progress=False)
        assert [seed for seed, _ in standin.begun] == [100_001, 100_001]
    assert recording.meta.ended == "cut" and recording.meta.steps == 10
    crash = Recording.open(tmp_path / "crashed" / "seed_100001_1")
    check_recording(crash)
    assert crash.meta.ended == "crash" and crash.meta.steps == 3


def test_jobs_side_by_side_take_a_process_each(tmp_path):
    with StandIn() as one, StandIn() as two:
        plan = RolloutPlan(
            "find_cave", "minerl", {"name": "random"}, (100_001, 100_002), tmp_path, max_steps=3,
            world_args={"address": [one.address, two.address]},
        )  # fmt: skip
        make_agent = functools.partial(RandomAgent, seed=0)
        recordings = rollout(make_agent, plan, jobs=2, progress=False)
        assert sorted(seed for seed, _ in one.begun + two.begun) == [100_001, 100_002]
    assert [recording.meta.steps for recording in recordings] == [3, 3]


class _PackagesEnv:
    """What `gym.make` of the minerl package returns, as far as the adapter uses it."""

    def __init__(self, name):
        self.name, self.log, self.info, self.done = name, [], {}, False

    def seed(self, seed):
        self.log.append(("seed", seed))

    def reset(self):
        self.log.append("reset")
        return {"pov": np.zeros((360, 640, 3), np.uint8)}

    def step(self, action):
        self.log.append(action)
        return {"pov": np.ones((360, 640, 3), np.uint8)}, 0.0, self.done, self.info

    def close(self):
        self.log.append("close")


@pytest.fixture
def package(monkeypatch):
    made = []

    def gym_make(name):
        made.append(_PackagesEnv(name))
        return made[-1]

    monkeypatch.setitem(sys.modules, "gym", types.SimpleNamespace(make=gym_make))
    monkeypatch.setitem(sys.modules, "minerl", types.ModuleType("minerl"))
    return made


def test_the_packages_environment_behaves_as_ours(package):
    env = make_env("make_waterfall", "minerl-package", step_limit=2)
    (inner,) = package
    assert inner.name == "MineRLBasaltMakeWaterfall-v0"
    for seed in (5, 6):
        env.reset(seed=seed)
    assert inner.log == [("seed", 5), "reset", ("seed", 6), "reset"]
    observation, *_, info = env.step({"forward": 1})
    assert set(inner.log[-1]) == set(null_action()), "all keys, ESC too"
    assert observation["pov"][0, 0, 0] == 1 and info["telemetry"].step == 1
    assert env.step({})[-1]["ended"] == "limit"
    env.reset(seed=7)
    inner.done = True
    assert env.step({})[-1]["ended"] == "death"
    env.close()
    assert inner.log[-1] == "close"


def test_the_packages_random_pictures_are_not_taken(package):
    env = make_env("find_cave", "minerl-package")
    env.reset(seed=5)
    package[0].info = {"error": "Connection timed out!"}
    package[0].done = True
    with pytest.raises(MinecraftDied, match="Connection timed out"):
        env.step({})


def test_without_the_package_the_other_way_is_named():
    with pytest.raises(MissingDependencyError, match="use world=minerl"):
        make_env("find_cave", "minerl-package")
