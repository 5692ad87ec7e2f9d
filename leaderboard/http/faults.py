"""What HTTP says when the server is at fault, and how it words a malformed request."""

import json
import logging
from typing import Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basalt.io.errors import BusyError, WriteError
from leaderboard.store.database import StoreError

RETRY_SECONDS = 10
"""Seconds after which a client may send the same request again."""

FAULTS = (
    OperationalError,
    InterfaceError,
    NoConnectionError,
    OSError,
    StoreError,
    WriteError,
    BusyError,
)
"""Faults of the database, the disk or a lock."""

_log = logging.getLogger(__name__)


class ServerFaults:
    """Responds with 503 and `Retry-After` where the database, the disk or a lock failed, instead of 500.

    Nothing of the request was stored, so the same request can be sent again. The log has one line about each fault.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        started = scope["type"] != "http"

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting if not started else send)
        except FAULTS as err:
            if started:
                raise
            await unavailable(err)(scope, receive, send)


def unavailable(err: Exception) -> Response:
    """The response to a fault of the database, the disk or a lock.

    Args:
        err: The fault. The log names it; the response does not, since it may name files and addresses.
    """
    # SQLAlchemy's own text has the statement and its values, which are the raters' answers.
    reason = str(err.orig if isinstance(err, DBAPIError) else err).partition("\n")[0]
    _log.error("503: %s: %s", type(err).__name__, reason)
    detail = (
        f"the leaderboard cannot be reached now; send the same request again in {RETRY_SECONDS} s"
    )
    return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_SECONDS)})


async def malformed(request: Request, err: Exception) -> Response:
    """The response to a request that is not as described: where, and what was expected.

    FastAPI's own would repeat the value, which may be a password, or something that JSON cannot hold.
    """
    assert isinstance(err, RequestValidationError)
    faults = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in err.errors()]
    return _ASCII({"detail": faults}, 422)


class _ASCII(JSONResponse):
    """JSON in ASCII: names of fields come from the request, and may be no Unicode text."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")
