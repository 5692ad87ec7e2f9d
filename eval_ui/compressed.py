"""Scripts, styles and fonts of Streamlit, compressed once and then sent from memory."""

import gzip
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from eval_ui.whole_response import whole_response

_TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml")
_MIN_BYTES = 1_000


@dataclass(frozen=True)
class _File:
    """A compressed file.

    Attributes:
        version: ETag or date of the file that was compressed.
        body: Its bytes, compressed.
    """

    version: str
    body: bytes


class CompressedStatics:
    """Middleware: files below `/static/` are sent with gzip to browsers that take it.

    The names of these files change with their content, and there are few: each is compressed once and kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        takes = "gzip" in headers.get("accept-encoding", "") and "range" not in headers
        if scope["type"] != "http" or scope["method"] != "GET" or not takes or not scope["path"].startswith("/static/"):  # fmt: skip
            await self.app(scope, receive, send)
            return
        start, body = await whole_response(self.app, scope, receive)
        found = MutableHeaders(raw=list(start["headers"]))
        if self._is_worth_it(start["status"], found, len(body)):
            version = found.get("etag") or found.get("last-modified") or ""
            kept = self._kept.get(scope["path"])
            if kept is None or kept.version != version or not version:
                kept = _File(version, await run_in_threadpool(gzip.compress, body, 6))
                self._kept[scope["path"]] = kept
            body = kept.body
            found["Content-Encoding"] = "gzip"
            found["Content-Length"] = str(len(body))
            found.add_vary_header("Accept-Encoding")
            if etag := found.get("etag"):
                found["ETag"] = f"W/{etag.removeprefix('W/')}"
        await send({**start, "headers": found.raw})
        await send({"type": "http.response.body", "body": body})

    @staticmethod
    def _is_worth_it(status: int, headers: MutableHeaders, size: int) -> bool:
        return (
            status == 200
            and size >= _MIN_BYTES
            and "content-encoding" not in headers
            and headers.get("content-type", "").startswith(_TYPES)
        )
