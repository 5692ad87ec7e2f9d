"""The real Chromium of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.real_browser import LAPTOP, PATIENCE, launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One process for the tests of a file. While it runs, nothing in its thread can call `asyncio.run`."""
    with launched() as opened:
        yield opened


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser without cookies: what a test opens in it is closed at the test's end."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    """A page as large as a laptop's, with cookies of its own."""
    opened = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    opened.set_default_timeout(PATIENCE)
    return opened
