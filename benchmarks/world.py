"""`basalt bench world`: speed, memory and determinism of the Luanti world, task by task.

One step is 50 ms of game time, so 20 steps per second are real time. `ratio` is the multiple of real time of the
slowest task, in deterministic lock-step at 640x360, one instance. With `--sizes` it is the multiple of the speed of an
earlier commit, which is measured in the same run.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import Any

import gymnasium
import numpy as np

import basalt.worlds  # noqa: F401  (registers the tasks)
from basalt.core.actions import FRAME_SIZE
from basalt.core.tasks import STEPS_PER_SECOND, TASKS, get_task
from basalt.io.errors import ConfigError, WorldError
from benchmarks.processes import memory_mb

SEED = 100_000
_START_S = 300.0
_RESETS = 3

LIMITS = {"reset_s": 3.0, "memory_mb": 450.0}
"""Limits of an instance: a new episode from a cached world, and the memory of game and X server together."""

_PARTS = {
    "client_wait_ms": "the client's packets, input and physics",
    "frame_ms": "the software renderer drawing the frame, while server and meshes work",
    "pixels_ms": "reading the frame from the renderer",
    "server_wait_ms": "the server's step and the meshes, where they take longer than drawing",
    "environment_ms": "the environment: input, telemetry, returning the frame",
}
"""Parts of a step's time by their metric, in words."""


def random_actions(n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield `n` actions of a player who wanders and looks around, and stops to dig and to place what it dug."""
    rng = np.random.default_rng(seed)
    pitch = 0.0
    t = 0
    while t < n:
        length = int(rng.integers(15, 30))
        kind = rng.choice(["wander", "dig", "place"], p=[0.5, 0.3, 0.2])
        aim = rng.uniform(-10, 30) if kind == "wander" else rng.uniform(40, 70)
        turn = rng.normal() * 3
        keys = {
            "wander": {
                key: int(rng.random() < chance)
                for key, chance in (("forward", 0.8), ("left", 0.2), ("jump", 0.4), ("sprint", 0.3))
            },
            "dig": {"attack": 1},
            "place": {"use": 1, "back": int(rng.random() < 0.5), "hotbar.1": 1},
        }[str(kind)]
        for k in range(min(length, n - t)):
            # Look first, then hold still: digging starts from scratch when another node is aimed at.
            camera = np.array([(aim - pitch) / (6 - k), turn]) if k < 6 else np.zeros(2)
            if kind == "wander" and k >= 6:
                camera = rng.normal(size=2)
            pitch = float(np.clip(pitch + camera[0], -89.5, 89.5))
            yield {**keys, "camera": camera.astype(np.float32)}
        t += length


def measure_speed(
    task: str, size: tuple[int, int], n_steps: int, barrier: Barrier | None = None
) -> dict[str, float]:
    """Measure the steps per second of one instance, and where the time goes.

    Args:
        task: Name of the task.
        size: Width and height of the frames in pixels.
        n_steps: Number of steps to measure, after 20 to warm up.
        barrier: Barrier at which several instances wait for each other; None for a single one.

    Returns:
        `steps_per_s`; `memory_mb` of game and X server (proportional set size, which divides shared pages among
        those who share them); per step in ms: `wall`, `cpu` (game and environment), `frame` (the client's
        drawing), `pixels` (reading the frame), `client_wait` (the client's frame before it draws),
        `server_wait` (after that, until the server's step and the meshes are done), `environment` (input, telemetry,
        returning the frame); `reset_s`, the slowest of some resets from the cached world; `began` and `ended` in
        monotonic seconds.
    """
    env = gymnasium.make(get_task(task).gym_id, world="luanti", size=size)
    try:
        env.reset(seed=SEED)
        resets = []
        for _ in range(0 if barrier else _RESETS):
            before = time.monotonic()
            env.reset(seed=SEED)
            resets.append(time.monotonic() - before)
        world: Any = env.unwrapped
        actions = list(random_actions(n_steps + 20))
        for action in actions[:20]:
            env.step(action)
        if barrier is not None:
            barrier.wait(_START_S)
        ticks = []
        cpu = world.engine.cpu_seconds() + time.process_time()
        began = time.monotonic()
        for action in actions[20:]:
            env.step(action)
            ticks.append(world.last_tick)
        ended = time.monotonic()
        cpu = world.engine.cpu_seconds() + time.process_time() - cpu
        memory = sum(memory_mb(one.process.program) for one in (world.engine, world.display))
    finally:
        env.close()

    wall = (ended - began) * 1e3 / n_steps
    parts = {
        "frame_ms": statistics.fmean(tick.frame_ms for tick in ticks),
        "pixels_ms": statistics.fmean(tick.pixels_ms for tick in ticks),
        "client_wait_ms": statistics.fmean(tick.client_ms for tick in ticks),
        "server_wait_ms": statistics.fmean(tick.server_ms for tick in ticks),
    }
    return {
        "steps_per_s": 1e3 / wall,
        "wall_ms": wall,
        "cpu_ms": cpu * 1e3 / n_steps,
        "memory_mb": memory,
        "reset_s": max(resets, default=0.0),
        **parts,
        "environment_ms": wall - sum(parts.values()),
        "began": began,
        "ended": ended,
    }


def bounded_by(figures: dict[str, float]) -> str:
    """Return the part that takes most of a step's time, in words."""
    part = max(_PARTS, key=lambda name: figures[name])
    share, busy = figures[part] / figures["wall_ms"], figures["cpu_ms"] / figures["wall_ms"]
    return f"{_PARTS[part]} ({share:.0%} of a step); {busy:.0%} of a step is processor time"


def _instance(
    task: str, size: tuple[int, int], n_steps: int, barrier: Barrier, results: Any
) -> None:
    try:
        results.put(measure_speed(task, size, n_steps, barrier))
    except BaseException:
        barrier.abort()  # so that the other one does not wait
        raise


def _next_result(players: list[Any], results: Any) -> dict[str, float]:
    deadline = time.monotonic() + 2 * _START_S
    while not any(player.exitcode for player in players) and time.monotonic() < deadline:
        with contextlib.suppress(Empty):
            return results.get(timeout=1.0)
    raise WorldError("one of the two instances failed; its error is printed above")


def measure_two(task: str, size: tuple[int, int], n_steps: int) -> dict[str, float]:
    """Measure two instances at once, each in its own process.

    Raises:
        WorldError: One of them failed.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    players = [
        context.Process(target=_instance, args=(task, size, n_steps, barrier, results), daemon=True)
        for _ in range(2)
    ]
    for player in players:
        player.start()
    try:
        figures = [_next_result(players, results) for _ in players]
    finally:
        for player in players:
            player.join(30)
            if player.is_alive():
                player.kill()
    span = max(f["ended"] for f in figures) - min(f["began"] for f in figures)
    return {
        "steps_per_s": 2 * n_steps / span,
        "steps_per_s_each": statistics.fmean(f["steps_per_s"] for f in figures),
        "cpu_ms": statistics.fmean(f["cpu_ms"] for f in figures),
    }


def measure_determinism(task: str, n_steps: int, runs: int = 3) -> dict[str, Any]:
    """Play the same random actions several times and compare with the first time.

    Returns:
        `equal_steps`: share of steps with the same telemetry (position, look, health, inventory and everything
        else); how many of the later runs' frames differ from the first run's, and how far, of 255 (mean, largest
        mean of a step, largest of a pixel); how much was dug and placed.
    """
    states: list[list[Any]] = []
    first_frames: list[np.ndarray] = []
    differences: list[float] = []
    largest = 0
    last: Any = None
    for run_number in range(runs):
        env = gymnasium.make(get_task(task).gym_id, world="luanti")
        try:
            env.reset(seed=SEED)
            states.append([])
            for t, action in enumerate(random_actions(n_steps, seed=1)):
                obs, _, terminated, truncated, info = env.step(action)
                last = info["telemetry"]
                states[-1].append(last.model_dump())
                if run_number == 0:
                    first_frames.append(obs["pov"])
                elif t < len(first_frames):
                    change = np.abs(obs["pov"].astype(np.int16) - first_frames[t])
                    differences.append(float(change.mean()))
                    largest = max(largest, int(change.max()))
                if terminated or truncated:
                    break
        finally:
            env.close()
    # A run that ends at another step than the first one differs from there on.
    pairs = [pair for other in states[1:] for pair in itertools.zip_longest(states[0], other)]
    return {
        "runs": runs,
        "steps": len(states[0]),
        "equal_steps": sum(a == b for a, b in pairs) / len(pairs),
        "pictures": len(differences),
        "pictures_that_differ": sum(map(bool, differences)),
        "picture_difference_mean": statistics.fmean(differences),
        "picture_difference_max": max(differences),
        "pixel_difference_max": largest,
        "dug_nodes": last.facts["dug_nodes"],
        "nodes_placed": last.facts["nodes_placed"],
    }


def measure_task(task: str, n_steps: int, determinism_steps: int) -> dict[str, Any]:
    """Measure one task at 640x360: one instance, and the same actions played three times."""
    one = measure_speed(task, FRAME_SIZE, n_steps)
    return {
        "real_time": round(one["steps_per_s"] / STEPS_PER_SECOND, 2),
        "bounded_by": bounded_by(one),
        **{name: round(value, 2) for name, value in one.items() if name not in ("began", "ended")},
        "within_limits": {name: one[name] < limit for name, limit in LIMITS.items()},
        "determinism": measure_determinism(task, determinism_steps),
    }


def measure_other(task: str, world: str, n_steps: int, **settings: Any) -> dict[str, Any]:
    """Measure one task in another world: what can be observed of any environment.

    Returns:
        `real_time`, `steps_per_s`, `wall_ms` and `cpu_ms` (of this process) per step, `waiting_ms` (the rest: the
        world), `reset_s`.
    """
    env = gymnasium.make(get_task(task).gym_id, world=world, **settings)
    try:
        began = time.monotonic()
        env.reset(seed=SEED)
        reset = time.monotonic() - began
        cpu, began = time.process_time(), time.monotonic()
        for action in random_actions(n_steps):
            env.step(action)
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
    finally:
        env.close()
    return {
        "real_time": round(n_steps / wall / STEPS_PER_SECOND, 2),
        "steps_per_s": round(n_steps / wall, 2),
        "wall_ms": round(wall * 1e3 / n_steps, 2),
        "cpu_ms": round(cpu * 1e3 / n_steps, 2),
        "waiting_ms": round((wall - cpu) * 1e3 / n_steps, 2),
        "reset_s": round(reset, 2),
    }


SIZES = (FRAME_SIZE, (160, 90), (128, 72))
BASELINE = "548b757"
"""Commit before this world was made faster."""

_OF_BASELINE = """
import importlib, importlib.util, json, sys
# The older place first: the baseline may have no benchmarks/, and this checkout's may be installed.
for name in ("basalt.bench", "benchmarks"):
    if importlib.util.find_spec(name):
        bench = importlib.import_module(name + ".world")
        break
task, size, steps = json.loads(sys.argv[1])
one, two = bench.measure_speed(task, tuple(size), steps), bench.measure_two(task, tuple(size), steps)
print("figures", json.dumps([one["steps_per_s"], two["steps_per_s"]]))
"""


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[tuple[Path | None, str]]:
    """Provide this repository's files at a commit, in a temporary folder.

    Yields:
        The folder and an empty text; or None and the reason.
    """
    repository = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="basalt-baseline-") as folder:
        try:
            archive = subprocess.run(
                ["git", "-C", str(repository), "archive", "--format=zip", commit],
                capture_output=True,
                check=True,
            )
        except OSError:
            yield None, "git is not installed"
            return
        except subprocess.CalledProcessError:
            yield None, f"the history of this checkout does not have commit {commit}"
            return
        with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
            files.extractall(folder)
        yield Path(folder), ""


def measure_baseline(
    folder: Path, task: str, size: tuple[int, int], n_steps: int
) -> dict[str, float]:
    """Return steps per second of one and of two instances (together) of another checkout.

    Raises:
        WorldError: It cannot be measured.
    """
    program = [sys.executable, "-c", _OF_BASELINE, json.dumps([task, size, n_steps])]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        program, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("figures ")]
    if done.returncode or not answers:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise WorldError(f"the baseline cannot be measured: {last}")
    one, two = json.loads(answers[-1].removeprefix("figures "))
    return {"one": one, "two": two}


def measure_size(
    task: str, size: tuple[int, int], n_steps: int, baseline: Path | None = None
) -> dict[str, Any]:
    """Measure one task at a frame size, one and two instances at once.

    Args:
        task: Name of the task.
        size: Width and height of the frames in pixels.
        n_steps: Number of steps to measure.
        baseline: Another checkout to measure and compare with; None for none.

    Returns:
        `one` and `two` (see `measure_speed` and `measure_two`), `bounded_by`, `baseline` (its steps per second)
        and `ratio`, both by `one` and `two`. These are None without a baseline, and where it failed; `baseline_failure`
        is the reason then.
    """
    other, failure = None, None
    if baseline is not None:
        try:
            other = measure_baseline(baseline, task, size, n_steps)
        except WorldError as err:  # the other figures are kept
            failure = str(err)
    one, two = measure_speed(task, size, n_steps), measure_two(task, size, n_steps)
    figures = {"one": one, "two": two}
    return {
        "real_time_one": round(one["steps_per_s"] / STEPS_PER_SECOND, 2),
        "real_time_two": round(two["steps_per_s"] / STEPS_PER_SECOND, 2),
        "bounded_by": bounded_by(one),
        "one": {k: round(v, 2) for k, v in one.items() if k not in ("began", "ended")},
        "two": {k: round(v, 2) for k, v in two.items()},
        "baseline_failure": failure,
        "baseline": other and {k: round(v, 2) for k, v in other.items()},
        "ratio": other and {k: round(figures[k]["steps_per_s"] / other[k], 2) for k in other},
    }


def measure_sizes(tasks: Sequence[str], n_steps: int, commit: str) -> dict[str, Any]:
    """Measure tasks at several frame sizes and compare with an earlier commit, task by task and size by size.

    Returns:
        `sizes` by task and by size (`"128x72"`), see `measure_size`; `baseline`, the commit or why it could not be
        measured.
    """
    with checkout(commit) as (folder, reason):
        sizes = {
            task: {f"{w}x{h}": measure_size(task, (w, h), n_steps, folder) for w, h in SIZES}
            for task in tasks
        }
    return {"sizes": sizes, "baseline": reason or commit}


_CRAFTIUM_TASK = "Craftium/ChopTree-v0"


def measure_craftium(size: tuple[int, int], n_steps: int) -> dict[str, Any]:
    """Measure Craftium, which plays in the same engine but not in lock-step, at a frame size.

    Returns:
        `steps_per_s` without resets, and `steps_per_s_with_resets` with one every 200 steps; both None, with the
        `reason`, where it is not installed or does not start.
    """
    figures: dict[str, Any] = {"steps_per_s": None, "steps_per_s_with_resets": None}
    if importlib.util.find_spec("craftium") is None:
        return figures | {"reason": "craftium is not installed; it is not on PyPI"}
    try:
        importlib.import_module("craftium")
        env = gymnasium.make(_CRAFTIUM_TASK, obs_width=size[0], obs_height=size[1])
        try:
            for name, episode in (("steps_per_s", n_steps), ("steps_per_s_with_resets", 200)):
                env.reset()
                began = time.monotonic()
                for t in range(1, n_steps + 1):
                    _, _, terminated, truncated, _ = env.step(env.action_space.sample())
                    if terminated or truncated or t % episode == 0:
                        env.reset()
                figures[name] = round(n_steps / (time.monotonic() - began), 2)
        finally:
            env.close()
    except Exception as err:  # whatever it raises is the reason
        return figures | {"reason": f"craftium failed: {err}"}
    return figures | {"task": _CRAFTIUM_TASK, "size": list(size)}


def run(argv: list[str]) -> dict[str, Any]:
    """Return all measurements, ready to be printed as JSON.

    Args:
        argv: Arguments: `--task NAME` (repeatable; all by default), `--steps N` (per speed measurement),
            `--determinism-steps N`, `--sizes` (several sizes, two instances, and an earlier commit),
            `--baseline COMMIT`, `--peer craftium`; `world=minerl` and `address=HOST:PORT` for another world, of which
            only the speed is measured.

    Raises:
        ConfigError: A setting is unknown.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench world", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--task", action="append", help="name of a task (repeatable; default: all)")
    parser.add_argument("--steps", type=int, default=400, help="steps per speed measurement")
    parser.add_argument("--determinism-steps", type=int, default=300)
    parser.add_argument(
        "--sizes", action="store_true", help="also smaller frames, two instances and the baseline"
    )
    parser.add_argument("--baseline", default=BASELINE, help="commit to compare with in --sizes")
    parser.add_argument("--peer", choices=["craftium"], help="another world to compare with")
    parser.add_argument("settings", nargs="*", metavar="world=NAME, address=HOST:PORT")
    args = parser.parse_args(argv)
    settings = dict(text.partition("=")[::2] for text in args.settings)
    if unknown := [name for name in settings if name not in ("world", "address")]:
        raise ConfigError(f"bench world: unknown setting {unknown[0]!r}; available: world, address")
    world = settings.pop("world", "luanti")
    tasks = [get_task(name).name for name in args.task or TASKS]
    figures: dict[str, Any] = {
        task: measure_task(task, args.steps, args.determinism_steps)
        if world == "luanti"
        else measure_other(task, world, args.steps, **settings)
        for task in tasks
    }
    peer = f"real time (20 steps/s): {world} in lock-step, 640x360, one instance, slowest task"
    ratio: float | None = min(figures[task]["real_time"] for task in tasks)
    if args.sizes and world == "luanti":
        figures |= measure_sizes(tasks, args.steps, args.baseline)
        large = [figures["sizes"][task]["640x360"] for task in tasks]
        peer = f"commit {args.baseline} in the same run: 640x360, one instance, slowest gain"
        missing = [one for one in large if one["ratio"] is None]
        ratio = None if missing else min(one["ratio"]["one"] for one in large)
        if missing:
            peer += f"; not measured: {missing[0]['baseline_failure'] or figures['baseline']}"
    if args.peer:
        size = SIZES[-1]
        other = figures[args.peer] = measure_craftium(size, args.steps)
        own = measure_speed(tasks[0], size, args.steps)["steps_per_s"]
        peer = f"{args.peer} at {size[0]}x{size[1]}, one instance, {tasks[0]}"
        ratio = other["steps_per_s"] and round(own / other["steps_per_s"], 2)
        if ratio is None:
            peer += f"; not measured: {other['reason']}"
    return {"name": "world", "figures": figures, "peer": peer, "ratio": ratio}
