"""HTTP routes of the admin login: they set the session cookie, also by the one-time link of `basalt ui`."""

import hmac
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from eval_ui.json_requests import is_from_this_site, read_json
from eval_ui.session import ADMIN_COOKIE, cookie
from eval_ui.store_access import the_store
from leaderboard.http.limits import address_of, log_in_from, too_many
from leaderboard.http.models import LoginRequest
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    SESSION_HOURS,
    AccessDeniedError,
    TooManyRequestsError,
    add_admin,
    log_out,
    start_session,
)

LOGIN_PATH = "/session/login"
LOGOUT_PATH = "/session/logout"
ENTER_PATH = "/session/enter"

LOCAL_ADMIN = "local"
"""Account behind the one-time link; its password is random and never shown."""

MOST_BYTES = 4_000
"""Maximum size of a login request in bytes."""


class OneTimeKey:
    """Key of the link: valid once, and only in the process that printed it."""

    def __init__(self) -> None:
        self._key: str | None = None

    def new(self) -> str:
        """Make a new key; the previous one becomes invalid."""
        self._key = secrets.token_urlsafe(24)
        return self._key

    def use(self, key: str) -> bool:
        """Whether this is the key, which is then used up."""
        if self._key is None or not hmac.compare_digest(self._key.encode(), key.encode()):
            return False
        self._key = None
        return True


ONE_TIME_KEY = OneTimeKey()


def local_session(store: Store) -> str:
    """Start an admin session for the person who started the app; returns its secret."""
    return start_session(store, add_admin(store, LOCAL_ADMIN, password=secrets.token_urlsafe(32)))


async def enter(request: Request) -> Response:
    """The one-time link: the first browser that opens it is logged in.

    A HEAD request, by which programs look at a link before a person opens it, does not use it up.
    """
    if request.method == "HEAD":
        return Response()
    if not ONE_TIME_KEY.use(request.path_params["key"]):
        return PlainTextResponse(
            "This link has expired or was used already. Restart `basalt ui` for a new one.",
            status_code=403,
        )
    secret = await run_in_threadpool(local_session, the_store())
    return _with_session(request, RedirectResponse("/", status_code=303), secret)


async def login(request: Request) -> Response:
    """Log in with name and password, sent as JSON since forms of other sites cannot send that."""
    body = await read_json(request, MOST_BYTES)
    if isinstance(body, Response):
        return body
    try:
        sent = LoginRequest.model_validate_json(body)
        address = address_of(request.scope)
        secret = await log_in_from(the_store(), sent.name, sent.password, address)
    except ValueError:
        return JSONResponse({"detail": "name and password are required"}, status_code=422)
    except AccessDeniedError as err:
        return JSONResponse({"detail": str(err)}, status_code=403)
    except TooManyRequestsError as err:
        return too_many(err)
    return _with_session(request, Response(status_code=204), secret)


async def logout(request: Request) -> Response:
    """End the session in the browser and in the store, if a page of this site asks for it."""
    if not is_from_this_site(request):
        return JSONResponse({"detail": "log out on the page itself"}, status_code=403)
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


def _with_session(request: Request, answer: Response, secret: str) -> Response:
    answer.headers.append(
        "Set-Cookie", cookie(request.scope, ADMIN_COOKIE, secret, SESSION_HOURS * 3600)
    )
    return answer
