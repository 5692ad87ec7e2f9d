"""axe finds no violation of any level on any page, as raters, researchers and visitors see them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from basalt.core.loop_record import FILE, LoopRecord, LoopRound
from basalt.feedback.ask import AskConfig, ask
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import join, new_rater_secret
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.html_report import write_page
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Episode
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support.clip_recordings import record_cave
from tests.support.probed_runs import write_suite
from tests.support.real_browser import CHROMIUM, LAPTOP, PATIENCE, running_app
from tests.support.three_players import SEEDS, record_three

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
pytest.importorskip("axe_playwright_python", reason="pip install axe-playwright-python")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.judging_in_browser import ready, submit, watch

ADMIN = command_line_admin()
DRAWN = (
    "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
)
SECTIONS = (
    "Progress", "Raters", "Gold pairs", "Invites", "Settings", "Export", "History", "Studies",
)  # fmt: skip
SETTINGS = ("Welcome page", "Answers", "Checks", "Targets", "Crowd platform", "Preview")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a researcher has it: a study that people have judged, one of clips, a suite and a loop."""
    folder = tmp_path_factory.mktemp("everything")
    store = open_store(folder / "leaderboard.sqlite")
    for seed in (100_001, 100_002):
        record_cave(folder / "played", seed, player=f"player {seed}", steps=80, cave_from=40)
    ask(
        AskConfig(
            task="find_cave", recordings=(str(folder / "played"),), n=12, clip=30,
            store=str(folder / "leaderboard.sqlite"), progress=False,
        )
    )  # fmt: skip
    study = create_study(store, "paid", demo_study({"find_cave": SEEDS}, "test", "1"))
    for played in record_three(folder / "recordings", steps=20).values():
        submit_recordings(store, study, played)
    judge_by_telemetry(store, study)
    change_settings(store, study, ADMIN, watch_share=0.0, target_per_pair=2, target_per_agent=5)
    for winner in ("left", "right", "draw"):
        rater = join(store, study, new_rater_secret(store))
        for _ in range(4):
            pair = next_pair(store, study, rater)
            assert pair is not None
            answer_pair(store, pair.assignment_id, rater, winner)
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode).where(Episode.seed == SEEDS[0])))
    for practice in (True, False):
        add_gold_pair(
            store,
            study,
            ADMIN,
            episodes[0].id,
            episodes[1 + practice].id,
            "left",
            practice=practice,
        )
    create_invite(store, study, ADMIN, "batch 1")
    tables = rate(load_comparisons(store, study))
    write_page(folder / "board.html", study.name, [analyse(table) for table in tables])
    store.close()
    write_suite(folder)
    rounds = tuple(
        LoopRound(
            number=n, run=f"runs/loop/{n}", labels=500 * n, decided=300 * n, gold=0.2, divergence=0.04 * n,
            success=0.1, success_interval=(0.0, 0.5), stop_rate=0.4, episodes=30, seconds=10.0, proxy=0.5,
        )
        for n in range(3)
    )  # fmt: skip
    LoopRecord(
        task="find_cave", init="runs/bc", improve="cpl", teacher="mixed", planned=3, stage="", rounds=rounds
    ).write(folder / "runs" / "loop" / FILE)  # fmt: skip
    return folder


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    opened = open_store(place / "leaderboard.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return find_study(store, "paid")


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with running_app(place / "leaderboard.sqlite", place, place / "ui.log") as url:
        yield url


@pytest.fixture
def admin(address: str, place: Path, browser: Browser) -> Page:
    """A page at which an admin is logged in."""
    page = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    log = (place / "ui.log").read_text()
    page.goto(next(word for word in log.split() if "/session/enter/" in word))
    drawn(page)
    return page


def drawn(page: Page) -> None:
    """Wait until the app has drawn the page and its fonts and charts are there."""
    page.locator(DRAWN).wait_for()
    page.wait_for_timeout(700)
    page.locator(DRAWN).wait_for()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=PATIENCE)


def violations(page: Page) -> list[str]:
    """What axe finds, of whatever level, with the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:150]}"
        for one in found
        for node in one["nodes"]
    ]


def test_axe_finds_a_picture_without_a_text(page: Page) -> None:
    page.set_content("<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src=x>")
    assert [one.split()[0] for one in violations(page)] == ["image-alt"]


def test_the_pages_of_a_rater(address: str, store: Store, study: StudyInfo, page: Page) -> None:
    change_settings(
        store, study, ADMIN, consent="## Who we are\n\nWe keep your answers.", qualification_pairs=1,
        qualification_right=0, pairs_per_rater=1, completion_code="DONE", scale="strength",
        show_results=False, check_share=0.0, watch_share=0.9,
    )  # fmt: skip
    found = {}
    page.goto(f"{address}/?study=paid")
    drawn(page)
    found["consent"] = violations(page)
    page.get_by_role("button", name="I do not agree").click()
    page.get_by_text("Nothing was stored").wait_for()
    drawn(page)
    found["declined"] = violations(page)
    page.get_by_role("button", name="Back to the consent form").click()
    page.get_by_text("I have read this").click()
    ready(page)
    drawn(page)
    found["practice pair"] = violations(page)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    found["keys"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="About you").click()
    page.get_by_text("Forget me").first.wait_for()
    found["about you"] = violations(page)
    page.keyboard.press("Escape")
    page.mouse.click(5, 400)
    watch(page)
    submit(page, "1")
    page.get_by_role("status", name="Practice").wait_for()
    found["verdict"] = violations(page)
    page.keyboard.press("Enter")
    page.get_by_text("0 of 1 pairs judged").wait_for()
    watch(page)
    found["pair"] = violations(page)
    submit(page, "2")
    page.get_by_role("heading", name="Thank you").wait_for()
    drawn(page)
    found["thank you"] = violations(page)
    change_settings(store, study, ADMIN, open_signup=False)
    page.context.clear_cookies()
    page.goto(f"{address}/?study=paid")
    drawn(page)
    found["not invited"] = violations(page)
    page.goto(f"{address}/?invite=wrong")
    drawn(page)
    found["wrong invite"] = violations(page)
    change_settings(
        store, study, ADMIN, open_signup=True, paused=True, title="Caves", minutes=20, pay="3 euros",
        completion_code="DONE", endings={"closed": {"code": "PAUSED", "url": "https://crowd.example/{code}"}},
    )  # fmt: skip
    page.goto(f"{address}/?study=paid")
    page.get_by_role("heading", name="This study is paused").wait_for()
    drawn(page)
    found["paused"] = violations(page)
    change_settings(store, study, ADMIN, paused=False)
    page.goto(f"{address}/?study=paid")
    page.get_by_text("about 20 minutes").wait_for()
    drawn(page)
    found["facts"] = violations(page)
    change_settings(
        store, study, ADMIN, open_signup=True, show_results=True, qualification_pairs=0, consent="",
        pairs_per_rater=None, scale="side", watch_share=0.0,
    )  # fmt: skip
    assert not {name: faults for name, faults in found.items() if faults}


def test_comparing_clips(address: str, page: Page) -> None:
    page.goto(f"{address}/compare")
    drawn(page)
    found = {"instructions": violations(page)}
    page.get_by_role("button", name="Begin", exact=True).click()
    page.locator(".stage[data-pair]:not([data-pair=''])").wait_for()
    found["clips"] = violations(page)
    assert not {name: faults for name, faults in found.items() if faults}


def test_the_public_pages_and_the_login(address: str, page: Page, place: Path) -> None:
    found = {}
    for name in ("leaderboard", "episodes", "loops", "probes", "study"):
        page.goto(f"{address}/{name}?study=paid")
        drawn(page)
        found[name] = violations(page)
    page.goto(f"{address}/leaderboard?study=paid")
    page.get_by_text("All columns").first.click()
    drawn(page)
    found["all columns"] = violations(page)
    page.goto((place / "board.html").as_uri())
    found["exported page"] = violations(page)
    assert not {name: faults for name, faults in found.items() if faults}


def test_the_pages_of_an_admin(address: str, admin: Page) -> None:
    found = {}
    for section in SECTIONS:
        admin.goto(f"{address}/study?study=paid")
        drawn(admin)
        admin.get_by_role("tab", name=re.compile(f"^{section}$")).click()
        drawn(admin)
        found[section] = violations(admin)
        for tab in SETTINGS if section == "Settings" else ():
            admin.get_by_role("tab", name=tab, exact=True).click()
            drawn(admin)
            found[f"{section}: {tab}"] = violations(admin)
    for name in ("leaderboard", "episodes", "loops", "probes"):
        admin.goto(f"{address}/{name}?study=paid")
        drawn(admin)
        found[name] = violations(admin)
    assert not {name: faults for name, faults in found.items() if faults}
