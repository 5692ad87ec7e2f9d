"""Scripts and styles are compressed once; everything else is sent as it is."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from eval_ui import compressed
from eval_ui.compressed import CompressedStatics

SCRIPT = b"const answer = 42;\n" * 1_000


def client(version: dict[str, str]) -> TestClient:
    async def send(request: Request) -> Response:
        kind = "video/mp4" if request.url.path.endswith(".mp4") else "text/javascript"
        return Response(SCRIPT, media_type=kind, headers={"ETag": version["etag"]})

    app = Starlette(routes=[Route("/{path:path}", send)])
    return TestClient(CompressedStatics(app))


def test_scripts_are_compressed_once_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = [], gzip.compress

    def compress(data: bytes, level: int) -> bytes:
        made.append(len(data))
        return original(data, level)

    monkeypatch.setattr(compressed.gzip, "compress", compress)
    version = {"etag": '"1"'}
    browser = client(version)
    for _ in range(3):
        answer = browser.get("/static/index.js")
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < len(SCRIPT) / 20
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["etag"] == 'W/"1"'
        assert answer.content == SCRIPT
    version["etag"] = '"2"'
    assert browser.get("/static/index.js").content == SCRIPT
    assert made == [len(SCRIPT)] * 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/static/index.js", {"Accept-Encoding": "identity"}),
        ("/static/index.js", {"Range": "bytes=0-9"}),
        ("/static/film.mp4", {}),
        ("/api/studies", {}),
    ],
)
def test_everything_else_is_sent_as_it_is(path: str, headers: dict[str, str]) -> None:
    answer = client({"etag": '"1"'}).get(path, headers=headers)
    assert "content-encoding" not in answer.headers
    assert answer.content == SCRIPT
