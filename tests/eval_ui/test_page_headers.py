"""Every response of the app carries the strict headers, and only its own pages open its socket."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from eval_ui.app import MIDDLEWARE, SERVED
from eval_ui.downloads import PATH
from eval_ui.login.routes import ENTER_PATH, LOGIN_PATH, LOGOUT_PATH
from eval_ui.page_headers import page_headers
from leaderboard.store.database import Store


async def socket(connection: WebSocket) -> None:
    await connection.accept()
    await connection.send_text("open")
    await connection.close()


def broken(request: object) -> Response:
    raise OSError("the disk is full")


APP = Starlette(
    routes=[
        *SERVED,
        Route("/", lambda request: HTMLResponse("page")),
        Route("/broken", broken),
        WebSocketRoute("/socket", socket),
    ],
    middleware=MIDDLEWARE,
)
PLACES = [
    "/", "/nowhere", "/broken", "/api/studies", "/api/openapi.json", "/api/studies/none", "/api/video/x", f"{PATH}/x/judgments.csv",
    f"{ENTER_PATH}/x", LOGIN_PATH, LOGOUT_PATH,
]  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(APP, base_url="http://127.0.0.1:8501") as opened:
        yield opened


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("place", PLACES)
def test_every_response_is_strict(
    client: TestClient, empty_store: Store, method: str, place: str
) -> None:
    headers = client.request(method, place).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["frame-ancestors"] == policy["object-src"] == policy["frame-src"] == "'none'"
    assert policy["default-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in policy["script-src"] and "http" not in " ".join(policy.values())
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_s_own_script_is_known_by_its_hash() -> None:
    assert "'sha256-" in page_headers()["Content-Security-Policy"]


def opens(client: TestClient, **headers: str) -> bool:
    try:
        with client.websocket_connect("/socket", headers=headers) as connection:
            return connection.receive_text() == "open"
    except WebSocketDisconnect as err:
        assert err.code == 1008
        return False


def test_the_app_s_own_pages_and_programs_open_the_socket(client: TestClient) -> None:
    assert opens(client, Host="127.0.0.1:8501", Origin="http://127.0.0.1:8501")
    assert opens(client, Host="judge.example", Origin="https://judge.example")
    assert opens(client, Host="127.0.0.1:8501")


OTHERS = st.one_of(
    st.integers(1, 65_535).filter(lambda port: port != 8501).map("http://127.0.0.1:{}".format),
    st.from_regex(r"https?://[a-z]{1,9}\.example(:[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["null", "", "http://[", "http://localhost:8501", "http://0.0.0.0:8501", "file://"]),
)  # fmt: skip


@given(origin=OTHERS)
def test_no_other_page_opens_the_socket(client: TestClient, origin: str) -> None:
    assert not opens(client, Host="127.0.0.1:8501", Origin=origin)
