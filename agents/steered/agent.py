"""Plays a policy while one latent of a sparse autoencoder is clamped, scaled or shifted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.common.registry import make_agent
from basalt.core.recording import PlayerKind
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.points import patch
from basalt.probes.steering import read_steering


class SteeredAgent:
    """A policy agent (one with an attribute `policy`) whose policy is steered while it plays.

    Args:
        checkpoint: Folder of the run to play, or one of its checkpoints.
        steer: [site, latent, value], and optionally a mode; see `basalt.probes.steering`.
        sae: Folder of the autoencoder that has the latent, SUITE/saes/SITE/NAME.
        along: `latent`, or `random` for the control: as far along a random direction.
        player: Name and settings of the agent to steer.

    Raises:
        ConfigError: The agent has no policy, or the steering does not fit the policy.
    """

    name = "steered"
    kind: PlayerKind = "agent"

    def __init__(
        self,
        checkpoint: str | Path | None,
        steer: Sequence[Any],
        sae: str | Path,
        along: Literal["latent", "random"] = "latent",
        player: Mapping[str, Any] | None = None,
    ) -> None:
        self._player = make_agent(**{"name": "bc", "checkpoint": checkpoint, **(player or {})})
        policy = getattr(self._player, "policy", None)
        if not isinstance(policy, VPTPolicy):
            raise ConfigError(f"agent: {self._player.name!r} has no policy to steer; give another")
        steering = read_steering(steer, sae, policy, along)
        self.decides_esc: bool = getattr(self._player, "decides_esc", True)
        # For as long as the agent plays.
        self._steered = patch(policy, steering.hook_point, steering)
        self._steered.__enter__()

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`."""
        return self._player.act(pov, first)
