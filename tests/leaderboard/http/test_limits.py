"""What strangers can use up: nothing that a rater or an admin at another address would miss."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from basalt.io.errors import ConfigError
from leaderboard.http import api, limits, serving
from leaderboard.http.api import create_server
from leaderboard.http.limits import network_of
from leaderboard.judging.raters import is_rater_secret, new_rater_secret
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Rater
from leaderboard.studies import access
from leaderboard.studies.access import (
    LOGINS_PER_MINUTE,
    AccessDeniedError,
    add_admin,
    is_signed,
    new_secret,
    signed_secret,
)
from leaderboard.studies.rules import StudyInfo, demo_study
from tests.support import ROOT
from tests.support.three_players import SEEDS, unwatched_study

PASSWORD = "correct horse battery"
SECRETS = st.one_of(
    st.text("abcXYZ019-_", min_size=43, max_size=43),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
)
"""What strangers send as a secret: of the right form, and of any."""

quick = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Limits do not depend on the database, so one is enough."""
    opened = open_store(str(tmp_path / "leaderboard.sqlite"))
    unwatched_study(opened, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return unwatched_study(store, "other", demo_study({"find_cave": SEEDS[:1]}, "test", "1"))


@contextmanager
def at(server: ASGIApp, address: str = "192.0.2.1") -> Iterator[TestClient]:
    with TestClient(server, client=(address, 50_000)) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@quick
@given(sent=st.lists(SECRETS, min_size=1, max_size=6))
def test_an_addresss_requests_are_counted_whatever_secret_they_bring(
    store: Store, sent: list[str]
) -> None:
    access._limiter.storage.reset()
    server = create_server(store, requests_per_minute=5)
    with at(server) as client, at(server, "192.0.2.2") as other:
        codes = [
            client.get("/api/studies", headers=bearer(sent[n % len(sent)])).status_code
            for n in range(8)
        ]
        assert codes == [200] * 5 + [429] * 3
        assert other.get("/api/studies").status_code == 200


def test_beyond_the_limit_nothing_is_read_or_looked_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    for name in ("find_rater", "admin_of_session"):
        monkeypatch.setattr(api, name, lambda store, secret: looked.append(secret))
    with at(create_server(store, requests_per_minute=2)) as client:
        for _ in range(6):
            answer = client.post("/api/answers", content=b"[" * 300_000, headers=bearer("a" * 43))
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    assert len(looked) <= 2


def test_strangers_use_up_neither_a_raters_nor_an_admins_requests_at_their_address(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "REQUESTS_PER_MINUTE", 6)
    add_admin(store, "ada", password=PASSWORD)
    with at(create_server(store)) as client:
        login = {"name": "ada", "password": PASSWORD}
        admin = bearer(client.post("/api/admin/login", json=login).json()["secret"])
        rater = bearer(client.post("/api/studies/small/join", json={}).json()["secret"])
        codes = [client.get("/api/studies", headers=bearer(new_secret())) for _ in range(8)]
        assert [one.status_code for one in codes] == [200] * 4 + [429] * 4
        for _ in range(6):
            assert client.get("/api/studies/small/raters", headers=admin).status_code == 200
            assert client.get("/api/studies/small/me", headers=rater).status_code == 200
        # Each person has a limit, too.
        assert client.get("/api/studies/small/me", headers=rater).status_code == 429


@quick
@given(secret=SECRETS)
def test_no_secret_of_the_senders_choice_becomes_a_raters(store: Store, secret: str) -> None:
    access._limiter.storage.reset()
    with at(create_server(store)) as client:
        answer = client.post("/api/studies/small/join", json={}, headers=bearer(secret))
        assert answer.status_code == 403, answer.text
        assert client.get("/api/studies/small/me", headers=bearer(secret)).status_code == 403
    assert not is_rater_secret(store, secret)
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Rater)) == 0


def test_new_raters_are_counted_by_address_with_and_without_a_secret(store: Store) -> None:
    server = create_server(store, joins_per_minute=3)
    with at(server) as client, at(server, "192.0.2.2") as other:
        answers = [client.post("/api/studies/small/join", json={}) for _ in range(5)]
        assert [one.status_code for one in answers] == [200] * 3 + [429] * 2
        chosen = client.post("/api/studies/small/join", json={}, headers=bearer(new_secret()))
        assert chosen.status_code == 403
        known = bearer(answers[0].json()["secret"])
        assert client.post("/api/studies/small/join", json={}, headers=known).status_code == 200
        assert other.post("/api/studies/small/join", json={}).status_code == 200


def test_nobody_at_another_address_can_lock_an_admin_out(store: Store) -> None:
    add_admin(store, "ada", password=PASSWORD)
    server = create_server(store)
    right = {"name": "ada", "password": PASSWORD}
    with at(server, "2001:db8:1:1::1") as attacker, at(server, "2001:db8:1:2::1") as ada:
        wrong = {"name": "ada", "password": "guess"}
        codes = [
            attacker.post("/api/admin/login", json=wrong).status_code
            for _ in range(LOGINS_PER_MINUTE + 3)
        ]
        assert codes == [403] * LOGINS_PER_MINUTE + [429] * 3
        # Another name does not help, nor another address of the same household.
        assert attacker.post("/api/admin/login", json=right).status_code == 429
        assert ada.post("/api/admin/login", json=right).status_code == 200
    with at(server, "2001:db8:1:1::2") as neighbour:
        assert neighbour.post("/api/admin/login", json=right).status_code == 429


def test_few_passwords_are_checked_at_a_time_and_other_requests_do_not_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, may_end = threading.Lock(), threading.Event()
    running = most = started = 0

    def slow(store: Store, name: str, password: str) -> None:
        nonlocal running, most, started
        with lock:
            running, started = running + 1, started + 1
            most = max(most, running)
        may_end.wait(60)
        with lock:
            running -= 1
        raise AccessDeniedError("wrong name or password")

    monkeypatch.setattr(limits, "admin_of_password", slow)
    server = create_server(store)
    # More logins than Starlette has threads, each from another address.
    count = 60
    answers: list[int] = []
    with at(server, "198.51.100.1") as client:

        def attack(number: int) -> None:
            # One event loop and one set of threads, as in a server.
            client._transport.client = (f"192.0.2.{number}", 1)  # type: ignore[attr-defined]
            login = {"name": f"n{number}", "password": "x"}
            answers.append(client.post("/api/admin/login", json=login).status_code)

        monkeypatch.setattr(access._limiter, "hit", lambda *_: True)
        threads = [threading.Thread(target=attack, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        while started < limits.LOGINS_AT_ONCE:
            time.sleep(0.01)
        assert client.get("/api/studies").status_code == 200
        assert started == limits.LOGINS_AT_ONCE
        may_end.set()
        for thread in threads:
            thread.join(60)
    assert answers == [403] * count
    assert most == limits.LOGINS_AT_ONCE


@given(
    v4=st.ip_addresses(v=4),
    v6=st.ip_addresses(v=6),
    low=st.integers(0, 2**64 - 1),
)
def test_an_address_is_counted_by_itself_and_a_household_together(v4, v6, low: int) -> None:
    assert network_of(str(v4)) == network_of(f"::ffff:{v4}") == str(v4)
    same = type(v6)((int(v6) >> 64 << 64) + low)
    if v6.ipv4_mapped is None and same.ipv4_mapped is None:
        assert network_of(str(v6)) == network_of(str(same))
        other = type(v6)(int(v6) ^ (1 << 64))
        assert network_of(str(other)) != network_of(str(v6))


@given(text=st.text(max_size=300))
def test_an_address_that_is_none_is_a_short_key(text: str) -> None:
    assert len(network_of(text)) <= 100


def test_forwarded_addresses_are_believed_from_configured_proxies_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setattr(serving, "HTTP_PROTOCOLS", {})

    def codes(proxies: list[str], header: str) -> list[int]:
        serving.prepare_uvicorn(proxies)
        access._limiter.storage.reset()
        trusted = os.environ["FORWARDED_ALLOW_IPS"]
        server = ProxyHeadersMiddleware(create_server(store, requests_per_minute=3), trusted)
        with at(server, "127.0.0.1") as client:
            return [
                client.get(
                    "/api/studies", headers={"X-Forwarded-For": header.format(n)}
                ).status_code
                for n in range(5)
            ]

    assert codes([], "10.0.0.{}") == [200] * 3 + [429] * 2
    assert codes(["127.0.0.1"], "10.0.0.{}") == [200] * 5
    # The proxy adds the visitor's address behind what the visitor made up.
    assert codes(["127.0.0.0/8"], "10.0.0.{}, 192.0.2.7") == [200] * 3 + [429] * 2
    for wrong in ("*", "proxy.example", "10.0.0.1/40", ""):
        with pytest.raises(ConfigError, match="--proxy"):
            serving.prepare_uvicorn([wrong])


@quick
@given(place=st.integers(0, 42), letter=st.sampled_from("AZaz09-_"), text=SECRETS)
def test_signed_secrets_are_this_stores_own_to_the_letter(
    store: Store, place: int, letter: str, text: str
) -> None:
    secret = new_rater_secret(store)
    assert is_rater_secret(store, secret) and is_signed(store, "rater", secret)
    assert not is_signed(store, "other", secret)
    changed = secret[:place] + letter + secret[place + 1 :]
    assert is_signed(store, "rater", changed) == (changed == secret)
    assert not is_signed(store, "rater", text)
    assert not is_signed(store, "rater", signed_secret(store, "other"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


COMMANDS = {"serve": ["leaderboard", "serve"], "ui": ["ui", "--headless"]}


@pytest.fixture(params=COMMANDS)
def real_server(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[int]:
    """Port of `basalt leaderboard serve` or `basalt ui`, whose requests must arrive within a second."""
    port = free_port()
    argv = [*COMMANDS[request.param], "--store", str(store.url), "--port", str(port)]
    program = (
        "import sys; from leaderboard.http import serving; serving.REQUEST_SECONDS = 1; "
        "from basalt.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *argv],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < deadline
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()


def until_closed(connection: socket.socket, drip: bytes) -> bytes:
    """What the server sends until it closes a connection, to which a byte is sent now and then."""
    connection.settimeout(0.3)
    received = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection.sendall(drip)
            part = connection.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return received
        if not part:
            return received
        received += part
    raise AssertionError("the connection stayed open")


START = b"POST /api/admin/login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HEADERS = START + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
LOGIN = HEADERS.replace(b"/api/admin/login", b"/session/login")
WHOLE = b"GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def test_slow_and_half_sent_requests_are_cut_off_by_the_real_server(real_server: int) -> None:
    half = {
        "nothing": b"",
        "half a line": b"POST /api/adm",
        "half the headers": START,
        "no body": HEADERS,
        "half a body": HEADERS + b'{"name": "a',
        "half a login": LOGIN + b'{"name"',
        "half a chunk": START + b"Transfer-Encoding: chunked\r\n\r\n100\r\nabc",
        "a second request": WHOLE + START,
    }

    def answer(one: tuple[str, bytes]) -> bytes:
        what, drip = one
        with socket.create_connection(("127.0.0.1", real_server)) as connection:
            connection.sendall(half[what])
            return until_closed(connection, drip)

    tries = [(what, b"") for what in half] + [
        (what, b"x") for what in half if what not in ("nothing", "no body", "half a login")
    ]
    with ThreadPoolExecutor(len(tries)) as pool:  # all at once: each waits for its deadline
        for (what, _), received in zip(tries, pool.map(answer, tries), strict=True):
            assert b" 500 " not in received, what
            assert (b" 200 OK" in received) == (what == "a second request"), what
    # A request in two parts arrives, and so does one on the same connection after a pause.
    with socket.create_connection(("127.0.0.1", real_server)) as connection:
        connection.settimeout(60)
        for _ in range(3):
            connection.sendall(WHOLE[:20])
            time.sleep(0.4)
            connection.sendall(WHOLE[20:])
            response = HTTPResponse(connection)
            response.begin()
            assert response.status == 200 and response.read()
            time.sleep(0.8)


@pytest.mark.parametrize("real_server", ["ui"], indirect=True)
def test_a_websocket_stays_open_beyond_the_time_of_a_request(real_server: int) -> None:
    with socket.create_connection(("127.0.0.1", real_server), timeout=60) as connection:
        connection.sendall(
            b"GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
        connection.settimeout(3)  # three times as long as a request may take
        with pytest.raises(TimeoutError):
            while connection.recv(65_536):
                pass
