"""Logging in as an admin: the addresses that set the session's cookie, and the link of a local start."""

import hmac
import json
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from eval_ui.session import ADMIN_COOKIE, cookie
from eval_ui.store_access import the_store
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    SESSION_HOURS,
    AccessDeniedError,
    TooManyRequestsError,
    add_admin,
    log_in,
    log_out,
)

LOGIN_PATH = "/session/login"
LOGOUT_PATH = "/session/logout"
ENTER_PATH = "/session/enter"

LOCAL_ADMIN = "local"
"""The account behind the link that a start on this machine prints; its password is known to nobody."""

MOST_BYTES = 4_000
"""Of a login; more is not read."""


class OneTimeKey:
    """The key in the link: good once, and only in the process that printed it."""

    def __init__(self) -> None:
        self._key: str | None = None

    def new(self) -> str:
        """A new key; the one before is void."""
        self._key = secrets.token_urlsafe(24)
        return self._key

    def use(self, key: str) -> bool:
        """Whether this is the key; it is then used up."""
        if self._key is None or not hmac.compare_digest(self._key.encode(), key.encode()):
            return False
        self._key = None
        return True


ONE_TIME_KEY = OneTimeKey()


def local_session(store: Store) -> str:
    """The secret of a new admin session of whoever started the app on this machine."""
    password = secrets.token_urlsafe(32)
    add_admin(store, LOCAL_ADMIN, password=password)
    return log_in(store, LOCAL_ADMIN, password)


async def enter(request: Request) -> Response:
    """The printed link: the browser that opens it first is the admin's."""
    if not ONE_TIME_KEY.use(request.path_params["key"]):
        return PlainTextResponse(
            "This link was used before or is of an earlier start. Start basalt ui again for another.",
            status_code=403,
        )
    secret = await run_in_threadpool(local_session, the_store())
    return _with_session(request, RedirectResponse("/", status_code=303), secret)


async def login(request: Request) -> Response:
    """Name and password as JSON, which no other site's form can send."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return JSONResponse({"detail": "send JSON"}, status_code=415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return JSONResponse({"detail": "too long"}, status_code=413)
    try:
        name, password = _credentials(body)
        secret = await run_in_threadpool(log_in, the_store(), name, password)
    except ValueError:
        return JSONResponse({"detail": "name and password, please"}, status_code=422)
    except AccessDeniedError as err:
        return JSONResponse({"detail": str(err)}, status_code=403)
    except TooManyRequestsError as err:
        return JSONResponse({"detail": str(err)}, status_code=429)
    return _with_session(request, Response(status_code=204), secret)


async def logout(request: Request) -> Response:
    """End the session here and in the store."""
    if secret := request.cookies.get(ADMIN_COOKIE):
        await run_in_threadpool(log_out, the_store(), secret)
    answer = Response(status_code=204)
    answer.headers.append("Set-Cookie", cookie(request.scope, ADMIN_COOKIE, "", 0))
    return answer


ROUTES = [
    Route(LOGIN_PATH, login, methods=["POST"]),
    Route(LOGOUT_PATH, logout, methods=["POST"]),
    Route(f"{ENTER_PATH}/{{key}}", enter),
]


def _credentials(body: bytes) -> tuple[str, str]:
    sent = json.loads(body)
    if not isinstance(sent, dict):
        raise ValueError("not an object")
    name, password = sent.get("name"), sent.get("password")
    if not isinstance(name, str) or not isinstance(password, str):
        raise ValueError("name or password is missing")
    return name, password


def _with_session(request: Request, answer: Response, secret: str) -> Response:
    answer.headers.append(
        "Set-Cookie", cookie(request.scope, ADMIN_COOKIE, secret, SESSION_HOURS * 3600)
    )
    return answer
