"""Soft resets and games started in the background: the same episodes as after a fresh start."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import numpy as np
import psutil
import pytest

from agents.demonstrator.agent import Demonstrator
from agents.demonstrator.body import Body
from agents.demonstrator.create_village_animal_pen import FOOD
from basalt.core.actions import null_action
from basalt.core.tasks import TASKS
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds import make_env
from benchmarks.world import random_actions
from tests.support.world_behaviour import OTHER_SEED, SEED

pytestmark = pytest.mark.engine
SMALL = (160, 90)
SEEDS = {
    "find_cave": 100_001,
    "make_waterfall": 100_001,
    "create_village_animal_pen": 100_002,
    "build_village_house": 100_000,
}


@pytest.fixture
def make():
    made = []

    def make(task="find_cave", **settings):
        made.append(make_env(task, size=SMALL, **settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


def scripted(env, seed, n_steps, options=None):
    """Telemetry and frames of the demonstrator: it digs, places, pours, herds and crafts, as the task needs."""
    agent = Demonstrator()
    observation, info = env.reset(seed=seed, options=options)
    states, frames = [info["telemetry"]], [observation["pov"]]
    for step in range(n_steps):
        agent.observe([info])
        (action,) = agent.act(observation["pov"][None], np.array([step == 0]))
        observation, _, terminated, truncated, info = env.step(action)
        states.append(info["telemetry"])
        frames.append(observation["pov"])
        if terminated or truncated:
            break
    return states, frames


def wandering(env, seed, n_steps, options=None):
    """Telemetry and frames of random steps with some digging and placing."""
    observation, info = env.reset(seed=seed, options=options)
    states, frames = [info["telemetry"]], [observation["pov"]]
    for action in random_actions(n_steps, seed):
        observation, _, terminated, truncated, info = env.step(action)
        states.append(info["telemetry"])
        frames.append(observation["pov"])
        if terminated or truncated:
            break
    return states, frames


def busy(env, seed, n_steps, draw):
    """Telemetry and frames of a player who pours or places what it carries, leads animals and digs, from its first step."""
    observation, info = env.reset(seed=seed)
    body = Body(np.random.default_rng([seed, draw]))
    body.state = info["telemetry"]
    states, frames = [info["telemetry"]], [observation["pov"]]
    for action in itertools.islice(deeds(body), n_steps):
        observation, _, terminated, truncated, info = env.step(action)
        body.state = info["telemetry"]
        states.append(info["telemetry"])
        frames.append(observation["pov"])
        if terminated or truncated:
            break
    return states, frames


def deeds(body):
    while True:
        yield from put(body)
        if body.state.animals:
            yield from lead(body)
        yield from dig(body)
        yield from put(body)
        yield from body.do(int(body.rng.integers(5, 15)), forward=1, jump=1)


def aim_down(body):
    yaw, pitch = body.state.yaw + body.rng.uniform(-40, 40), body.rng.uniform(45, 70)
    for _ in range(8):
        yield null_action() | body.turn(yaw, pitch)


def put(body):
    """Use an item of the hotbar on the ground in front: pours water, places blocks."""
    carried = sorted({name for slot, (name, _) in body.slots().items() if slot < 9})
    if carried:
        yield from body.hold(str(body.rng.choice(carried)))
    yield from aim_down(body)
    yield from body.click()
    yield from body.do(4, use=1, back=1)


def dig(body):
    yield from aim_down(body)
    yield from body.do(25, attack=1)


def lead(body):
    """Go to the nearest animal with its food in the hand, and back off."""
    kind = min(FOOD, key=lambda kind: min(map(body.away, places(body, kind)), default=np.inf))
    yield from body.hold(FOOD[kind])
    for _ in range(60):
        nearest, *_ = [*places(body, kind), body.position]
        far = body.away(nearest) > 2.5
        yield null_action() | body.camera(nearest) | {"forward": int(far), "sprint": int(far)}
        if not far:
            break
    yield from body.do(15, back=1)


def places(body, kind):
    return [animal.position for animal in body.animals(kind)]


def done(states):
    """How much of what the players are for was done, by name."""
    last = states[-1].facts
    leads = [
        animal
        for state in states
        for animal in state.animals or ()
        if state.held == FOOD[animal.kind]
        and np.hypot(animal.position[0] - state.xpos, animal.position[2] - state.zpos) < 4
    ]
    return Counter(
        dug=last["dug_nodes"],
        placed=last["nodes_placed"],
        poured=last.get("water_poured", 0),
        led=len(leads),
    )


def assert_equal(fresh, soft):
    """But for breath, which the engine counts from some moment of its start (docs/worlds-reference.md)."""
    for a, b in zip(fresh, soft, strict=True):
        assert a == b.model_copy(update={"breath": a.breath}), f"step {a.step}"


def assert_same_to_the_bit(first, second):
    for a, b in zip(first[0], second[0], strict=True):
        assert a == b, f"step {a.step}"
    assert all((a == b).all() for a, b in zip(first[1], second[1], strict=True))


def is_there(pid):
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    "task",
    [
        "find_cave",
        *(pytest.param(task, marks=pytest.mark.long) for task in TASKS if task != "find_cave"),
    ],
)
def test_an_episode_after_a_soft_reset_is_that_of_a_fresh_start(make, task):
    seed, n_steps = SEEDS[task], 120
    env = make(task, kept_games=1)
    first = scripted(env, seed, n_steps)
    pid = env.engine_pid
    wandering(env, seed, 40)
    again = scripted(env, seed, n_steps)
    assert env.engine_pid == pid, "the same game"
    assert_same_to_the_bit(first, again)
    fresh = make(task)
    assert_equal(scripted(fresh, seed, n_steps)[0], again[0])


DONE = {
    "find_cave": {"dug", "placed"},
    "make_waterfall": {"dug", "placed", "poured"},
    "create_village_animal_pen": {"dug", "placed", "led"},
    "build_village_house": {"dug", "placed"},
}
"""What the 25 episodes of a task must contain."""


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_25_episodes_after_soft_resets_are_those_of_fresh_starts(make, task):
    """100 for the four tasks, each compared in every step with the same episode on a game of its own."""
    soft, fresh = make(task, kept_games=1, render_every=10), make(task, render_every=10)
    plays = [scripted, wandering, *(partial(busy, draw=draw) for draw in range(3))]
    episodes, total = 0, Counter()
    for seed in range(100_000, 100_005):
        plays[-1](soft, seed, 60)  # the game's first episode
        pid = soft.engine_pid
        for play in plays:
            expected = play(fresh, seed, 150)[0]
            assert_equal(expected, play(soft, seed, 150)[0])
            assert soft.engine_pid == pid, "the same game"
            episodes += 1
            total += done(expected)
    assert episodes == 25
    assert DONE[task] <= set(total), "the players did less than they are for"


def test_several_games_are_kept(make):
    env = make(kept_games=2)
    edit = {"edit": {"item": {"slot": 0, "to": "torch", "quantity": 3}}}
    plays, pids = {}, {}
    for seed, options in (
        (SEED, None),
        (SEED, edit),
        (SEED, None),
        (SEED, edit),
        (OTHER_SEED, None),
    ):
        key = seed, options is edit
        play = wandering(env, seed, 20, options)
        if key in plays:
            assert env.engine_pid == pids[key]
            assert_same_to_the_bit(plays[key], play)
        plays[key], pids[key] = play, env.engine_pid
    assert not is_there(pids[SEED, False]), "the one that was played longest ago has ended"
    assert (
        is_there(pids[SEED, True])
        and plays[SEED, True][0][0].inventory != plays[SEED, False][0][0].inventory
    )


@pytest.mark.long
def test_a_game_that_was_started_in_the_background_is_as_fresh_as_any(make):
    expected = wandering(make(), OTHER_SEED, 40)[0]
    env = make(prepare_next=True)
    env.reset(seed=SEED)
    following = env.reset()[1]["seed"]
    env.reset(seed=SEED)
    pid = env.engine_pid
    env.prepare(OTHER_SEED)
    again = wandering(env, OTHER_SEED, 40)[0]
    assert_equal(expected, again)
    assert env.engine_pid != pid and not is_there(pid)
    env.reset(seed=SEED)
    assert env.reset()[1]["seed"] == following, "preparing does not change which seed comes next"


def test_a_kept_game_that_was_killed_is_started_again(make):
    env = make(kept_games=1)
    first = wandering(env, SEED, 10)[0]
    os.kill(env.engine_pid, signal.SIGKILL)
    assert_equal(first, wandering(env, SEED, 10)[0])
    os.kill(env.engine_pid, signal.SIGKILL)
    with pytest.raises(WorldError, match="game ended"):
        env.step({})
    assert_equal(first, wandering(env, SEED, 10)[0])


def test_nothing_survives_that_was_kept_or_prepared(make):
    env = make(kept_games=2)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for seed in (SEED, OTHER_SEED):
        env.reset(seed=seed)
    env.prepare(SEED + 10)
    started = [
        child for child in psutil.Process().children(recursive=True) if child.pid not in before
    ]
    keepers = [child for child in started if child.name() == psutil.Process(env.engine_pid).name()]
    assert len(keepers) >= 4, "two games and what keeps their state"
    env.close()
    assert not [
        child for child in psutil.Process().children(recursive=True) if child.pid not in before
    ]


PLAYER = """
import json, time, psutil
from basalt.worlds import make_env
env = make_env("find_cave", size=(160, 90), kept_games=1)
env.reset(seed=100001)
print(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]), flush=True)
time.sleep(600)
"""


def test_nothing_survives_a_player_that_is_killed():
    player = subprocess.Popen([sys.executable, "-c", PLAYER], stdout=subprocess.PIPE, text=True)
    pids = json.loads(player.stdout.readline())
    player.kill()
    player.wait(20)
    player.stdout.close()
    assert len(pids) == 5, "two supervisors, game, what keeps its state, X server"
    deadline = time.monotonic() + 60
    while any(map(is_there, pids)):
        assert time.monotonic() < deadline, "processes survived"
        time.sleep(0.05)


def test_settings_of_resets_are_checked(make):
    with pytest.raises(ConfigError, match="kept_games: expected an integer of at least 0, got -1"):
        make(kept_games=-1)
