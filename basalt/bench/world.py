"""``basalt bench world``: speed and determinism of the Luanti world.

One step is 50 ms of game time, so 20 steps a second are real time. ``ratio`` is the multiple of real
time in deterministic lock-step at 640x360, one instance.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import Any

import gymnasium
import numpy as np

import basalt.worlds  # noqa: F401  (registers the tasks)
from basalt.errors import WorldError
from basalt.tasks import STEPS_PER_SECOND

SEED = 100_000
_START_S = 300.0


def random_actions(n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """``n`` steps of a player who wanders and looks around, and stops to dig and to place what it dug."""
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
            # Look first, then hold still: digging begins anew whenever another node is aimed at.
            camera = np.array([(aim - pitch) / (6 - k), turn]) if k < 6 else np.zeros(2)
            if kind == "wander" and k >= 6:
                camera = rng.normal(size=2)
            pitch = float(np.clip(pitch + camera[0], -89.5, 89.5))
            yield {**keys, "camera": camera.astype(np.float32)}
        t += length


def memory_mb(pid: int | None) -> float:
    """A process's proportional set size in MB; 0 where it is not told."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1e3
    return 0.0


def measure_speed(
    size: tuple[int, int], n_steps: int, barrier: Barrier | None = None
) -> dict[str, float]:
    """Steps per second of one instance, and where the time goes.

    Returns:
        ``steps_per_s``; ``memory_mb`` of game and X server (proportional set size, which shares what
        several processes use); per step in ms: ``wall``, ``cpu`` (game and environment), ``frame`` (the
        client's drawing), ``pixels`` (reading the picture), ``client_wait`` (until its packets and
        meshes are done), ``server_wait`` (the server's step), ``environment`` (input, telemetry,
        picture, hand-over); ``began`` and ``ended`` in monotonic seconds.
    """
    env = gymnasium.make("basalt/FindCave-v0", world="luanti", size=size)
    try:
        env.reset(seed=SEED)
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
        memory = memory_mb(world.engine.pid) + memory_mb(world.display.pid)
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
        **parts,
        "environment_ms": wall - sum(parts.values()),
        "began": began,
        "ended": ended,
    }


def _instance(size: tuple[int, int], n_steps: int, barrier: Barrier, results: Any) -> None:
    try:
        results.put(measure_speed(size, n_steps, barrier))
    except BaseException:
        barrier.abort()  # the other one need not wait
        raise


def _next_result(players: list[Any], results: Any) -> dict[str, float]:
    deadline = time.monotonic() + 2 * _START_S
    while not any(player.exitcode for player in players) and time.monotonic() < deadline:
        with contextlib.suppress(Empty):
            return results.get(timeout=1.0)
    raise WorldError("one of the two instances failed; its error is above")


def measure_two(size: tuple[int, int], n_steps: int) -> dict[str, float]:
    """Two instances at once, each in a process of its own.

    Raises:
        WorldError: one of them failed.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    players = [
        context.Process(target=_instance, args=(size, n_steps, barrier, results), daemon=True)
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


def measure_determinism(n_steps: int, runs: int = 3) -> dict[str, Any]:
    """Play the same random actions several times and compare with the first time.

    Returns:
        ``equal_steps``: share of steps with the same telemetry (position, look, health, inventory and
        all else); differences of pictures, of 255 (mean, and largest of a step); what was dug and placed.
    """
    states: list[list[Any]] = []
    first_pictures: list[np.ndarray] = []
    differences: list[float] = []
    last: Any = None
    for run_number in range(runs):
        env = gymnasium.make("basalt/FindCave-v0", world="luanti")
        try:
            env.reset(seed=SEED)
            states.append([])
            for t, action in enumerate(random_actions(n_steps, seed=1)):
                obs, _, terminated, truncated, info = env.step(action)
                last = info["telemetry"]
                states[-1].append(last.model_dump())
                if run_number == 0:
                    first_pictures.append(obs["pov"])
                elif t < len(first_pictures):
                    change = np.abs(obs["pov"].astype(np.int16) - first_pictures[t])
                    differences.append(float(change.mean()))
                if terminated or truncated:
                    break
        finally:
            env.close()
    # A run that ended at another step than the first one differs from there on.
    pairs = [pair for other in states[1:] for pair in itertools.zip_longest(states[0], other)]
    return {
        "runs": runs,
        "steps": len(states[0]),
        "equal_steps": sum(a == b for a, b in pairs) / len(pairs),
        "picture_difference_mean": statistics.fmean(differences),
        "picture_difference_max": max(differences),
        "dug_nodes": last.facts["dug_nodes"],
        "nodes_placed": last.facts["nodes_placed"],
    }


def run(argv: list[str]) -> dict[str, Any]:
    """All measurements, ready to be printed as JSON.

    Args:
        argv: ``--steps N`` (per speed measurement), ``--determinism-steps N``.
    """
    parser = argparse.ArgumentParser(prog="basalt bench world", description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="steps per speed measurement")
    parser.add_argument("--determinism-steps", type=int, default=300)
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    for size in ((640, 360), (160, 90)):
        one = measure_speed(size, args.steps)
        two = measure_two(size, args.steps)
        figures[f"{size[0]}x{size[1]}"] = {
            "real_time_one": round(one["steps_per_s"] / STEPS_PER_SECOND, 2),
            "real_time_two": round(two["steps_per_s"] / STEPS_PER_SECOND, 2),
            "one": {k: round(v, 2) for k, v in one.items() if k not in ("began", "ended")},
            "two": {k: round(v, 2) for k, v in two.items()},
        }
    figures["determinism"] = measure_determinism(args.determinism_steps)
    return {
        "name": "world",
        "figures": figures,
        "peer": "real time (20 steps/s): deterministic lock-step, 640x360, one instance",
        "ratio": figures["640x360"]["real_time_one"],
    }
