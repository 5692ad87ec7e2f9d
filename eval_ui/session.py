"""Who uses the browser: a rater, known by a secret in a cookie, and perhaps an admin, by another cookie.

Scripts in the browser cannot read either cookie (`HttpOnly`), and both go to this site alone. Streamlit's
scripts read them from the connection; only HTTP responses set them: `RaterCookie` for raters,
`eval_ui.login.routes` for admins.
"""

from typing import Any

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eval_ui.store_access import the_store
from leaderboard.http.limits import JOINS_PER_MINUTE, network_of
from leaderboard.judging.raters import is_rater_secret, join, new_rater_secret
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    admin_of_email,
    admin_of_session,
    throttle,
)
from leaderboard.studies.rules import StudyInfo, list_studies
from leaderboard.studies.settings import get_settings

RATER_COOKIE = "basalt_rater"
ADMIN_COOKIE = "basalt_admin"

RATER_DAYS = 180
"""Days for which a browser stays the same rater after the cookie was last renewed."""


def browser_cookie(name: str) -> str | None:
    """A cookie of the browser behind the running script."""
    return st.context.cookies.get(name)


def rater_secret() -> str:
    """The secret of this browser: its cookie, or, without one that the app made, that of this page's session."""
    kept = browser_cookie(RATER_COOKIE)
    if kept and is_rater_secret(the_store(), kept):
        return kept
    if "rater_secret" not in st.session_state:
        st.session_state["rater_secret"] = new_rater_secret(the_store())
    return st.session_state["rater_secret"]


def join_here(study: StudyInfo, **options: Any) -> str:
    """Let the person at this browser join a study; returns the rater's id.

    Args:
        study: Study to join.
        options: Further arguments of `leaderboard.judging.raters.join`.

    Raises:
        TooManyRequestsError: Too many raters joined from its address.
        AccessDeniedError: The person may not join.
    """
    address = st.context.ip_address
    if isinstance(address, str):  # None: of this machine
        throttle("joins", network_of(address), JOINS_PER_MINUTE)
    return join(the_store(), study, rater_secret(), **options)


def admin_secret() -> str | None:
    """The secret of this browser's admin session, if it has one."""
    return browser_cookie(ADMIN_COOKIE)


def current_admin() -> AdminIdentity | None:
    """The admin who is logged in, by password or OIDC; None for everybody else."""
    store = the_store()
    try:
        return admin_of_session(store, admin_secret())
    except AccessDeniedError:
        pass
    if not getattr(st.user, "is_logged_in", False):
        return None
    try:
        verified = str(st.user.get("email_verified")).lower() == "true"
        return admin_of_email(store, str(st.user.get("email") or ""), verified=verified)
    except AccessDeniedError:
        return None


def may_see_results(study: StudyInfo) -> bool:
    """Whether this browser may see ratings, episodes and players' names of a study."""
    return get_settings(the_store(), study).raters_see_results or current_admin() is not None


def may_see_agents(store: Store) -> bool:
    """Whether this browser may see how agents came about and what is inside them: the pages Probes and Loops.

    They show agents at play, which a rater of a blind study could recognise: while any study hides its results,
    only admins see them.
    """
    shown = (get_settings(store, study).raters_see_results for study in list_studies(store))
    return all(shown) or current_admin() is not None


class RaterCookie:
    """Middleware that gives a browser a rater cookie, unless it has one that the app made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the response to a new browser's page request sets the cookie."""
        given = await self._for_new_browser(scope) if scope["type"] == "http" else None
        if given is None:
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "Set-Cookie",
                    cookie(scope, RATER_COOKIE, given, RATER_DAYS * 86_400),
                )
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    @staticmethod
    async def _for_new_browser(scope: Scope) -> str | None:
        """A secret for a browser that asks for a page and has none from this app."""
        request = Request(scope)
        if "text/html" not in request.headers.get("accept", ""):
            return None

        def made() -> str | None:
            store, kept = the_store(), request.cookies.get(RATER_COOKIE)
            return None if kept and is_rater_secret(store, kept) else new_rater_secret(store)

        return await run_in_threadpool(made)


def cookie(scope: Scope, name: str, value: str, seconds: int) -> str:
    """Value of a `Set-Cookie` header; over HTTPS the cookie is marked `Secure`."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
