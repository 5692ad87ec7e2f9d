"""Limits for strangers: requests by address, and passwords that are checked at a time."""

import asyncio
import ipaddress
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from leaderboard.store.database import Store
from leaderboard.studies.access import (
    LOGINS_PER_MINUTE,
    TooManyRequestsError,
    admin_of_password,
    start_session,
    throttle,
)

REQUESTS_PER_MINUTE = 600
"""Maximum number of requests by one rater or admin, and of those from one address with no valid secret."""

ADDRESS_REQUESTS_PER_MINUTE = 6_000
"""Maximum number of requests from one address, counted before anything of a request is read."""

JOINS_PER_MINUTE = 60
"""Maximum number of new raters from one address."""

LOGINS_AT_ONCE = 2
"""Number of passwords that are checked at the same time, of 64 MiB each; further logins wait for their turn."""

_passwords = ThreadPoolExecutor(LOGINS_AT_ONCE, thread_name_prefix="passwords")
_POLICY_VIOLATION = 1008


def network_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, or the /64 network of an IPv6 one, which one household has."""
    try:
        host = ipaddress.ip_address(address)
    except ValueError:  # of a socket without an address
        return address[:100]
    if isinstance(host, ipaddress.IPv4Address):
        return str(host)
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return str(ipaddress.ip_network((int(host), 64), strict=False))


def address_of(scope: Scope) -> str:
    """The address that a request is counted for; that of the last proxy unless `basalt ui --proxy` names the proxy."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


class AddressLimit:
    """Counts requests by address, and refuses those beyond the limit with 429 before they are read.

    Args:
        app: Application behind the limit.
        per_minute: Maximum number of requests per minute from one address.
        uncounted: Beginnings of paths that are not counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        per_minute: int = ADDRESS_REQUESTS_PER_MINUTE,
        uncounted: Collection[str] = (),
    ) -> None:
        self.app = app
        self._per_minute = per_minute
        self._uncounted = tuple(uncounted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] in ("http", "websocket") and not scope["path"].startswith(self._uncounted):
            try:
                throttle("requests from one address", address_of(scope), self._per_minute)
            except TooManyRequestsError as err:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                else:
                    await too_many(err)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def too_many(err: TooManyRequestsError) -> JSONResponse:
    """The response to a request beyond a limit."""
    return JSONResponse({"detail": str(err)}, 429, {"Retry-After": "60"})


async def log_in_from(store: Store, name: str, password: str, address: str) -> str:
    """`leaderboard.studies.access.log_in` for the network: few passwords are checked at a time, the others wait.

    Waiting logins hold no thread, so other requests are answered meanwhile.

    Raises:
        AccessDeniedError: The name or the password is wrong.
        TooManyRequestsError: There were too many attempts from this address.
    """
    throttle("login", address, LOGINS_PER_MINUTE)

    def checked() -> str:
        return start_session(store, admin_of_password(store, name, password))

    return await asyncio.get_running_loop().run_in_executor(_passwords, checked)
