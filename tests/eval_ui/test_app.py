"""The addresses that the app adds to Streamlit's: videos in ranges, cookies, logins, exports."""

import asyncio
import csv
import errno
import io
import json
import re
import socket
import tempfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import Message

from basalt.cli.ui import ui_main
from basalt.io.errors import ConfigError, MissingDependencyError
from eval_ui import downloads
from eval_ui.app import SERVED
from eval_ui.downloads import FILES, download_address
from eval_ui.login.routes import ENTER_PATH, LOGIN_PATH, LOGOUT_PATH, ONE_TIME_KEY
from eval_ui.session import ADMIN_COOKIE, RATER_COOKIE, RaterCookie
from leaderboard.http.video_urls import pair_videos, served_video_name
from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import Store
from leaderboard.studies.access import (
    AccessDeniedError,
    add_admin,
    admin_of_session,
    command_line_admin,
    store_secret,
)
from leaderboard.studies.rules import StudyInfo

APP = Starlette(
    routes=[*SERVED, Route("/", lambda request: HTMLResponse("page"))],
    middleware=[Middleware(RaterCookie)],
)
ADMIN = command_line_admin()
PASSWORD = "correct horse battery"


def ask(
    method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request to the app."""
    sent: list[Message] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not requests:
            await asyncio.Event().wait()  # the client stays and sends nothing more
        return requests.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(APP(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(one.get("body", b"") for one in sent[1:])


def get(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return ask("GET", path, **headers)


def log_in(name: str, password: object) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"name": name, "password": password}).encode()
    return ask("POST", LOGIN_PATH, body, content_type="application/json")


@pytest.fixture
def pair(empty_store: Store, study: StudyInfo) -> ServedPair:
    served = next_pair(empty_store, study, register_rater(empty_store, "secret"))
    assert served is not None
    return served


@pytest.mark.parametrize("side", ["left", "right"])
def test_videos_are_sent_whole_and_in_ranges(
    empty_store: Store, pair: ServedPair, side: str
) -> None:
    content = empty_store.media_file(
        served_video_name(empty_store, pair.assignment_id, side)
    ).read_bytes()
    address = getattr(pair_videos(empty_store, pair), side)
    status, headers, body = get(address)
    assert (status, body) == (200, content)
    assert headers["content-type"] == "video/mp4"
    assert headers["accept-ranges"] == "bytes"
    assert "content-disposition" not in headers
    status, headers, body = get(address, range="bytes=100-199")
    assert (status, body) == (206, content[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(content)}"


def test_a_changed_address_gives_nothing(empty_store: Store, pair: ServedPair) -> None:
    address = pair_videos(empty_store, pair).left
    for wrong in (address[:-1], address[:-2] + "AA", address.rsplit("/", 1)[0] + "/..%2f"):
        status, _, body = get(wrong)
        assert status in (403, 404)
        assert len(body) < 200


def test_a_new_browser_gets_a_secret_of_its_own_once(empty_store: Store) -> None:
    secrets = set()
    for _ in range(2):
        _, headers, _ = get("/", accept="text/html")
        match = re.fullmatch(
            rf"{RATER_COOKIE}=([\w-]{{43}}); Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax",
            headers["set-cookie"],
        )
        assert match
        secrets.add(match[1])
    assert len(secrets) == 2
    _, headers, _ = get("/", accept="text/html", cookie=f"{RATER_COOKIE}={secrets.pop()}")
    assert "set-cookie" not in headers
    _, headers, _ = get("/", accept="application/json")
    assert "set-cookie" not in headers


def admin_secret(headers: dict[str, str]) -> str:
    match = re.fullmatch(
        rf"{ADMIN_COOKIE}=([\w-]+); Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax",
        headers["set-cookie"],
    )
    assert match
    return match[1]


def test_an_admin_logs_in_and_out(empty_store: Store) -> None:
    add_admin(empty_store, "ada", password=PASSWORD)
    status, headers, _ = log_in("ada", PASSWORD)
    assert status == 204
    secret = admin_secret(headers)
    assert admin_of_session(empty_store, secret).name == "ada"
    status, headers, _ = ask("POST", LOGOUT_PATH, cookie=f"{ADMIN_COOKIE}={secret}")
    assert status == 204
    assert "Max-Age=0" in headers["set-cookie"]
    with pytest.raises(AccessDeniedError):
        admin_of_session(empty_store, secret)


def test_a_page_of_another_site_cannot_log_an_admin_out(empty_store: Store) -> None:
    add_admin(empty_store, "ada", password=PASSWORD)
    secret = admin_secret(log_in("ada", PASSWORD)[1])
    for foreign in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:9999"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1"},
    ):
        status, headers, _ = ask(
            "POST", LOGOUT_PATH, host="127.0.0.1", cookie=f"{ADMIN_COOKIE}={secret}", **foreign
        )
        assert (status, "set-cookie" in headers) == (403, False)
    assert admin_of_session(empty_store, secret).name == "ada"
    own = {"host": "127.0.0.1", "origin": "http://127.0.0.1"}
    assert ask("POST", LOGOUT_PATH, cookie=f"{ADMIN_COOKIE}={secret}", **own)[0] == 204
    with pytest.raises(AccessDeniedError):
        admin_of_session(empty_store, secret)


def test_looking_at_the_one_time_link_does_not_use_it_up(empty_store: Store) -> None:
    link = f"{ENTER_PATH}/{ONE_TIME_KEY.new()}"
    for _ in range(2):
        status, headers, body = ask("HEAD", link)
        assert (status, body, "set-cookie" in headers) == (200, b"", False)
    assert get(link)[0] == 303
    assert get(link)[0] == 403


def test_a_wrong_login_gets_no_cookie_and_not_told_what_was_wrong(empty_store: Store) -> None:
    add_admin(empty_store, "ada", password=PASSWORD)
    answers = {log_in("ada", "wrong")[2], log_in("nobody at all", PASSWORD)[2]}
    assert len(answers) == 1
    for status, headers, _ in (log_in("ada", "wrong"), log_in("ada", None), log_in("ada", ["x"])):
        assert status in (403, 422)
        assert "set-cookie" not in headers


def test_a_login_is_json_and_short(empty_store: Store) -> None:
    form = b"name=ada&password=x"
    kind = "application/x-www-form-urlencoded"
    assert ask("POST", LOGIN_PATH, form, content_type=kind)[0] == 415
    assert ask("POST", LOGIN_PATH, b"{", content_type="application/json")[0] == 422
    assert ask("POST", LOGIN_PATH, b"x" * 5_000, content_type="application/json")[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 3_900,
        b'{"name": "\\ud800", "password": "x"}',
        b'{"name": "a\\u0000", "password": "x"}',
        b'{"name": NaN, "password": 1e999}',
        b"\xff",
        b"",
    ],
)
def test_no_login_is_a_fault_of_the_server(empty_store: Store, body: bytes) -> None:
    status, headers, _ = ask("POST", LOGIN_PATH, body, content_type="application/json")
    assert status == 422 and "set-cookie" not in headers


def test_the_printed_link_is_good_once(empty_store: Store) -> None:
    key = ONE_TIME_KEY.new()
    assert get(f"{ENTER_PATH}/{key}x")[0] == 403
    status, headers, _ = get(f"{ENTER_PATH}/{key}")
    assert status == 303
    assert admin_of_session(empty_store, admin_secret(headers)).name == "local"
    status, headers, _ = get(f"{ENTER_PATH}/{key}")
    assert status == 403
    assert "set-cookie" not in headers


def test_exports_are_for_whom_the_address_was_given(
    empty_store: Store, study: StudyInfo, pair: ServedPair
) -> None:
    rater = register_rater(empty_store, "secret", "Ada Lovelace")
    answer_pair(empty_store, pair.assignment_id, rater, "left", justification="it walked")
    addresses = {file: download_address(empty_store, study, ADMIN, file) for file in FILES}
    bodies = {}
    for file, address in addresses.items():
        status, headers, bodies[file] = get(address)
        assert status == 200
        assert headers["content-disposition"] == f'attachment; filename="{file}"'
        assert b"Lovelace" not in bodies[file]
    (row,) = csv.DictReader(io.StringIO(bodies["judgments.csv"].decode()))
    assert (row["winner"], row["justification"], row["rater"]) == ("left", "it walked", rater)
    assert len(json.loads(bodies["human_answers.json"])) == 1
    # Another file under the same address, a changed address, another secret's signature, and too late.
    assert get(addresses["judgments.csv"].replace("judgments.csv", "judgments.json"))[0] == 404
    assert get(addresses["judgments.csv"].replace("/export/", "/export/x"))[0] == 403


def test_an_exports_address_ends(
    empty_store: Store, study: StudyInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = download_address(empty_store, study, ADMIN, "judgments.csv")
    monkeypatch.setattr(downloads, "GOOD_SECONDS", -1)
    assert get(address)[0] == 403
    assert store_secret(empty_store, "export") not in address


def test_an_export_on_a_full_disk_is_an_answer_and_leaves_no_file(
    empty_store: Store, study: StudyInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_write", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    status, _, body = get(download_address(empty_store, study, ADMIN, "judgments.csv"))
    assert status == 409 and b"No space left" in body
    assert not list((tmp_path / "temporary").iterdir())


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
        with pytest.raises(ConfigError, match=rf"--port: cannot serve on port {port} of 127.0.0.1"):
            ui_main(["--store", str(empty_store.engine.url.database), "--port", str(port)])
