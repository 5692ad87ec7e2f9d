"""`basalt ui` as a user starts it, and the Chromium that looks at it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAPTOP = {"width": 1366, "height": 768}
PATIENCE = 60_000  # milliseconds; machines that run the tests may be slow


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_app(store: Path, folder: Path, log: Path, port: int | None = None) -> Iterator[str]:
    """The address of `basalt ui` on a store, run in a folder; what it prints goes to the log."""
    port = port or free_port()
    out = log.open("w")
    server = subprocess.Popen(
        [
            sys.executable, "-c", "from basalt.cli.main import main; main()", "ui",
            "--store", str(store), "--port", str(port), "--headless",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=out,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if server.poll() is not None:
                pytest.fail(f"basalt ui ended: {log.read_text()}")
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"basalt ui did not answer: {log.read_text()}")
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        out.close()


def begin(page: "Page") -> None:
    """Go past the instructions, where they are shown."""
    button = page.get_by_role("button", name="Begin", exact=True)
    button.or_(page.locator("video.left").first).first.wait_for()
    if button.is_visible():
        button.click()
