"""The addresses that the app adds to Streamlit's: videos in ranges, and the rater's cookie."""

import asyncio
import re
import socket

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import Message

from basalt.errors import ConfigError, MissingDependencyError
from eval_ui.app import video
from eval_ui.commands import ui_main
from eval_ui.rater import RATER_COOKIE, RaterCookie
from leaderboard.raters import register_rater
from leaderboard.serving import next_pair
from leaderboard.store import Store
from leaderboard.study import StudyInfo
from leaderboard.videos import served_video

APP = Starlette(
    routes=[
        Route("/video/{assignment}/{side}", video),
        Route("/", lambda request: HTMLResponse("page")),
    ],
    middleware=[Middleware(RaterCookie)],
)


def get(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request to the app."""
    sent: list[Message] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not requests:
            await asyncio.Event().wait()  # the client stays and sends nothing more
        return requests.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(APP(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(one.get("body", b"") for one in sent[1:])


@pytest.fixture
def assignment(empty_store: Store, study: StudyInfo) -> str:
    pair = next_pair(empty_store, study, register_rater(empty_store, "secret"))
    assert pair is not None
    return pair.assignment_id


@pytest.mark.parametrize("side", ["left", "right"])
def test_videos_are_sent_whole_and_in_ranges(
    empty_store: Store, assignment: str, side: str
) -> None:
    content = served_video(empty_store, assignment, side).read_bytes()
    status, headers, body = get(f"/video/{assignment}/{side}")
    assert (status, body) == (200, content)
    assert headers["content-type"] == "video/mp4"
    assert headers["accept-ranges"] == "bytes"
    assert "content-disposition" not in headers
    status, headers, body = get(f"/video/{assignment}/{side}", range="bytes=100-199")
    assert (status, body) == (206, content[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(content)}"


@pytest.mark.parametrize(
    "path",
    [
        "/video/{0}/middle",
        "/video/" + "0" * 32 + "/left",
        "/video/{0}/../left",
        "/video/..%2f/left",
    ],
)
def test_other_addresses_give_nothing(assignment: str, path: str) -> None:
    status, _, body = get(path.format(assignment))
    assert status == 404
    assert len(body) < 100


def test_a_video_missing_from_the_disk_is_said(empty_store: Store, assignment: str) -> None:
    served_video(empty_store, assignment, "left").unlink()
    status, _, body = get(f"/video/{assignment}/left")
    assert status == 404
    assert b"missing from the media folder" in body


def test_a_new_browser_gets_a_secret_of_its_own_once() -> None:
    secrets = set()
    for _ in range(2):
        _, headers, _ = get("/", accept="text/html")
        match = re.fullmatch(
            rf"{RATER_COOKIE}=([\w-]{{43}}); Path=/; HttpOnly; SameSite=Lax", headers["set-cookie"]
        )
        assert match
        secrets.add(match[1])
    assert len(secrets) == 2
    _, headers, _ = get("/", accept="text/html", cookie=f"{RATER_COOKIE}={secrets.pop()}")
    assert "set-cookie" not in headers
    _, headers, _ = get("/", accept="application/json")
    assert "set-cookie" not in headers


def test_without_streamlit_the_command_names_the_extra(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"basalt-benchmark\[ui\]"):
        ui_main(["--store", str(empty_store.engine.url.database)])


def test_a_port_in_use_is_named(empty_store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"--port {port} of 127.0.0.1 cannot be served on"):
            ui_main(["--store", str(empty_store.engine.url.database), "--port", str(port)])
