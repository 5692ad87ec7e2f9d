"""An admin logs in by OIDC: a provider vouches for an address, and the Study page opens or does not."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from leaderboard.store.database import open_store
from leaderboard.studies.access import add_admin
from leaderboard.studies.rules import create_study, demo_study
from tests.support.real_browser import CHROMIUM, LAPTOP, PATIENCE, free_port, running_app
from tests.support.three_players import SEEDS

pytest.importorskip("authlib", reason="Authlib is not installed (pip install 'streamlit[auth]')")
pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Page, expect

CLIENT = "basalt"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


class Provider(ThreadingHTTPServer):
    """An OpenID provider without a login form: everybody is `person`, the claims of the ID token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.person: dict[str, Any] = {}
        self.nonces: dict[str, str] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "only"})

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600,
            "nonce": nonce, **self.person,
        }  # fmt: skip
        return jwt.encode({"alg": "RS256", "kid": "only"}, claims, self.key)


class Answers(BaseHTTPRequestHandler):
    """The provider's addresses."""

    server: Provider

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        url = self.server.url
        if asked.path == "/.well-known/openid-configuration":
            self.answer({
                "issuer": url, "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token", "jwks_uri": f"{url}/keys",
                "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })  # fmt: skip
        elif asked.path == "/keys":
            self.answer({"keys": [self.server.key.as_dict(private=False)]})
        elif asked.path == "/authorize":
            code = secrets.token_hex(8)
            self.server.nonces[code] = query["nonce"]
            back = urlencode({"code": code, "state": query["state"]})
            self.send_response(302)
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        nonce = self.server.nonces.pop(sent["code"][0])
        self.answer({
            "access_token": "a", "token_type": "Bearer", "expires_in": 600,
            "id_token": self.server.id_token(nonce),
        })  # fmt: skip

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def address(tmp_path: Path, provider: Provider) -> Iterator[str]:
    """`basalt ui` on a store whose admin Ada has an address, started beside secrets that name the provider."""
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    create_study(store, "demo", demo_study({"find_cave": SEEDS}, "test", "1"))
    add_admin(store, "ada", email="ada@lab.example")
    store.close()
    port = free_port()
    folder = tmp_path / ".streamlit"
    folder.mkdir()
    (folder / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{secrets.token_hex(16)}"
client_id = "{CLIENT}"
client_secret = "{secrets.token_hex(16)}"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"
"""
    )
    with running_app(place, tmp_path, tmp_path / "ui.log", port) as url:
        yield url


def come(browser: Browser, address: str) -> Page:
    """A new browser logs in by the provider."""
    page = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/study")
    page.get_by_role("button", name="Log in with your organisation").click()
    page.wait_for_url(f"{address}/")  # where Streamlit leads after a login
    page.goto(f"{address}/study")
    return page


def test_a_verified_address_of_an_admin_opens_the_study_and_no_other(
    address: str, provider: Provider, browser: Browser
) -> None:
    provider.person = {"email": "Ada@lab.example", "email_verified": True}
    page = come(browser, address)
    page.get_by_role("tab", name="Raters").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{address}/")
    page.goto(f"{address}/study")
    page.get_by_role("button", name="Log in with your organisation").wait_for()

    provider.person = {"email": "ada@lab.example"}  # of which nobody says that it was verified
    is_refused(come(browser, address))


@pytest.mark.long
@pytest.mark.parametrize(
    "person",
    [
        {"email": "ada@lab.example", "email_verified": False},
        {"email": "eve@lab.example", "email_verified": True},
        {"email_verified": True},
    ],
)
def test_others_are_no_admins(
    address: str, provider: Provider, browser: Browser, person: dict[str, object]
) -> None:
    provider.person = person
    is_refused(come(browser, address))


def is_refused(page: Page) -> None:
    page.get_by_text("This account is not an admin account.").wait_for()
    expect(page.get_by_role("tab", name="Raters")).to_have_count(0)
