"""Videos by range requests, and a limit on the size of request bodies.

Headers say nothing that a video's link does not. The time of a file's change would group the videos of a submission,
and a tag of its content would name an episode each time it is shown.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Any

from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.store.database import Store
from leaderboard.studies.access import AccessDeniedError

MAX_BODY = 256 * 1024
"""Maximum size of a request body in bytes; larger ones are refused without reading them."""

_CHUNK = 256 * 1024
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}


class _VideoFile(FileResponse):
    """A file without its time of change."""

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        self.headers.setdefault("content-length", str(stat_result.st_size))

    def _should_use_range(self, http_if_range: str) -> bool:
        return http_if_range == self.headers["etag"]


def video_response(
    store: Store, ticket: str, name: str, wanted: str | None, *, head: bool = False
) -> Response:
    """A video of the media folder, whole or the requested range.

    Args:
        store: Leaderboard.
        ticket: Last part of the video's link; the entity tag is made from it.
        name: Name from `leaderboard.http.video_urls.video_of_ticket`.
        wanted: `Range` header of the request.
        head: Whether only the headers are asked for.

    Raises:
        AccessDeniedError: The file is missing.
    """
    if store.remote is None:
        path = store.media / name
        if not path.is_file():
            raise AccessDeniedError("the video is missing from the media folder")
        return _VideoFile(path, media_type="video/mp4", headers=_HEADERS | _tag(ticket))
    return _remote(store, ticket, name, wanted, head)


def _tag(ticket: str) -> dict[str, str]:
    """The header with a link's entity tag, by which browsers resume a download."""
    return {"ETag": f'"{hashlib.sha256(ticket.encode()).hexdigest()[:32]}"'}


def _remote(store: Store, ticket: str, name: str, wanted: str | None, head: bool) -> Response:
    """A video from an object store; only the requested bytes are fetched."""
    assert store.remote is not None
    try:
        file = store.remote.open(name)
    except FileNotFoundError as err:
        raise AccessDeniedError("the video is missing from the media folder") from err
    size = int(file.size)
    headers = _HEADERS | _tag(ticket) | {"Accept-Ranges": "bytes"}
    bounds = _range(wanted, size)
    if bounds is None:
        file.close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = bounds
    headers["Content-Length"] = str(stop - start)
    status = 200
    if wanted:
        status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{size}"
    if head:
        file.close()
        return Response(None, status, headers, "video/mp4")
    return StreamingResponse(_read(file, start, stop), status, headers, "video/mp4")


def _range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the byte after the last; all bytes without a header; None if not satisfiable."""
    if not wanted:
        return 0, size
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.strip()[:100])
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return (start, stop) if start < stop else None


def _read(file: Any, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(_CHUNK, stop - start))):
            start += len(chunk)
            yield chunk


class BodyLimit:
    """Refuses bodies larger than `MAX_BODY`, whatever their header says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request's body up to the limit and pass it on, or respond with 413."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                detail = {"detail": f"expected a body of at most {MAX_BODY} bytes"}
                await JSONResponse(detail, 413)(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)
