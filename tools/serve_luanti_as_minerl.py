"""`python -m tools.serve_luanti_as_minerl`: the Luanti world for clients of MineRL's protocol."""

import argparse
import logging
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.cli import INTERRUPTED
from basalt.core.tasks import get_task
from basalt.core.telemetry import Telemetry
from basalt.worlds import make_env
from basalt.worlds.base import WorldEnv
from basalt.worlds.minerl.info import FULL_AIR
from basalt.worlds.minerl.protocol import DEFAULT_PORT
from tools.minerl_server import Game, Server


class LuantiGame(Game):
    """The Luanti world behind a server; it restarts when the task or the size changes."""

    def __init__(self) -> None:
        self._env: WorldEnv | None = None

    def begin(
        self, task: str, seed: int | None, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """See `Game`."""
        wanted = get_task(task)
        if self._env is not None and (self._env.task, self._env.size) != (wanted, size):
            self.close()
        if self._env is None:
            self._env = make_env(wanted.name, "luanti", size=size)
        observation, info = self._env.reset(seed=seed)
        return observation["pov"], self._info(info["telemetry"])

    def step(self, action: dict[str, Any]) -> tuple[NDArray[np.uint8], bool, dict[str, Any]]:
        """See `Game`. ESC does not end the episode: in MineRL the client does that."""
        assert self._env is not None
        observation, _, _, truncated, info = self._env.step({**action, "ESC": 0})
        telemetry = info["telemetry"]
        return observation["pov"], telemetry.dead or truncated, self._info(telemetry)

    def close(self) -> None:
        """End the game."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _info(self, state: Telemetry) -> dict[str, Any]:
        """Return the player's state in Minecraft's names and units, in which x points to the left of +z."""
        return {
            "servedWorld": self._env.get_wrapper_attr("version") if self._env else "",
            "isGuiOpen": state.gui_open,
            "XPos": -state.xpos,
            "YPos": state.ypos,
            "ZPos": state.zpos,
            "Yaw": state.yaw,
            "Pitch": state.pitch,
            "Life": state.health,
            "Air": state.breath * FULL_AIR / 10.0,
            "hotbar": state.hotbar,
            "inventory": [item.model_dump() for item in state.inventory],
            "equipped_items": {"mainhand": {"type": state.held or "air"}},
        }


def main(argv: list[str]) -> int:
    """Serve until interrupted, or until a client asks the server to exit."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.serve_luanti_as_minerl", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any free one")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    server = Server(LuantiGame(), options.host, options.port)
    print(f"listening on {options.host}:{server.port}", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
