"""A suite is trained and viewed in a real browser: clips play, a note is saved, a page is exported."""

import re
from pathlib import Path

import pytest

from eval_ui.probes_page.notes import read_notes
from leaderboard.store.database import open_store
from leaderboard.studies.rules import create_study, demo_study
from tests.support.probed_runs import write_suite
from tests.support.real_browser import CHROMIUM, PATIENCE, running_app

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Locator, Page, expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as a user has it: recordings, a run, a suite under `runs`, and a store."""
    write_suite(tmp_path)
    store = open_store(tmp_path / "leaderboard.sqlite")
    create_study(store, "demo", demo_study({"find_cave": (100_000,)}, "test", "1"))
    store.close()
    return tmp_path


IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def choose(page: Page, label: str, option: str) -> None:
    """One of a select box's options."""
    page.get_by_role("combobox", name=re.compile(rf"\b{label}$")).click()
    page.get_by_role("option", name=option, exact=True).click()
    # Until the script has run, the page still shows the previous choice.
    page.locator(IDLE).wait_for()


def plays(film: Locator) -> None:
    """Wait until a clip plays and the line below it moves."""
    video = film.locator("video").element_handle()
    film.page.wait_for_function("video => video.currentTime > 0 && !video.paused", arg=video)
    now = film.locator(".curve .now").element_handle()
    film.page.wait_for_function("line => Number(line.getAttribute('x1')) > 0", arg=now)


def test_a_latent_is_chosen_seen_noted_and_exported(place: Path, page: Page) -> None:
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    log = place / "ui.log"
    with running_app(place / "leaderboard.sqlite", place, log):
        # An admin, by the link that was printed.
        page.goto(next(word for word in log.read_text().split() if "/session/enter/" in word))
        page.get_by_role("link", name="Probes").click()
        choose(page, "Hook point", "lastlayer")
        choose(page, "Autoencoder", "topk-w16-l04")
        page.get_by_text("4.0", exact=True).wait_for()  # its L0
        # The previous autoencoder's latent is shown until the clips of this one are cut.
        page.locator(IDLE).wait_for()
        latent = page.locator(".latent")
        latent.wait_for()
        number = int(latent.get_attribute("data-latent") or -1)
        for name, many in (("film", 2), ("camera", 1), ("histogram", 1), ("bars", 1)):
            assert latent.locator(f".{name}").count() >= many, name
        plays(latent.locator(".film").first)

        page.get_by_role("textbox", name="Note").fill("blue <b>walls</b>")
        page.get_by_role("button", name="Save").click()
        expect(latent.locator("blockquote.note")).to_have_text(
            "blue <b>walls</b>", timeout=PATIENCE
        )
        notes = read_notes(place / "runs" / "scope", "lastlayer", "topk-w16-l04")
        assert notes[number].text == "blue <b>walls</b>"

        page.get_by_role("button", name=re.compile("^Static page of")).click()
        with page.expect_download(timeout=4 * PATIENCE) as download:
            # A hundred clips are cut first.
            page.get_by_role("button", name="Download", exact=True).click(timeout=4 * PATIENCE)
        download.value.save_as(place / "export.html")
    # Served by nobody, it still shows all.
    page.goto((place / "export.html").as_uri())
    assert page.locator(".latent").count() > 1
    expect(page.locator("blockquote.note")).to_have_text("blue <b>walls</b>", timeout=PATIENCE)
    plays(page.locator(".film").first)
    assert failed == []
