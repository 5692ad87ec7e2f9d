"""An agent whose episodes are ended by a stopping head (`basalt train agent=ending`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import null_action
from basalt.core.agent import Agent
from basalt.core.recording import PlayerKind
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device
from basalt.policies.ending import EndingInputs, StopFilter, open_ending
from basalt.policies.preprocess import resize_frames


class StoppingAgent:
    """Plays as another agent does, and presses ESC when a stopping head says that the task is done.

    Args:
        player: Agent that plays. It must not press ESC itself.
        stop: Run of `basalt train agent=ending`, or one of its checkpoints.
        device: Device of the stopping head: `auto`, `cpu`, `cuda`...

    Attributes:
        player: The agent that plays.

    Raises:
        ConfigError: The player decides itself when to press ESC, or the run cannot be used.
    """

    decides_esc = True

    def __init__(self, player: Agent, stop: str | Path, device: str = "auto") -> None:
        if getattr(player, "decides_esc", True):
            raise ConfigError(
                f"agent.stop: expected an agent that never presses ESC (`decides_esc = False`), got {player.name!r}, "
                "which decides itself when to end; leave agent.stop out"
                + ("; or give agent.esc=never" if hasattr(player, "esc") else "")
            )
        self.player = player
        self.name: str = player.name
        self.kind: PlayerKind = player.kind
        if hasattr(player, "observe"):  # a player that sees what the world reports
            self.observe = player.observe
        self._net, self._rule = open_ending(stop, choose_device(device))
        self._inputs = EndingInputs(self._net)
        self._filters: list[StopFilter] = []

    @property
    def policy(self) -> Any:
        """The player's policy, for what reads or changes it.

        Raises:
            AttributeError: The player has no policy.
        """
        return self.player.policy  # type: ignore[attr-defined]

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`."""
        actions = list(self.player.act(pov, first))
        rows = len(pov)
        self._filters = self._filters[:rows]
        self._filters += [StopFilter(self._rule) for _ in range(rows - len(self._filters))]
        frames = resize_frames(pov, self._net.config.frame_size)
        inputs = self._inputs.of(frames[:, None], np.asarray(first, dtype=bool)[:, None])
        done, screens = self._net.log_odds(inputs[:, 0])
        for row in range(rows):
            if first[row]:
                self._filters[row] = StopFilter(self._rule)
            if self._filters[row].stops(float(done[row]), bool(screens[row])):
                actions[row] = null_action() | {"ESC": 1}
        return actions
