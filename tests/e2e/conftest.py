"""The real Chromium of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.real_browser import CHROMIUM, FLAGS, LAPTOP, PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    """A page of a browser of its own, as large as a laptop's."""
    opened = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    opened.set_default_timeout(PATIENCE)
    return opened
