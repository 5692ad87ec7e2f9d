"""`basalt ui`: the judging app."""

import contextlib
import importlib.util
import os
import socket
import threading
import time
import webbrowser
from typing import Annotated

import typer

from basalt.cli.flags import Proxy, Store, run
from basalt.io.addresses import require_free
from basalt.io.errors import MissingDependencyError
from eval_ui.store_access import STORE_VARIABLE
from leaderboard.store.database import default_store, open_existing

LOOPBACK = "127.0.0.1"


def ui_main(argv: list[str]) -> int:
    """Run `basalt ui ARGUMENTS`; returns the exit status.

    Raises:
        StoreError: There is no leaderboard to judge; the message says how to make one.
        MissingDependencyError: Streamlit is not installed.
        ConfigError: The address or port cannot be used.
    """
    return run("ui", _ui, argv)


def _ui(
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to serve on; the default is for this machine only.")
    ] = LOOPBACK,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
    proxy: Proxy = None,
    store: Store = None,
) -> int:
    """Serve the judging app, with its Judge and Leaderboard pages, until interrupted."""
    location = store or default_store()
    open_existing(location).close()
    _require_streamlit()
    require_free(address, port)
    _limit_strangers(proxy or [])
    os.environ[STORE_VARIABLE] = location
    if address == LOOPBACK:
        _offer_admin_link(address, port, headless=headless)
    serve(address, port)
    return 0


def _limit_strangers(proxies: list[str]) -> None:
    # Uvicorn belongs to the extra.
    from leaderboard.http.serving import prepare_uvicorn

    prepare_uvicorn(proxies)


def serve(address: str, port: int) -> None:
    """Run the app on an address and port until interrupted."""
    # Streamlit is heavy and belongs to an extra: imported only here.
    from eval_ui.app import app

    app.run(
        config={
            "server.address": address,
            "server.port": port,
            # Streamlit would open its own page; _offer_admin_link opens ours.
            "server.headless": True,
            "server.showEmailPrompt": False,
            "server.fileWatcherType": "none",
            "runner.magicEnabled": False,
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "minimal",
            "client.showErrorDetails": "none",
            # One look for all: pictures seem darker on black, and raters should see the same.
            "theme.base": "light",
            "theme.primaryColor": "#2f6f4f",
            "theme.baseRadius": "0.4rem",
        }
    )


def _offer_admin_link(address: str, port: int, *, headless: bool) -> None:
    """Print the link that makes this machine's browser the admin's, and open it once the app answers."""
    from eval_ui.login.routes import ENTER_PATH, ONE_TIME_KEY

    link = f"http://{address}:{port}{ENTER_PATH}/{ONE_TIME_KEY.new()}"
    print(f"\n  Log in as the study's admin, once: {link}", flush=True)
    if not headless:
        threading.Thread(target=_open_when_up, args=(address, port, link), daemon=True).start()


def _open_when_up(address: str, port: int, link: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            webbrowser.open(link)
            return
        time.sleep(0.2)


def _require_streamlit() -> None:
    if importlib.util.find_spec("streamlit") is None:
        raise MissingDependencyError(
            "the judging app needs Streamlit; pip install 'basalt-benchmark[ui]'"
        )
