"""Addresses to serve on, and those in the headers of requests."""

import socket
from urllib.parse import urlsplit

from basalt.io.errors import ConfigError

MAX_PORT = 65_535
_DEFAULT_PORTS = {"http": 80, "https": 443}


def require_free(address: str, port: int) -> None:
    """Check that a server can listen on an address and port.

    Raises:
        ConfigError: The address is not one of this machine, or the port is taken or not valid.
    """
    if not 0 <= port <= MAX_PORT:  # getaddrinfo would take 70000 for 4464
        raise ConfigError(
            f"--port: cannot serve on port {port} of {address} (expected 0 to {MAX_PORT}); choose another with --port"
        )
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: a port that was in use a moment ago counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, UnicodeError) as err:  # UnicodeError: a name with an empty or very long part
        raise ConfigError(
            f"--port: cannot serve on port {port} of {address} ({err}); choose another with --port"
        ) from err


def host_name(host: str) -> str:
    """Name or number in a `Host` header, without its port; empty if the header is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def same_origin(origin: str, host: str) -> bool:
    """Whether a page may speak to the server that it came from.

    Browsers send the origin of the page with each socket that it opens, and pages cannot change it.

    Args:
        origin: `Origin` header: scheme, name and port of the page.
        host: `Host` header: name and port of the server as the browser knows it.
    """
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        port = _DEFAULT_PORTS[page.scheme]
        ours = (server.hostname, server.port or port)
        return page.hostname is not None and (page.hostname, page.port or port) == ours
    except (KeyError, ValueError):
        return False
