"""Requests with a JSON body from pages of this app: read up to a size, and no others."""

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response


async def read_json(request: Request, most_bytes: int) -> bytes | Response:
    """The body of a request, or the response that refuses it.

    Args:
        request: Request with a JSON body; forms of other sites cannot send that.
        most_bytes: Maximum size of the body.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        return JSONResponse({"detail": "expected JSON"}, status_code=415)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                return JSONResponse({"detail": "request too long"}, status_code=413)
    except ClientDisconnect:  # half-sent; nobody reads this response
        return Response(status_code=400)
    return body


def is_from_this_site(request: Request) -> bool:
    """Whether no page of another site sent a request; browsers say which site did, other programs need not."""
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
