"""A rater at the Judge page in a real browser: videos, keys, hints."""

from playwright.sync_api import Locator, Page, expect

from tests.support.real_browser import PATIENCE, begin


def videos(page: Page) -> tuple[Locator, Locator]:
    return page.locator("video.left"), page.locator("video.right")


def ready(page: Page) -> None:
    """Wait until a pair is shown whose two videos can play."""
    begin(page)
    for video in videos(page):
        video.wait_for()
        handle = video.element_handle()
        page.wait_for_function("video => video.readyState >= 3", arg=handle)


def pair_shown(page: Page) -> str:
    return str(videos(page)[0].get_attribute("src"))


def hint(page: Page) -> Locator:
    return page.locator(".hint")


def watch(page: Page) -> None:
    """Play both to the end, by keyboard."""
    ready(page)
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    expect(page.get_by_text("seen ✓")).to_have_count(2)


def submit(page: Page, key: str) -> None:
    """Choose an answer and submit it, by keyboard."""
    page.keyboard.press(key)
    expect(hint(page)).to_have_text("Ready to submit.", timeout=PATIENCE)
    page.keyboard.press("Enter")
