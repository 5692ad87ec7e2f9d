"""A response as a whole, for middleware that changes its body."""

from starlette.types import ASGIApp, Message, Receive, Scope


async def whole_response(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """The start and the body of an application's response to an HTTP request."""
    start: Message = {}
    body = bytearray()

    async def collect(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, collect)
    return start, bytes(body)
