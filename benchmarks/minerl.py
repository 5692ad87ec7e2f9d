"""`basalt bench minerl`: speed of the client of MineRL's protocol, with a stand-in for Minecraft.

The stand-in sends a prepared frame at once, so the client is measured: the connection, the flip of the frame,
telemetry and the checks of a Gymnasium step. The result that counts has client and stand-in on one core together.
"""

import argparse
import multiprocessing
import os
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import FRAME_SIZE
from basalt.core.tasks import get_task
from basalt.io.errors import WorldError
from basalt.worlds.minerl.env import MinerlEnv
from benchmarks.world import random_actions
from tools.minerl_server import Game, Server

TARGET = 400.0
"""Steps per second on one core at 640x360 from which on Minecraft is the limit, not the client."""


class StillGame(Game):
    """Prepared frames of noise, and the little that Minecraft reports."""

    def begin(
        self, task: str, seed: int | None, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """See `Game`."""
        rng = np.random.default_rng(seed)
        shape = (size[1], size[0], 3)
        # Upside down in memory, so that the server sends them without copying.
        self._frames = [rng.integers(0, 256, shape, dtype=np.uint8)[::-1] for _ in range(4)]
        self._steps = 0
        return self._frames[0], {"isGuiOpen": False}

    def step(self, action: dict[str, Any]) -> tuple[NDArray[np.uint8], bool, dict[str, Any]]:
        """See `Game`."""
        self._steps += 1
        return self._frames[self._steps % 4], False, {"isGuiOpen": False}

    def close(self) -> None:
        """See `Game`."""


def _serve(port: Pipe, core: int | None) -> None:
    _stay_on(core)
    server = Server(StillGame())
    port.send(server.port)
    server.serve()


def _stay_on(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})


def measure(n_steps: int, *, one_core: bool) -> dict[str, float]:
    """Return the steps per second, and the client's processor time per step in ms.

    Args:
        n_steps: Number of steps to measure, after 50 to warm up.
        one_core: Whether to keep client and stand-in on the same core, where the system can.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    core = min(cores) if one_core and cores else None
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    standin = context.Process(target=_serve, args=(theirs, core), daemon=True)
    standin.start()
    env: MinerlEnv | None = None
    try:
        if not ours.poll(60):
            raise WorldError("the stand-in for Minecraft did not start")
        env = MinerlEnv(get_task("find_cave"), size=FRAME_SIZE, address=f"127.0.0.1:{ours.recv()}")
        _stay_on(core)
        env.reset(seed=100_000)
        actions = list(random_actions(n_steps + 50))
        for action in actions[:50]:
            env.step(action)
        began, cpu = time.perf_counter(), time.process_time()
        for action in actions[50:]:
            env.step(action)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    finally:
        if env is not None:
            env.close()
        standin.kill()
        standin.join()
        if core is not None:
            os.sched_setaffinity(0, cores)
    return {
        "steps_per_s": round(n_steps / wall, 1),
        "client_cpu_ms": round(cpu * 1e3 / n_steps, 3),
        "client_steps_per_cpu_s": round(n_steps / cpu, 1),
    }


def run(argv: list[str]) -> dict[str, Any]:
    """Return all measurements, ready to be printed as JSON.

    Args:
        argv: Arguments: `--steps N`, at most the task's limit minus the steps to warm up.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench minerl", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--steps", type=int, default=2000, help="steps per measurement")
    steps = min(parser.parse_args(argv).steps, get_task("find_cave").step_limit - 50)
    figures = {
        "client_and_standin_on_one_core": measure(steps, one_core=True),
        "client_and_standin_on_all_cores": measure(steps, one_core=False),
    }
    return {
        "name": "minerl",
        "figures": figures,
        "peer": f"target: {TARGET:g} steps/s at 640x360, client and stand-in on one core",
        "ratio": round(figures["client_and_standin_on_one_core"]["steps_per_s"] / TARGET, 2),
    }
