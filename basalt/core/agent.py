"""The contract of an agent: frames in, actions out, one row per episode.

Frames go to the agent, telemetry to the referee. Only a player of a privileged kind sees telemetry
(`PRIVILEGED_KINDS`): its recordings carry that kind wherever they are shown, so it cannot be mistaken for an
agent that plays from frames.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from basalt.core.recorder_lines import Label
from basalt.core.recording import PlayerKind
from basalt.core.world import Info
from basalt.io.errors import ConfigError

PRIVILEGED_KINDS: tuple[PlayerKind, ...] = ("scripted", "human")
"""Kinds of player that may see telemetry: scripted demonstrators, and people (whose screen shows the step)."""


class PlayerLeft(Exception):  # noqa: N818  (not an error: people may leave)
    """Raised by `act` when a player leaves for good; what was played is kept, with `ended` = `cut`."""


@runtime_checkable
class Agent(Protocol):
    """A player that sees frames only.

    The contract is batched: `act` gets the current frame of each of B episodes, in the same order at every
    call. `basalt rollout` plays one episode at a time (B = 1); vectorized environments pass more. Row b of
    the result depends only on row b of the frames since its last `first`, except that rows may share a random
    generator. `basalt.testing.check_agent` checks this.

    An agent that never presses ESC says so by an attribute `decides_esc = False`; only then can a stopping head
    (`agent.stop=RUN`) end its episodes.

    Attributes:
        name: Name in recordings and on the leaderboard.
        kind: Label of the recordings: `agent` for everything that learns, `random`, `scripted` or `human`.
    """

    name: str
    kind: PlayerKind

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """Choose one action per episode.

        Args:
            pov: Current frames, uint8 [B, 360, 640, 3], RGB.
            first: True where an episode has just begun, bool [B]; forget that row's past.

        Returns:
            B action dictionaries; missing keys count as not pressed (`basalt.core.actions.validate_action`).

        Raises:
            AgentError: An agent in another process was lost; its episodes have crashed.
        """
        ...


@runtime_checkable
class PrivilegedAgent(Agent, Protocol):
    """A player that also sees what the world reports to the referee.

    `observe` is called only if `kind` is one of `PRIVILEGED_KINDS`. A method of that name on any other agent
    is never called.
    """

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive the `info` of each episode's last reset or step; called before each call of `act`."""
        ...


@runtime_checkable
class Labeller(Protocol):
    """An expert that labels every state of an episode; `basalt.rollouts.rollout.rollout` records its answers.

    It sees the referee's telemetry, and its answers are never executed. So the player that is labelled may be an
    agent that sees frames only.

    Attributes:
        name: Name in the recordings.
    """

    name: str

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive the `info` of each episode's last reset or step; called before each call of `labels`."""
        ...

    def labels(self, pov: NDArray[np.uint8]) -> Sequence[Label]:
        """Return the label of each episode's present state.

        Args:
            pov: Current frames, uint8 [B, 360, 640, 3], RGB.
        """
        ...


def privileged(agent: Agent) -> PrivilegedAgent | None:
    """Return the agent if its declared kind lets it see telemetry and it wants to, otherwise None."""
    if agent.kind in PRIVILEGED_KINDS and isinstance(agent, PrivilegedAgent):
        return agent
    return None


def check_kind(agent: Agent) -> None:
    """Refuse an agent whose recordings could not be labelled.

    Raises:
        ConfigError: `kind` is missing or not one of the known kinds.
    """
    kind, known = getattr(agent, "kind", None), get_args(PlayerKind)
    if kind not in known:
        name = getattr(agent, "name", type(agent).__name__)
        raise ConfigError(
            f"agent {name}: expected kind to be one of {', '.join(known)}, got {kind!r}"
        )
