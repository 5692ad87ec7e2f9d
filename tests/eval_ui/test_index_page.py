"""Streamlit's page is sent with the app's style, whole, and every other response as it is."""

from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from eval_ui.index_page import LATE_ICONS, StyledIndex
from eval_ui.style import STYLE

INDEX = Path(streamlit.__file__).with_name("static") / "index.html"
OTHER = "<html><body><p>A page of the login.</p></body></html>"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def index(request: Request) -> Response:
    headers = {"ETag": '"1"', "Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT"}
    if "if-none-match" in request.headers or "if-modified-since" in request.headers:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(INDEX.read_text(encoding="utf-8"), headers=headers)


CLIENT = TestClient(
    StyledIndex(
        Starlette(
            routes=[
                Route("/other", lambda request: HTMLResponse(OTHER)),
                Route("/{path:path}", index),
            ],
            middleware=[Middleware(GZipMiddleware)],  # as Streamlit's server has
        )
    )
)


@pytest.mark.parametrize(
    "kept", [{}, {"If-None-Match": '"1"'}, {"If-Modified-Since": "Mon, 30 Nov 2026 10:00:00 GMT"}]
)
@pytest.mark.parametrize("path", ["/", "/leaderboard"])
def test_the_page_comes_whole_with_style_and_script(path: str, kept: dict[str, str]) -> None:
    answer = CLIENT.get(path, headers=BROWSER | kept)
    assert answer.status_code == 200
    assert answer.text.count(STYLE) == answer.text.count(LATE_ICONS) == 1
    assert answer.text.index(STYLE) > answer.text.index('<div id="root">')
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers
    assert "last-modified" not in answer.headers


def test_everything_else_is_sent_as_it_is() -> None:
    assert CLIENT.get("/other", headers=BROWSER).text == OTHER
    assert CLIENT.get("/", headers={"Accept": "*/*"}).text == INDEX.read_text(encoding="utf-8")
    assert CLIENT.head("/", headers=BROWSER).headers["etag"] == '"1"'


def test_streamlit_still_asks_for_its_icons_as_the_script_expects() -> None:
    scripts = (INDEX.parent / "static" / "js").glob("index.*.js")
    assert any("document.fonts.load(" in one.read_text(encoding="utf-8") for one in scripts)
    assert "</body>" in INDEX.read_text(encoding="utf-8")
