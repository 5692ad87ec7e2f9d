"""The game as a web page: one WebSocket sends frames and receives keys and pointer movement.

A remote desktop would not do: VNC reports pointer positions, and a game needs relative movement, which a page
gets from the Pointer Lock API.

Access: the server listens on the loopback interface unless another address is given. The link's token opens
the page once. Everything else needs the page's cookie and this server's own Host and Origin. A second
browser is refused.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from importlib import resources
from typing import Annotated, Literal
from urllib.parse import urlsplit

import cv2
import numpy as np
from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from basalt.io.addresses import host_name, same_origin
from basalt.io.errors import ConfigError
from basalt.play.controls import BUTTON_OF_CODE, BUTTON_OF_MOUSE, Controls
from basalt.play.player import Status

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8300
"""Port if none is given and it is free, so that the command of a tunnel stays the same."""

HEARTBEAT_S = 16.0
"""Seconds between pings; a browser that does not answer within half of that counts as disconnected."""

SECOND_CLIENT = 4409
"""WebSocket close code for a second browser."""

_LARGEST_MESSAGE = 1024
_QUALITY = 88
_PAGES = {
    "play.js": "text/javascript",
    "play.css": "text/css",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


_Pixels = Annotated[float, Field(ge=-10_000, le=10_000)]


class _Key(_Message):
    kind: Literal["key"]
    code: str = Field(max_length=32)
    down: bool


class _MouseButton(_Message):
    kind: Literal["mouse"]
    button: int
    down: bool


class _Move(_Message):
    kind: Literal["move"]
    dx: _Pixels
    dy: _Pixels


class _Wheel(_Message):
    kind: Literal["wheel"]
    notches: Annotated[float, Field(ge=-100, le=100)]


class _Word(_Message):
    kind: Literal["play", "pause", "esc"]


_MESSAGES: TypeAdapter[_Key | _MouseButton | _Move | _Wheel | _Word] = TypeAdapter(
    Annotated[_Key | _MouseButton | _Move | _Wheel | _Word, Field(discriminator="kind")]
)


class BrowserScreen:
    """A web server, in its own thread, as a `basalt.play.player.Screen`.

    It is paused until a browser is connected and the player has clicked to play, and whenever the connection
    breaks or the pointer is released. The same browser may reconnect.

    Args:
        host: Address to listen on.
        port: Port to listen on; None for `DEFAULT_PORT`, or any free port if that is taken.
        title: Title of the task.
        instruction: Instruction of the task.

    Raises:
        ConfigError: The address is not available.
    """

    def __init__(
        self, host: str = DEFAULT_HOST, port: int | None = None, *, title: str, instruction: str
    ) -> None:
        self.controls = Controls()
        self.paused = True
        self.left = False
        listener = _listen(host, port)
        self.host, self.port = host, int(listener.getsockname()[1])
        self._task = {"title": title, "instruction": instruction}
        self._token: str | None = secrets.token_urlsafe(24)
        self._cookie = secrets.token_urlsafe(24)
        self._cookie_name = f"basalt_play_{self.port}"
        self._client: web.WebSocketResponse | None = None
        self._frame: NDArray[np.uint8] | None = None
        self._status = Status()
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()
        self._stop = asyncio.Event()
        self._tick = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The link to open; it works once."""
        return f"http://{_bracketed(self.host)}:{self.port}/?token={self._token}"

    def show(self, frame: NDArray[np.uint8] | None, status: Status) -> None:
        """See `Screen.show`."""
        if frame is not None:
            self._frame = frame
        self._status = status
        self._loop.call_soon_threadsafe(self._news.set)

    def wait(self, seconds: float) -> None:
        """See `Screen.wait`."""
        self._tick.wait(seconds)

    def close(self) -> None:
        """Send the last status and stop the server."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(listener))
        finally:
            self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/{name}", self._asset)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await self._stop.wait()
        if (client := self._client) is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await client.send_json(self._task | asdict(self._status))
                await client.close(code=1000, message=b"over")
        await runner.cleanup()

    # ---- access ----

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._is_own_host(request.host):
            return web.Response(status=403, text="wrong Host", headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as err:
            err.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _is_own_host(self, host: str) -> bool:
        """Refuse other host names that resolve to this machine (DNS rebinding); a tunnel may change the port."""
        if not _is_loopback(self.host):
            return True  # its public names are unknown; the cookie protects it
        return _is_loopback(host_name(host))

    def _knows(self, request: web.Request) -> bool:
        return _same(request.cookies.get(self._cookie_name, ""), self._cookie)

    async def _page(self, request: web.Request) -> web.Response:
        if request.method == "HEAD":  # programs look at links before people open them
            return web.Response(content_type="text/html")
        response = web.Response(text=_read("play.html"), content_type="text/html")
        if self._knows(request):
            return response
        if self._token is None or not _same(request.query.get("token", ""), self._token):
            return web.Response(
                status=403,
                text="This link has expired: it opens the game once, in one browser. "
                "Start basalt play again for a new link.",
            )
        self._token = None
        response.set_cookie(
            self._cookie_name, self._cookie, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "favicon.ico":  # every browser requests it
            return web.Response(status=204)
        if name not in _PAGES:
            raise web.HTTPNotFound
        if not self._knows(request):
            raise web.HTTPForbidden
        return web.Response(text=_read(name), content_type=_PAGES[name])

    # ---- the player ----

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        if not self._knows(request) or not same_origin(origin, request.host):
            raise web.HTTPForbidden
        connection = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=_LARGEST_MESSAGE)
        if self._client is not None:
            await connection.prepare(request)
            await connection.close(
                code=SECOND_CLIENT, message=b"the game is open in another window"
            )
            return connection
        self._client = connection
        try:
            await connection.prepare(request)
            async with self._sending(connection):
                async for message in connection:
                    if message.type is not WSMsgType.TEXT:
                        break
                    try:
                        self._take(message.data)
                    except ValidationError:
                        await connection.close(code=1008, message=b"unknown message")
        finally:
            self._client = None
            self._pause()
        return connection

    def _take(self, text: str) -> None:
        match _MESSAGES.validate_json(text):
            case _Word(kind="play"):
                self.controls.release()
                self.paused = False
            case _Word(kind="pause"):
                self._pause()
            case _Word(kind="esc"):
                self.controls.release()
                self.controls.button("ESC", down=True)
                self.paused = False
            case _ if self.paused:
                pass
            case _Key(code=code, down=down) if code in BUTTON_OF_CODE:
                self.controls.button(BUTTON_OF_CODE[code], down=down)
            case _MouseButton(button=button, down=down) if button in BUTTON_OF_MOUSE:
                self.controls.button(BUTTON_OF_MOUSE[button], down=down)
            case _Move(dx=dx, dy=dy):
                self.controls.move(dx, dy)
            case _Wheel(notches=notches):
                self.controls.wheel(notches)

    def _pause(self) -> None:
        self.paused = True
        self.controls.release()

    @contextlib.asynccontextmanager
    async def _sending(self, connection: web.WebSocketResponse) -> AsyncIterator[None]:
        sender = asyncio.create_task(self._send(connection))
        try:
            yield
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender

    async def _send(self, connection: web.WebSocketResponse) -> None:
        """Send new statuses and frames; a slow connection gets fewer frames, not old ones."""
        status, frame = None, None
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            if self._status != status:
                status = self._status
                await connection.send_json(self._task | asdict(status))
            if self._frame is not None and self._frame is not frame:
                frame = self._frame
                await connection.send_bytes(_jpeg(frame))


def parse_address(text: str) -> tuple[str, int | None]:
    """Split `HOST`, `HOST:PORT` or `[HOST]:PORT` into host and port.

    Args:
        text: The address.

    Returns:
        The host, and the port or None.

    Raises:
        ConfigError: The text is not a valid address.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != text:
        raise ConfigError(
            f"address: expected HOST or HOST:PORT such as 127.0.0.1:8300, got {text!r}"
        )
    return host, port


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            return socket.create_server((host, number), family=family)
        except (OSError, OverflowError) as err:
            failure = err
    raise ConfigError(
        f"address: cannot listen on {_bracketed(host)}:{port or DEFAULT_PORT} ({failure}); "
        "use another address=HOST:PORT"
    ) from failure


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _read(name: str) -> str:
    return resources.files("basalt.play").joinpath("web", name).read_text(encoding="utf-8")


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return data.tobytes()
