"""A person judges in a real browser: the pair plays in step, the answer is stored, the table follows."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from three_players import ROOT, SEEDS, record_three

from leaderboard.models import Judgment
from leaderboard.store import Store, open_store
from leaderboard.study import create_study, demo_study, find_study
from leaderboard.submissions import submit_recordings
from leaderboard.telemetry_judge import judge_by_telemetry

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

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
# Names that occur in no text of the page nor of Streamlit.
PLAYERS = {"good": "Quartzwalker", "middling": "Ludwigia", "bad": "Zamioculcas"}
PATIENCE = 60_000  # milliseconds; machines that run the tests may be slow
FRAME = 1 / 20

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return record_three(tmp_path_factory.mktemp("recordings"), steps=60)


@pytest.fixture
def place(tmp_path: Path, recordings: dict[str, Path]) -> Path:
    """A store with a study of six pairs, judged by telemetry so far."""
    path = tmp_path / "leaderboard.sqlite"
    store = open_store(path)
    study = create_study(store, "demo", demo_study({"find_cave": SEEDS}, "test", "1"))
    for player, folder in recordings.items():
        submit_recordings(store, study, folder, PLAYERS[player])
    judge_by_telemetry(store, study)
    store.close()
    return path


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def address(place: Path, tmp_path: Path) -> Iterator[str]:
    """The address of `basalt ui`, started as a user starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "ui.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable, "-c", "from basalt.cli import main; main()", "ui",
            "--store", str(place), "--port", str(port), "--headless",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if server.poll() is not None:
                pytest.fail(f"basalt ui ended: {(tmp_path / 'ui.log').read_text()}")
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"basalt ui did not answer: {(tmp_path / 'ui.log').read_text()}")
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    opened = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    opened.set_default_timeout(PATIENCE)
    return opened


def watch_requests(page: Page) -> list[Request]:
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request))
    return seen


def videos(page: Page) -> tuple[Locator, Locator]:
    return page.locator("video.left"), page.locator("video.right")


def ready(page: Page) -> None:
    """Wait until a pair is shown whose two videos can play."""
    for video in videos(page):
        video.wait_for()
        handle = video.element_handle()
        page.wait_for_function("video => video.readyState >= 3", arg=handle)


def positions(page: Page) -> tuple[float, float]:
    """Where both videos are now, in seconds, read in one go."""
    left, right = (video.element_handle() for video in videos(page))
    values = page.evaluate(
        "([left, right]) => [left.currentTime, right.currentTime]", [left, right]
    )
    return values[0], values[1]


def play(page: Page) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()


def pair_shown(page: Page) -> str:
    return str(videos(page)[0].get_attribute("src"))


def answer(page: Page, name: str) -> None:
    """Press an answer and wait until another pair is shown."""
    before = pair_shown(page)
    page.get_by_role("button", name=name).click()
    expect(videos(page)[0]).not_to_have_attribute("src", before, timeout=PATIENCE)


def human(store: Store) -> list[Judgment]:
    with store.read() as session:
        query = sa.select(Judgment).where(Judgment.source == "human").order_by(Judgment.number)
        return list(session.scalars(query))


def test_a_person_judges_and_the_table_follows(address: str, page: Page, store: Store) -> None:
    requests = watch_requests(page)
    page.goto(f"{address}/leaderboard")
    page.locator(".board").first.wait_for()
    assert page.locator(".board").count() == 1
    assert page.locator(".board[data-source=telemetry] tbody tr").count() == 3
    assert page.get_by_text("Telemetry stand-in").count() >= 1
    # Opened by its address first of all, the page still stands in the app's frame.
    assert page.get_by_test_id("stSidebarNav").count() == 0
    assert page.get_by_role("link", name="Judge").count() == 1

    page.goto(address)
    ready(page)
    assert "Find Cave: which player did better?" in page.inner_text("body")
    first = pair_shown(page)
    for name in ("Left did better", "Draw", "Right did better", "Both bad"):
        assert page.get_by_role("button", name=name).is_disabled()

    play(page)
    gaps: list[float] = []
    while len(gaps) < 8:
        left, right = positions(page)
        gaps.append(abs(left - right))
        page.wait_for_timeout(150)
    assert min(positions(page)) > 0
    assert max(gaps) <= 3 * FRAME

    page.get_by_placeholder("What decided it?").fill("walks <b>straight</b> in; 'left' wins")
    answer(page, "Left did better")
    ready(page)
    assert pair_shown(page) != first
    assert page.get_by_placeholder("What decided it?").input_value() == ""
    page.get_by_text("1 of 6 pairs judged").wait_for()
    (stored,) = human(store)
    assert stored.winner == "left"
    assert stored.justification == "walks <b>straight</b> in; 'left' wins"
    assert stored.assignment_id is not None and stored.assignment_id in first
    assert stored.video_events[0]["type"] == "play"

    # Blind: names neither in what the page holds nor in what it asks for.
    html = page.content()
    for name in PLAYERS.values():
        assert name not in html
        assert not [one.url for one in requests if name.lower() in one.url.lower()]
    # Offline: nothing is fetched from anywhere else.
    assert {one.url.split("/")[2] for one in requests if one.url.startswith("http")} == {
        address.split("/")[2]
    }

    page.get_by_role("link", name="Leaderboard").click()
    people = page.locator(".board[data-source=human]")
    people.wait_for()
    assert people.locator("tbody tr").count() == 2
    winner = people.locator("tbody tr").first
    assert "29.40" in winner.inner_text()
    assert winner.locator(".agent").inner_text() in PLAYERS.values()


def test_one_screen_of_a_laptop_holds_videos_and_answers(address: str, page: Page) -> None:
    for height in (LAPTOP["height"], 625):
        page.set_viewport_size({"width": LAPTOP["width"], "height": height})
        page.goto(address)
        ready(page)
        boxes = [video.bounding_box() for video in videos(page)]
        boxes += [
            page.get_by_role("button", name=name).bounding_box()
            for name in ("Left did better", "Draw", "Right did better", "Both bad", "Skip")
        ]
        for box in boxes:
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height


def test_one_control_moves_both_videos(address: str, page: Page) -> None:
    page.goto(address)
    ready(page)
    page.locator("select.speed").select_option("2")
    page.locator("input.scrub").fill("1.5")
    assert positions(page) == pytest.approx((1.5, 1.5), abs=FRAME)
    page.mouse.click(5, 400)
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    for video in videos(page):
        assert video.evaluate("video => video.playbackRate") == pytest.approx(2, rel=0.11)
    # To the end: the shorter one waits on its last picture, and says so.
    page.get_by_role("button", name="Play", exact=True).wait_for()
    assert page.get_by_text("ended", exact=True).count() == 2
    page.get_by_role("button", name="Restart").click()
    page.wait_for_function(
        "videos => videos.every(video => video.currentTime === 0)",
        arg=[video.element_handle() for video in videos(page)],
    )


def test_all_pairs_by_keyboard_then_thanks(address: str, page: Page, store: Store) -> None:
    page.goto(address)
    for number, key in enumerate(("1", "2", "3", "1", "2", "3"), start=1):
        ready(page)
        before = pair_shown(page)
        # The last pair's answers stand open until the page is drawn anew; a key then answers nothing.
        draw = page.get_by_role("button", name="Draw")
        expect(draw).to_be_disabled(timeout=PATIENCE)
        play(page)
        expect(draw).to_be_enabled(timeout=PATIENCE)
        page.keyboard.press(key)
        shown = "Thank you" if number == 6 else f"{number} of 6 pairs judged"
        page.get_by_text(shown, exact=True).wait_for()
        if number < 6:
            expect(videos(page)[0]).not_to_have_attribute("src", before, timeout=PATIENCE)
    assert [one.winner for one in human(store)] == ["left", "draw", "right"] * 2
    assert len({one.pair for one in human(store)}) == 6


def test_coming_back_is_the_same_rater_with_the_same_pair(
    address: str, browser: Browser, page: Page, store: Store
) -> None:
    page.goto(address)
    ready(page)
    answer(page, "Skip")
    page.get_by_text("1 of 6 pairs judged").wait_for()
    ready(page)
    shown = pair_shown(page)
    page.reload()
    ready(page)
    page.get_by_text("1 of 6 pairs judged").wait_for()
    assert pair_shown(page) == shown
    other = browser.new_context().new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(address)
    ready(other)
    other.get_by_text("0 of 6 pairs judged").wait_for()
    assert pair_shown(other) != shown
    assert len(human(store)) == 1
    assert find_study(store).name == "demo"
