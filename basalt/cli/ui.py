"""What ``basalt ui`` does."""

import argparse
import contextlib
import importlib.util
import os
import socket
import threading
import time
import webbrowser

from basalt.cli.leaderboard import add_store_argument
from basalt.io.errors import ConfigError, MissingDependencyError
from eval_ui.store_access import STORE_VARIABLE
from leaderboard.store.database import default_store, open_existing

LOOPBACK = "127.0.0.1"


def ui_main(argv: list[str]) -> int:
    """``basalt ui``: serve the judging app until interrupted.

    Raises:
        StoreError: there is no leaderboard to judge; the message says how to make one.
        MissingDependencyError: Streamlit is not installed.
        ConfigError: the address or port cannot be served on.
    """
    parser = argparse.ArgumentParser(
        prog="basalt ui",
        description="Serve the judging app: the Judge and the Leaderboard page.",
    )
    add_store_argument(parser)
    parser.add_argument("--port", type=int, default=8501, help="port (default: 8501)")
    parser.add_argument(
        "--address",
        default=LOOPBACK,
        help="address to serve on (default: %(default)s, this machine only)",
    )
    parser.add_argument("--headless", action="store_true", help="do not open a browser")
    options = parser.parse_args(argv)
    location = options.store or default_store()
    open_existing(location).close()
    _require_streamlit()
    _require_free(options.address, options.port)
    os.environ[STORE_VARIABLE] = location
    if options.address == LOOPBACK:
        _offer_admin_link(options.address, options.port, headless=options.headless)
    serve(options.address, options.port)
    return 0


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


def _require_free(address: str, port: int) -> None:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: a port that was in use a moment ago counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, OverflowError) as err:
        raise ConfigError(
            f"--port {port} of {address} cannot be served on ({err}); choose another with --port"
        ) from err
