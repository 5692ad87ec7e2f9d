"""A policy that plays from elsewhere: frames are sent to its server, which answers with actions.

The protocol, on a WebSocket without compression (docs/remote.md describes it for those who write a server):

1. The client sends the text message `{"protocol": 1}`. The server answers with
   `{"protocol": 1, "name": NAME}`, and may add `"version": TEXT` and `"decides_esc": false`.
2. For each step the client sends the text message `{"id": N, "shape": [B, H, W, 3], "first": [B booleans]}` and then a
   binary message: the frames, uint8 RGB, B*H*W*3 bytes. The server answers with
   `{"id": N, "actions": [B actions]}`.

What the server keeps of an episode belongs to its connection. A connection is one batch of episodes at a time.
"""

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.remote.connection import Connection
from basalt.core.actions import FrameSize, validate_action
from basalt.core.recording import PlayerKind
from basalt.io.errors import ActionError, AgentError, BasaltError, ConfigError
from basalt.policies.preprocess import resize_frames

PROTOCOL = 1

_RETRY_S = 0.2
"""Time in seconds between two attempts to connect."""

_MOST_TEXT = 300
"""Longest part of an answer that an error repeats, in characters."""

Seconds = Annotated[float, Field(gt=0, le=3600)]
Edge = Annotated[int, Field(ge=16, le=2048)]
Line = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
]
Number = bool | int | float


class _Hello(BaseModel):
    """What a server says of its policy."""

    model_config = ConfigDict(frozen=True, strict=True)

    protocol: int
    name: Line
    version: Line | None = None
    decides_esc: bool = True


class _Answer(BaseModel):
    """Actions of a batch. Their keys and ranges are checked as any agent's."""

    model_config = ConfigDict(strict=True)

    id: int
    actions: list[dict[str, Number | Annotated[list[Number], Field(max_length=2)]]]


class RemoteAgent:
    """Plays as a server says.

    The server is not trusted: its answers are bounded in time and size and checked, and nothing that it sends is executed.
    When it is lost or too slow in the middle of an episode, that episode has crashed; the next one connects again.

    Args:
        url: Address of the server: `ws://` on this machine, `wss://` (TLS) on another.
        size: Width and height that frames are resized to before they are sent, as in VPT's training; null for the world's.
        answer_timeout_s: Longest time for one answer, in seconds. Compiling a network may make the first one slow.
        connect_timeout_s: Longest time to wait for the server when connecting, in seconds.
        ca: File of PEM certificates that the server's is checked against, for one of your own; null for the system's.
        version: Version that the server must report, such as a hash of its weights; null for any. It is part of the agent's
            identity, so that an evaluation cannot be resumed with other weights.
        learns: Whether the policy was trained; evaluations of agents that learn need several training runs.
        training_seed: Seed of its training; null if it is unknown.

    Raises:
        ConfigError: A setting is not valid.
        AgentError: No server answers, or it is not one of this protocol or version.
    """

    kind: PlayerKind = "agent"

    def __init__(
        self,
        url: str,
        size: tuple[Edge, Edge] | None = None,
        answer_timeout_s: Seconds = 60,
        connect_timeout_s: Seconds = 10,
        ca: str | None = None,
        version: str | None = None,
        learns: bool = True,
        training_seed: int | None = None,
    ) -> None:
        if not learns and training_seed is not None:
            raise ConfigError("agent.training_seed: expected null with agent.learns=false")
        self._url, self._ca, self._version = url, ca, version
        self._size = None if size is None else FrameSize(*size)
        self._answer_timeout_s, self._connect_timeout_s = answer_timeout_s, connect_timeout_s
        self._hello: _Hello | None = None
        self._requests = 0
        self._connection: Connection | None = None
        hello = self._connect()
        self.name = hello.name
        self.decides_esc = hello.decides_esc

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[Mapping[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`.

        Raises:
            AgentError: The server was lost or is too slow, or cannot be reached again.
            ActionError: Its answer is not one action for each episode.
        """
        all_begin = bool(np.all(first))
        if self._connection is not None and all_begin and not self._connection.is_open():
            self._connection = None  # closed between episodes: nothing was lost
        if self._connection is None:
            if not all_begin:
                raise AgentError(
                    f"{self._url}: the connection was lost in the middle of an episode; begin all episodes again"
                )
            self._connect()
        assert self._connection is not None
        frames = np.ascontiguousarray(pov if self._size is None else resize_frames(pov, self._size))
        self._requests += 1
        head = {
            "id": self._requests,
            "shape": list(frames.shape),
            "first": np.asarray(first, bool).tolist(),
        }
        connection, self._connection = self._connection, None
        answer = connection.request(
            json.dumps(head), frames.reshape(-1).data, timeout_s=self._answer_timeout_s
        )
        try:
            actions = self._actions(answer, len(frames))
        except ActionError:
            connection.close()
            raise
        self._connection = connection  # only after an exchange that is complete
        return actions

    def _actions(self, answer: Any, rows: int) -> list[Mapping[str, Any]]:
        try:
            found = _Answer.model_validate(answer)
        except ValidationError as err:
            raise self._not_an_action(_fault(err)) from None
        if found.id != self._requests:
            raise self._not_an_action(
                f"expected the answer to request {self._requests}, got one to {found.id}"
            )
        if len(found.actions) != rows:
            raise self._not_an_action(f"expected {rows} actions, got {len(found.actions)}")
        try:
            return [validate_action(action) for action in found.actions]
        except (ActionError, ValueError, OverflowError) as err:
            raise self._not_an_action(str(err)) from None

    def _not_an_action(self, why: str) -> ActionError:
        return ActionError(f"{self._url}: {_shortened(why)}")

    def _connect(self) -> _Hello:
        """Connect, waiting for a server that is starting, and greet it."""
        deadline = time.monotonic() + self._connect_timeout_s
        while True:
            left = max(deadline - time.monotonic(), 0.001)
            try:
                connection = Connection(self._url, left, self._ca)
                break
            except AgentError as err:
                if time.monotonic() + _RETRY_S >= deadline:
                    raise AgentError(f"{err}; start it, or check agent.url") from err
                time.sleep(_RETRY_S)
        try:
            # A server may load its weights before it answers.
            greeting = json.dumps({"protocol": PROTOCOL})
            hello = self._greeted(connection.request(greeting, timeout_s=self._answer_timeout_s))
        except BasaltError as err:
            connection.close()
            raise AgentError(str(err)) from err
        self._hello, self._connection = hello, connection
        return hello

    def _greeted(self, answer: Any) -> _Hello:
        try:
            hello = _Hello.model_validate(answer)
        except ValidationError as err:
            raise AgentError(
                f"{self._url}: expected the greeting of an agent's server; {_shortened(_fault(err))}"
            ) from None
        if hello.protocol != PROTOCOL:
            raise AgentError(
                f"{self._url}: expected a server of protocol {PROTOCOL}, got {hello.protocol}; see docs/remote.md"
            )
        if self._version is not None and hello.version != self._version:
            raise AgentError(
                f"{self._url}: expected version {self._version!r} of the policy (agent.version), got {hello.version!r}"
            )
        if self._hello not in (None, hello):
            raise AgentError(
                f"{self._url}: the server came back as another policy ({hello.name!r}, version {hello.version!r})"
            )
        return hello


def _fault(err: ValidationError) -> str:
    fault = err.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}, got {fault['input']!r}"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
