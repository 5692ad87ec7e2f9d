"""The page's server, spoken to without a browser: who may come in, what is taken, what is sent.

Real Chromium plays in tests/e2e/test_play.py.
"""

import asyncio
import contextlib
import json
import socket
import time

import aiohttp
import cv2
import numpy as np
import pytest

from basalt.io.errors import ConfigError
from basalt.play.browser import SECOND_CLIENT, BrowserScreen, parse_address
from basalt.play.player import Status

FRAME = np.full((360, 640, 3), (200, 30, 90), np.uint8)


@pytest.fixture
def screen():
    screen = BrowserScreen(port=0, title="Find Cave", instruction="Look for a cave.")
    yield screen
    screen.close()


def base(screen):
    return f"http://127.0.0.1:{screen.port}"


@contextlib.asynccontextmanager
async def visitor(screen, *, knows=True):
    """An HTTP session; one that opened the link has the cookie."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of plain addresses
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        if knows:
            async with session.get(screen.url) as answer:
                assert answer.status == 200
        yield session


def connect(session, screen, **headers):
    return session.ws_connect(f"{base(screen)}/socket", headers={"Origin": base(screen), **headers})


async def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def run(coroutine):
    asyncio.run(coroutine)


# ---- who may come in ----


def test_the_link_opens_the_page_once(screen):
    async def visit():
        url = screen.url
        async with visitor(screen, knows=False) as first, visitor(screen, knows=False) as second:
            async with first.get(url) as answer:
                assert answer.status == 200 and "<canvas" in await answer.text()
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            async with second.get(url) as answer:
                assert answer.status == 403 and "opens the game once" in await answer.text()
            for path, kind in (("/", "html"), ("/play.js", "javascript"), ("/play.css", "css")):
                async with first.get(base(screen) + path) as answer:
                    assert answer.status == 200 and kind in answer.content_type
                async with second.get(base(screen) + path) as answer:
                    assert answer.status == 403

    run(visit())


def test_looking_at_the_link_does_not_use_it_up(screen):
    async def visit():
        async with visitor(screen, knows=False) as session:
            for url in (screen.url, screen.url, f"{base(screen)}/?token=wrong"):
                async with session.head(url) as answer:
                    assert answer.status == 200 and "Set-Cookie" not in answer.headers
            async with session.get(f"{base(screen)}/play.js") as answer:
                assert answer.status == 403  # looking lets nobody in
            async with session.get(screen.url) as answer:
                assert answer.status == 200 and "Set-Cookie" in answer.headers
            async with session.head(screen.url) as answer:
                assert answer.status == 200

    run(visit())


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%00%ff", "?token=None"])
def test_a_wrong_token_opens_nothing_and_the_right_one_still_does(screen, query):
    async def visit():
        async with visitor(screen, knows=False) as session:
            async with session.get(f"{base(screen)}/{query}") as answer:
                assert answer.status == 403 and "Set-Cookie" not in answer.headers
            async with session.get(screen.url) as answer:
                assert answer.status == 200

    run(visit())


def test_a_cookie_of_any_bytes_is_only_wrong(screen):
    async def visit():
        reader, writer = await asyncio.open_connection("127.0.0.1", screen.port)
        name = screen._cookie_name.encode()
        writer.write(
            b"GET /play.js HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + name + b"=\xff\xfe\r\n\r\n"
        )
        assert b" 403 " in await reader.readline()
        writer.close()

    run(visit())


def test_after_its_use_no_token_is_taken(screen):
    async def visit():
        async with visitor(screen), visitor(screen, knows=False) as stranger:
            for query in ("", "?token=", "?token=None"):
                async with stranger.get(f"{base(screen)}/{query}") as answer:
                    assert answer.status == 403

    run(visit())


def test_other_names_of_this_machine_are_refused(screen):
    """What a page of another site could make its own name point to."""

    async def visit():
        async with visitor(screen) as session:
            for host in ("evil.example", f"evil.example:{screen.port}", "127.0.0.1.evil.example"):
                async with session.get(base(screen), headers={"Host": host}) as answer:
                    assert answer.status == 403
            # The other end of a tunnel may have another port.
            for host in ("localhost:9", "127.0.0.1:9", "[::1]:9"):
                async with session.get(base(screen), headers={"Host": host}) as answer:
                    assert answer.status == 200

    run(visit())


def test_other_pages_and_strangers_get_no_socket(screen):
    async def visit():
        async with visitor(screen) as session, visitor(screen, knows=False) as stranger:
            for one, origin in (
                (session, "https://evil.example"),
                (session, "null"),
                (session, ""),
                (session, f"http://127.0.0.1:{screen.port + 1}"),
                (stranger, base(screen)),
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await connect(one, screen, Origin=origin)
                assert refused.value.status == 403
            assert screen.paused

    run(visit())


def test_whoever_comes_second_is_turned_away_and_the_first_plays_on(screen):
    async def visit():
        async with visitor(screen) as session, connect(session, screen) as first:
            await first.send_json({"kind": "play"})
            await until(lambda: not screen.paused)
            async with connect(session, screen) as second:
                answer = await second.receive()
                assert answer.type is aiohttp.WSMsgType.CLOSE and answer.data == SECOND_CLIENT
            assert not screen.paused
            await first.send_json({"kind": "key", "code": "KeyW", "down": True})
            await until(lambda: screen.controls.action(0)["forward"])

    run(visit())


# ---- what is taken and sent ----


def test_keys_buttons_movement_and_wheel_become_actions(screen):
    async def visit():
        async with visitor(screen) as session, connect(session, screen) as line:
            for message in (
                {"kind": "play"},
                {"kind": "key", "code": "KeyW", "down": True},
                {"kind": "key", "code": "F13", "down": True},
                {"kind": "mouse", "button": 2, "down": True},
                {"kind": "mouse", "button": 9, "down": True},
                {"kind": "move", "dx": 7, "dy": -2},
                {"kind": "wheel", "notches": 1},
                {"kind": "pause"},
            ):
                if message["kind"] == "pause":
                    await until(lambda: screen.controls._wheel)
                    action = screen.controls.action(3)
                await line.send_json(message)
            pressed = {name for name, value in action.items() if name != "camera" and value}
            assert pressed == {"forward", "use", "hotbar.5"}
            assert action["camera"].tolist() == pytest.approx([-0.3, 1.05])
            await until(lambda: screen.paused)
            assert not screen.controls.action(3)["forward"], "a pause lets everything go"

    run(visit())


def test_esc_is_pressed_even_out_of_a_pause(screen):
    async def visit():
        async with visitor(screen) as session, connect(session, screen) as line:
            await line.send_json({"kind": "esc"})
            await until(lambda: not screen.paused)
            assert screen.controls.action(0)["ESC"] == 1

    run(visit())


def test_a_paused_game_takes_no_keys(screen):
    async def visit():
        async with visitor(screen) as session, connect(session, screen) as line:
            await line.send_json({"kind": "key", "code": "KeyW", "down": True})
            await line.send_json({"kind": "move", "dx": 5, "dy": 5})
            await line.send_json({"kind": "play"})
            await until(lambda: not screen.paused)
            action = screen.controls.action(0)
            assert not action["forward"] and not action["camera"].any()

    run(visit())


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"kind": "teleport"}),
        json.dumps({"kind": "move", "dx": 1e9, "dy": 0}),
        '{"kind": "move", "dx": NaN, "dy": 0}',
        json.dumps({"kind": "key", "code": "K" * 500, "down": True}),
        json.dumps({"kind": "key", "code": "KeyW", "down": True, "more": 1}),
        "x" * 5000,
        b"bytes",
    ],
)
def test_what_is_not_understood_ends_the_connection_and_not_the_game(screen, message):
    async def visit():
        async with visitor(screen) as session:
            async with connect(session, screen) as line:
                send = line.send_bytes if isinstance(message, bytes) else line.send_str
                await send(message)
                while (answer := await line.receive(20)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert answer.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await until(lambda: screen._client is None)
            async with connect(session, screen) as line:
                await line.send_json({"kind": "play"})
                await until(lambda: not screen.paused)

    run(visit())


def test_pictures_and_status_are_sent_and_to_who_comes_back_too(screen):
    async def visit():
        async with visitor(screen) as session:
            screen.show(FRAME, Status("playing", 7, 3, 100, 1))
            for _ in range(2):
                async with connect(session, screen) as line:
                    told, picture = None, None
                    while picture is None or told["phase"] != "playing":
                        message = await line.receive(20)
                        if message.type is aiohttp.WSMsgType.BINARY:
                            picture = message.data
                        else:
                            told = json.loads(message.data)
                    assert (told["step"], told["limit"], told["seed"]) == (3, 100, 7)
                    assert told["title"] == "Find Cave" and "cave" in told["instruction"]
                    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
                    assert np.abs(image.astype(int) - FRAME).mean() < 3
                await until(lambda: screen._client is None)

    run(visit())


def test_a_broken_connection_pauses(screen):
    async def visit():
        async with visitor(screen) as session:
            line = await connect(session, screen)
            await line.send_json({"kind": "play"})
            await line.send_json({"kind": "key", "code": "KeyW", "down": True})
            await until(lambda: screen.controls._coming["forward"])
            line._response.connection.transport.abort()
            await until(lambda: screen.paused)
            assert not screen.controls.action(0)["forward"]

    run(visit())


def test_the_end_is_told_before_the_server_goes(screen):
    async def visit():
        async with visitor(screen) as session, connect(session, screen) as line:
            screen.show(None, Status("over", 7, note="Thank you."))
            closing = asyncio.get_running_loop().run_in_executor(None, screen.close)
            seen = []
            while (message := await line.receive(20)).type is aiohttp.WSMsgType.TEXT:
                seen.append(json.loads(message.data))
            assert message.data == 1000 and seen[-1]["note"] == "Thank you."
            await closing

    run(visit())
    with pytest.raises(OSError, match=r"refused|111"):
        socket.create_connection(("127.0.0.1", screen.port), 2)
    screen.close()


@pytest.mark.parametrize("header", ["Origin", "Host"])
@pytest.mark.parametrize("value", ["http://[", "[", "//[::1", "http://\u00ff", "", "null"])
def test_malformed_origins_and_hosts_are_refused(screen, header, value):
    async def visit():
        async with visitor(screen) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(session, screen, **{header: value})
            assert 400 <= refused.value.status < 500

    run(visit())


def test_it_listens_on_the_loopback_unless_told_otherwise(screen):
    assert screen.host == "127.0.0.1" and screen.url.startswith(f"http://127.0.0.1:{screen.port}/")


# ---- addresses ----


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1", ("127.0.0.1", None)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:8300", ("::1", 8300)),
    ],
)
def test_addresses(text, parsed):
    assert parse_address(text) == parsed


@pytest.mark.parametrize("text", ["", ":80", "host:port", "host:99999", "http://host", "a b/c"])
def test_what_is_no_address_is_named(text):
    with pytest.raises(ConfigError, match="address: "):
        host, port = parse_address(text)
        BrowserScreen(host, port, title="", instruction="").close()


def test_an_address_in_use_is_named(screen):
    with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{screen.port}"):
        BrowserScreen(port=screen.port, title="", instruction="")
