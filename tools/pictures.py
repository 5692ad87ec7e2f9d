"""Take the pictures of the app's pages for the docs, on a copy of a demo's store: `python -m tools.pictures DEMO`.

Twelve made-up raters judge the demo's episodes first, so captions have to say that the answers are made up. The clips are of the
sample recordings. The Probes page shows the suites of the folder given by `--probes`; without it, its picture is not taken. It needs
Chromium and Playwright.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect, sync_playwright

from basalt.feedback.ask import AskConfig, ask
from eval_ui.probes_page.suites import PROBES_VARIABLE
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import join
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Assignment, Episode
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, find_study
from leaderboard.studies.settings import change_settings

PICTURES = Path(__file__).parents[1] / "docs" / "img"

STORE, MEDIA = "leaderboard.sqlite", "leaderboard.media"

SKILL = {"demonstrator": 2.0, "find_cave-small": 0.8, "bc": 0.0, "random": -1.5}
"""How well the made-up raters like each of the demo's players; noise of 1.2 is added to each comparison."""

RATERS = 12
PAIRS = 14
"""Number of pairs for a rater."""

DRAWN = (
    "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
)

CLIP_LOOKED_AT = 3500
"""Milliseconds before an answer to a pair of clips: more than half of their length, so that it counts."""

WAITS = 60_000
"""Longest wait for a page, in milliseconds."""


def make_answers(store: Store, study: StudyInfo) -> None:
    """Let made-up raters judge the study's pairs, and make it look like one that people are invited to."""
    admin, rng = command_line_admin(), random.Random(0)
    change_settings(store, study, admin, watch_share=0, answers_per_minute=1000)
    with store.read() as session:
        players = {one.id: one.agent.name for one in session.scalars(sa.select(Episode))}
    for number in range(RATERS):
        rater = join(store, study, f"rater {number}")
        for _ in range(PAIRS - 2):
            pair = next_pair(store, study, rater)
            if pair is None:
                break
            with store.read() as session:
                shown = session.get_one(Assignment, pair.assignment_id)
                left, right = (
                    SKILL.get(players[one], 0.0)
                    for one in (shown.left_episode_id, shown.right_episode_id)
                )
            liked = left - right + rng.gauss(0, 1.2)
            winner = "left" if liked > 0.4 else "right" if liked < -0.4 else "draw"
            answer_pair(store, pair.assignment_id, rater, winner, watched=(1, 1))
    create_invite(store, study, admin, "batch 1", max_raters=20)
    change_settings(store, study, admin, watch_share=0.9, pairs_per_rater=PAIRS, target_per_pair=40)


@contextmanager
def app(folder: Path, probes: Path | None) -> Iterator[str]:
    """`basalt ui` on the store of a folder; gives the address at which an admin is logged in.

    Args:
        folder: Folder of the store.
        probes: Folder with suites for the Probes page; None for none.
    """
    log = folder / "ui.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "basalt.cli",
                "ui",
                "--store",
                str(folder / STORE),
                "--headless",
            ],
            cwd=folder,
            env=os.environ | ({} if probes is None else {PROBES_VARIABLE: str(probes.resolve())}),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        began = monotonic()
        while not (found := re.search(r"\S+/session/enter/\S+", log.read_text())):
            if server.poll() is not None or monotonic() - began > WAITS / 1000:
                raise SystemExit(f"basalt ui did not start: {log.read_text()}")
            sleep(0.2)
        yield found.group()
    finally:
        server.terminate()
        server.wait()


def settle(page: Page) -> None:
    """Wait until a page is drawn."""
    for _ in range(2):
        page.locator(DRAWN).wait_for()
        page.wait_for_timeout(1000)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(700)


def open_page(browser: Browser, address: str, *, width: int = 1366, height: int = 768) -> Page:
    """A page of a browser of its own."""
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(WAITS)
    page.goto(address)
    return page


def take_for_raters(browser: Browser, url: str, out: Path) -> None:
    """Take the pictures of Judge and Compare clips.

    Args:
        browser: The browser.
        url: Address of the app.
        out: Folder of the pictures.
    """
    page = open_page(browser, url)
    page.get_by_role("button", name="Begin", exact=True).click()
    play = page.get_by_role("button", name="Play", exact=True)
    play.click()
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.mouse.move(5, 5)
    settle(page)
    page.screenshot(path=out / "judge.png")

    page = open_page(browser, f"{url}/compare")
    page.get_by_role("button", name="Begin", exact=True).click()
    for _ in range(5):
        stage = page.locator(".stage[data-pair]:not([data-pair=''])")
        stage.wait_for()
        answered = str(stage.get_attribute("data-pair"))
        page.wait_for_timeout(CLIP_LOOKED_AT)
        page.keyboard.press("1")
        expect(page.locator(".stage")).not_to_have_attribute("data-pair", answered, timeout=WAITS)
    page.get_by_text("Saved.").wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "compare.png")


def take_for_admins(browser: Browser, enter: str, out: Path, *, probes: bool) -> None:
    """Take the pictures of the other pages.

    Args:
        browser: The browser.
        enter: Address at which an admin is logged in.
        out: Folder of the pictures.
        probes: Whether there is a suite to show.
    """
    url = enter.split("/session/enter/")[0]
    page = open_page(browser, enter, height=800)
    settle(page)
    page.goto(f"{url}/leaderboard")
    settle(page)
    page.screenshot(path=out / "leaderboard.png")
    page.set_viewport_size({"width": 1366, "height": 900})
    page.goto(f"{url}/study")
    settle(page)
    page.screenshot(path=out / "study.png")
    page.goto(f"{url}/episodes")
    settle(page)
    page.get_by_label("Compare with", exact=True).click()
    page.keyboard.type("random")
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(5000)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.mouse.move(5, 5)
    page.wait_for_timeout(800)
    page.screenshot(path=out / "episodes.png")
    if probes:
        page.set_viewport_size({"width": 1100, "height": 1200})
        page.goto(f"{url}/probes")
        page.locator(".latent video").first.wait_for()
        settle(page)
        page.screenshot(path=out / "probes.jpg", quality=82)


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="Folder of a demo.")
    parser.add_argument("--out", type=Path, default=PICTURES, help="Folder of the pictures.")
    parser.add_argument("--probes", type=Path, help="Folder with suites of `basalt probe scope`.")
    args = parser.parse_args()
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for file in args.demo.glob(f"{STORE}*"):
            shutil.copy(file, folder)
        shutil.copytree(args.demo / MEDIA, folder / MEDIA)
        store = open_store(folder / STORE)
        try:
            make_answers(store, find_study(store))
        finally:
            store.close()
        with app(folder, args.probes) as enter, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            # Before there are clips: admins see the newest study.
            take_for_admins(browser, enter, args.out, probes=args.probes is not None)
            ask(
                AskConfig(
                    task="find_cave", recordings=("sample",), n=40, store=str(folder / STORE), progress=False
                )
            )  # fmt: skip
            take_for_raters(browser, enter.split("/session/enter/")[0], args.out)
            browser.close()


if __name__ == "__main__":
    main()
