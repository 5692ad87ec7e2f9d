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
    from playwright.sync_api import Browser, Page, ViewportSize

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
LAPTOP: "ViewportSize" = {"width": 1366, "height": 768}
PHONE: "ViewportSize" = {"width": 390, "height": 844}
TABLETS: "tuple[ViewportSize, ...]" = (
    {"width": 820, "height": 1180},
    {"width": 768, "height": 1024},
    {"width": 1024, "height": 1366},
)
"""Tablets held upright."""
PATIENCE = 60_000  # milliseconds; machines that run the tests may be slow


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class AppServer:
    """`basalt ui` as a process of its own, which can be killed and started again at the same address.

    Args:
        store: Store of the leaderboard, a file or a database URL.
        folder: Folder to run in.
        log: File for what it prints.
        port: Port; None for a free one.
        environment: Further environment variables.
    """

    def __init__(
        self,
        store: Path | str,
        folder: Path,
        log: Path,
        port: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._store, self._folder, self._log = store, folder, log
        self._environment = environment or {}
        self._port = port or free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("a") as out:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-c", "from basalt.cli.main import main; main()", "ui",
                    "--store", str(self._store), "--port", str(self._port), "--headless",
                ],
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        for _ in range(600):
            if self._process.poll() is not None:
                pytest.fail(f"basalt ui ended: {self._log.read_text()}")
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        self.kill()
        pytest.fail(f"basalt ui did not answer: {self._log.read_text()}")

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_app(store: Path, folder: Path, log: Path, port: int | None = None) -> Iterator[str]:
    """The address of `basalt ui` on a store, run in a folder; what it prints goes to the log."""
    server = AppServer(store, folder, log, port)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def launched() -> "Iterator[Browser]":
    """A new Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def begin(page: "Page") -> None:
    """Go past the instructions, where they are shown."""
    button = page.get_by_role("button", name="Begin", exact=True)
    button.or_(page.locator("video.left").first).first.wait_for()
    if button.is_visible():
        button.click()
