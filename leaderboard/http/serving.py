"""How Uvicorn serves to strangers: requests must arrive in time, and only known proxies are believed."""

import asyncio
import ipaddress
import os
from collections.abc import Sequence

import h11
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.h11_impl import H11Protocol

from basalt.io.errors import ConfigError

REQUEST_SECONDS = 20
"""Maximum time in seconds in which a request, headers and body, must arrive."""

_TRUSTED = "FORWARDED_ALLOW_IPS"


def prepare_uvicorn(proxies: Sequence[str]) -> None:
    """Set up this process before it runs Uvicorn, be it by Streamlit, which passes no settings on.

    Args:
        proxies: IP addresses or networks of proxies, whose `X-Forwarded-For` and `X-Forwarded-Proto` are
            believed. Without any, those of `$FORWARDED_ALLOW_IPS` are; Uvicorn's own default is this machine,
            from where a proxy may pass on what a visitor made up.

    Raises:
        ConfigError: A proxy is neither an address nor a network.
    """
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as err:
            raise ConfigError(
                f"--proxy: expected an IP address or network such as 10.0.0.0/8, got {proxy!r}"
            ) from err
    if proxies:
        os.environ[_TRUSTED] = ",".join(proxies)
    os.environ.setdefault(_TRUSTED, "")
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{PromptRequests.__name__}"


class PromptRequests(H11Protocol):
    """Uvicorn's protocol, which closes a connection whose request has not arrived after `REQUEST_SECONDS`.

    WebSockets are left alone.

    Uvicorn limits the time between two requests, but neither that of a request's headers nor that of its body.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; the time starts with a request's first byte."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        arriving = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        # Once it is a WebSocket, the connection has another protocol, and stays open.
        ours = self.transport.get_protocol() is self
        if not (arriving and ours) or self.transport.is_closing():
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self.transport.close()
