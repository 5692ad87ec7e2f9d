"""Streamlit's index page with the app's style, and without the early load of its icons."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from eval_ui.style import STYLE
from eval_ui.whole_response import whole_response

LATE_ICONS = """
const load = document.fonts.load.bind(document.fonts);
document.fonts.load = (font, text) => font.includes("Material Symbols") ? Promise.resolve([]) : load(font, text);
"""
"""Script that keeps Streamlit from loading its icons before one is drawn: the font has 375 KB, and a rater's first pair
needs no icon."""

_ADDED = f"<script>{LATE_ICONS}</script>{STYLE}</body>".encode()
"""End of the page. The style is in the body: Streamlit puts its own into the head, and the later rule wins."""

_ROOT = b'<div id="root">'
"""Part of Streamlit's page, and of no other."""

_KEPT_BACK = (b"if-none-match", b"if-modified-since", b"range", b"accept-encoding")
"""Headers that Streamlit does not see. A browser may have kept a page with an older style, so it gets the whole page, and
nothing can be added to a compressed one."""


class StyledIndex:
    """Middleware: Streamlit's page comes with the style, so nothing is drawn, and no font loaded, before that applies."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        if not is_get or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self.app(scope, receive, send)
            return
        asked = [(name, value) for name, value in scope["headers"] if name not in _KEPT_BACK]
        start, page = await whole_response(self.app, {**scope, "headers": asked}, receive)
        headers = MutableHeaders(raw=list(start["headers"]))
        if _ROOT in page:
            page = page.replace(b"</body>", _ADDED, 1)
            headers["Content-Length"] = str(len(page))
            for name in ("ETag", "Last-Modified"):
                del headers[name]
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": page})
