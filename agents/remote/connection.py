"""A WebSocket to a policy's server: every wait has a time limit, every answer a size limit.

The protocol part is the library's; the waiting is here, in the calling thread, so that a server that neither reads nor
answers, or answers byte by byte, is given up at the same moment as one that is silent.
"""

import ipaddress
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from basalt.io.errors import ActionError, AgentError, ConfigError
from basalt.io.untrusted import parse_json

MAX_ANSWER = 2**20
"""Largest answer in bytes. One action of all keys is some 400 bytes of JSON."""

TOKEN = "BASALT_AGENT_TOKEN"
"""Environment variable with a secret that is sent to the server as `Authorization: Bearer`. It is not a setting, since settings
are written into every recording's folder."""

_CHUNK = 2**16
"""Number of bytes that are sent or received at once."""

_GLANCE_S = 0.001
"""Time in seconds to look for what a server sent unasked."""


class Connection:
    """An open connection. After an error it is closed.

    Args:
        url: Address of the server, `ws://` on this machine or `wss://`.
        timeout_s: Longest time until it is open, in seconds.
        ca: File with the certificates that the server's is checked against; None for the system's.

    Raises:
        ConfigError: The address or the file of certificates is not valid.
        AgentError: No WebSocket server answers there in time.
    """

    def __init__(self, url: str, timeout_s: float, ca: str | None = None) -> None:
        self._url = url
        uri = _parse(url)
        context = _tls(ca) if uri.secure else None
        deadline = time.monotonic() + timeout_s
        self._answers: deque[bytes] = deque()
        self._partial = bytearray()
        self._protocol = ClientProtocol(uri, max_size=MAX_ANSWER)
        try:
            self._socket = socket.create_connection((uri.host, uri.port), timeout_s)
        except (
            OSError,
            UnicodeError,
        ) as err:  # UnicodeError: a host name with a part that is too long
            raise AgentError(f"{url}: no server answers ({err})") from err
        with self._closing_on_error(timeout_s):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=uri.host)
            request = self._protocol.connect()
            if token := os.environ.get(TOKEN):
                request.headers["Authorization"] = f"Bearer {token}"
            self._protocol.send_request(request)
            self._flush(deadline)
            while self._protocol.state is State.CONNECTING:
                self._read(deadline)

    def request(self, *messages: str | memoryview, timeout_s: float) -> Any:
        """Send messages and return the server's answer, parsed.

        Args:
            messages: A text is sent as a text message, bytes as a binary one.
            timeout_s: Longest time until the answer is complete, in seconds.

        Raises:
            AgentError: The connection was lost, or there is no answer in time.
            ActionError: The answer is not JSON, too large, or breaks the WebSocket protocol.
        """
        deadline = time.monotonic() + timeout_s
        with self._closing_on_error(timeout_s):
            self._refuse_failed()
            for message in messages:
                if isinstance(message, str):
                    self._protocol.send_text(message.encode())
                else:
                    self._protocol.send_binary(message)
                self._flush(deadline)
            while not self._answers:
                self._read(deadline)
            try:
                return parse_json(self._answers.popleft())
            except ValueError as err:
                raise ActionError(f"{self._url}: expected an answer in JSON ({err})") from err

    def is_open(self) -> bool:
        """Whether the connection still stands; answers the pings that came meanwhile."""
        with suppress(AgentError, ActionError), self._closing_on_error(_GLANCE_S):
            deadline = time.monotonic() + _GLANCE_S
            with suppress(TimeoutError):
                while self._protocol.state is State.OPEN:
                    self._read(deadline)
        return self._protocol.state is State.OPEN and self._socket.fileno() != -1

    def close(self) -> None:
        """End the connection without waiting for the server."""
        self._socket.close()

    @contextmanager
    def _closing_on_error(self, timeout_s: float) -> Iterator[None]:
        """Close the connection if the body fails; errors of the network become AgentErrors."""
        try:
            yield
        except BaseException as err:
            self.close()
            if isinstance(err, TimeoutError):
                raise AgentError(f"{self._url}: no answer within {timeout_s:g} s") from err
            if isinstance(err, OSError):
                raise AgentError(f"{self._url}: lost the connection ({err})") from err
            raise

    def _flush(self, deadline: float) -> None:
        for data in self._protocol.data_to_send():
            left = memoryview(data)
            while left:
                self._socket.settimeout(_time_left(deadline))
                left = left[self._socket.send(left[:_CHUNK]) :]

    def _read(self, deadline: float) -> None:
        """Receive some bytes, and put the messages that they complete among the answers."""
        self._socket.settimeout(_time_left(deadline))
        if data := self._socket.recv(_CHUNK):
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (
                Opcode.TEXT,
                Opcode.BINARY,
                Opcode.CONT,
            ):
                self._partial += event.data
                if event.fin:
                    self._answers.append(bytes(self._partial))
                    self._partial.clear()
        if not self._answers:  # an answer that came before a failure counts
            self._refuse_failed()
        self._flush(deadline)  # answers pings

    def _refuse_failed(self) -> None:
        protocol = self._protocol
        if (failure := protocol.handshake_exc) is not None:
            raise AgentError(f"{self._url}: no WebSocket server answers ({failure})")
        fault = protocol.parser_exc
        if fault is not None and not isinstance(fault, EOFError):
            limit = f"at most {MAX_ANSWER:,} bytes of WebSocket messages"
            raise ActionError(f"{self._url}: expected an answer of {limit}, got another ({fault})")
        if protocol.state in (State.CLOSING, State.CLOSED):
            close = protocol.close_rcvd
            why = "" if close is None else f" (code {close.code}: {close.reason!r})"
            raise AgentError(f"{self._url}: the server closed the connection{why}")


def _time_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _parse(url: str) -> WebSocketURI:
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError) as err:
        raise ConfigError(
            f"agent.url: expected ws://127.0.0.1:PORT or wss://HOST:PORT, got {url!r}"
        ) from err
    if uri.user_info:
        raise ConfigError(
            f"agent.url: expected no name and password, since rollout.json keeps the address; set ${TOKEN}"
        )
    if not uri.secure and not _is_loopback(uri.host):
        raise ConfigError(
            f"agent.url: expected wss:// for another machine, so that nobody in between reads or changes what is played, "
            f"got {url!r}; or forward a port of this machine to it (ssh -L)"
        )
    return uri


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as err:  # also of a file that holds no certificate
        raise ConfigError(
            f"agent.ca: expected a file of PEM certificates, got {ca} ({err})"
        ) from err
