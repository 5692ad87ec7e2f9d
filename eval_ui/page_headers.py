"""Headers of every page of the app, and which pages may open its socket."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basalt.io.addresses import same_origin
from eval_ui.index_page import LATE_ICONS

_POLICY_VIOLATION = 1008


class StrictPages:
    """Middleware: headers that keep other sites out, and a socket for the app's own pages alone.

    No page of another site may frame one of these, and nothing is loaded from another site: neither by a text of an
    admin or a rater, nor by Streamlit. Cookies are sent with requests of other ports and subdomains of the same host, so
    the socket asks where a page came from. Programs that are no browser send no `Origin`, and have nobody's cookies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            origins = headers.getlist("origin")
            if not all(same_origin(origin, headers.get("host", "")) for origin in origins):
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in page_headers().items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers)


@cache
def page_headers() -> dict[str, str]:
    """The headers of every response, by name."""
    policy = {
        "default-src": "'self'",
        # Elements of the app are modules that Streamlit makes on the page (blob:).
        "script-src": " ".join(["'self'", "blob:", *_inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "frame-src": "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Links of invites and videos hold secrets.
        "Referrer-Policy": "no-referrer",
    }


def _inline_scripts() -> list[str]:
    """Hashes of the scripts that are written into the page, by Streamlit and by the app."""
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return [
        f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'"
        for one in [*scripts, LATE_ICONS]
    ]
