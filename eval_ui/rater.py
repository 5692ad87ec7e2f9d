"""Who judges: a browser session, known by a secret in a cookie. There is no login yet."""

import secrets

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RATER_COOKIE = "basalt_rater"


def rater_secret() -> str:
    """The secret of this browser session: its cookie, or where it keeps none, of this page's session."""
    if cookie := st.context.cookies.get(RATER_COOKIE):
        return cookie
    return st.session_state.setdefault("rater_secret", secrets.token_urlsafe(32))


class RaterCookie:
    """Gives a browser without one a secret of its own; it ends with the browser session."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a page's answer to a new browser carries the cookie."""
        if scope["type"] != "http" or not self._is_page_of_new_browser(scope):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                secret = secrets.token_urlsafe(32)
                MutableHeaders(scope=message).append(
                    "Set-Cookie", f"{RATER_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax"
                )
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    @staticmethod
    def _is_page_of_new_browser(scope: Scope) -> bool:
        request = Request(scope)
        return (
            "text/html" in request.headers.get("accept", "") and RATER_COOKIE not in request.cookies
        )
