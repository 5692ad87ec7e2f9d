"""People judge in a real browser: pairs play in step, answers are stored, the table and the admin follow."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck, CheckAnswer, Episode, Judgment
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support.real_browser import (
    CHROMIUM,
    LAPTOP,
    PATIENCE,
    PHONE,
    TABLETS,
    begin,
    free_port,
    running_app,
)
from tests.support.three_players import SEEDS, record_three

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.support.judging_in_browser import hint, pair_shown, ready, submit, videos, watch

# Names that occur in no text of the page nor of Streamlit.
PLAYERS = {"good": "Quartzwalker", "middling": "Ludwigia", "poor": "Zamioculcas"}
ADMIN = command_line_admin()
FRAME = 1 / 20

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return record_three(tmp_path_factory.mktemp("recordings"), steps=40)


def fill(folder: Path, recordings: dict[str, Path]) -> Path:
    """Make a store with a study of six pairs, judged by telemetry so far."""
    path = folder / "leaderboard.sqlite"
    store = open_store(path)
    study = create_study(store, "demo", demo_study({"find_cave": SEEDS}, "test", "1"))
    for player, folder in recordings.items():
        submit_recordings(store, study, folder, PLAYERS[player])
    judge_by_telemetry(store, study)
    change_settings(store, study, ADMIN, watch_share=0.9)
    store.close()
    return path


@pytest.fixture
def place(tmp_path: Path, recordings: dict[str, Path]) -> Path:
    return fill(tmp_path, recordings)


@pytest.fixture(scope="module")
def shared_address(
    recordings: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of an app for tests that store no answer."""
    folder = tmp_path_factory.mktemp("shared")
    with running_app(fill(folder, recordings), folder, folder / "ui.log") as url:
        yield url


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What `basalt ui` prints."""
    return tmp_path / "ui.log"


@pytest.fixture
def address(place: Path, tmp_path: Path, log: Path) -> Iterator[str]:
    """The address of `basalt ui`, started as a user starts it."""
    with running_app(place, tmp_path, log) as url:
        yield url


def watch_requests(page: Page) -> list[Request]:
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request))
    return seen


def positions(page: Page) -> tuple[float, float]:
    """Where both videos are now, in seconds, read in one go."""
    left, right = (video.element_handle() for video in videos(page))
    values = page.evaluate(
        "([left, right]) => [left.currentTime, right.currentTime]", [left, right]
    )
    return values[0], values[1]


def answer(page: Page, key: str) -> None:
    """Answer, and wait until it is stored and another pair is shown."""
    before = pair_shown(page)
    submit(page, key)
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
    # Opened by its address first of all, the page is still shown in the app's frame.
    assert page.get_by_test_id("stSidebarNav").count() == 0
    assert page.get_by_role("link", name="Judge").count() == 1

    requests.clear()
    page.goto(address)
    ready(page)
    page.get_by_role("heading", name="Find Cave: which player did better?").wait_for()
    first = pair_shown(page)

    # Before both videos were seen, an answer can be chosen and not submitted.
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Left did better")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("Enter")
    expect(hint(page)).to_contain_text("of both videos")
    expect(hint(page)).to_have_class("hint wrong")
    assert human(store) == []

    page.keyboard.press("Space")
    gaps: list[float] = []
    while len(gaps) < 8:
        left, right = positions(page)
        gaps.append(abs(left - right))
        page.wait_for_timeout(150)
    assert min(positions(page)) > 0
    assert max(gaps) <= 3 * FRAME
    expect(page.get_by_text("seen ✓")).to_have_count(2, timeout=PATIENCE)
    # What was asked for has been done: the complaint is gone.
    expect(hint(page)).to_have_text("Ready to submit.")
    expect(hint(page)).not_to_have_class("hint wrong")

    page.keyboard.press("w")
    page.keyboard.type("walks <b>straight</b> in; 'left' wins")
    page.keyboard.press("Control+Enter")
    expect(videos(page)[0]).not_to_have_attribute("src", first, timeout=PATIENCE)
    ready(page)
    page.get_by_text("1 of 6 pairs judged").wait_for()
    assert page.locator("textarea.reason").input_value() == ""
    # Keys are the next pair's at once, not letters in the field that the last reason was written in.
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="Draw")).to_have_attribute("aria-pressed", "true")
    assert page.locator("textarea.reason").input_value() == ""
    (stored,) = human(store)
    assert stored.winner == "left"
    assert stored.justification == "walks <b>straight</b> in; 'left' wins"
    assert stored.watched_left is not None and stored.watched_left >= 0.9
    assert {"play", "quarter-1", "quarter-3"} <= {event["type"] for event in stored.video_events}

    # Blind: neither names nor seeds nor hashes, in what the page holds and in what it asks for.
    with store.read() as session:
        secrets = [str(one.seed) for one in session.scalars(sa.select(Episode))]
        secrets += [one.video_sha256 for one in session.scalars(sa.select(Episode))]
    html = page.content()
    for secret in (*PLAYERS.values(), *secrets):
        assert secret not in html
        assert not [one.url for one in requests if secret.lower() in one.url.lower()]
    # Offline: nothing is fetched from anywhere else.
    assert {one.url.split("/")[2] for one in requests if one.url.startswith("http")} == {
        address.split("/")[2]
    }

    page.get_by_role("link", name="Leaderboard").click()
    people = page.locator(".board[data-source=human]")
    people.wait_for()
    assert people.locator("tbody tr").count() == 2
    winner = people.locator("tbody tr").first
    assert winner.locator(".agent").inner_text() in PLAYERS.values()
    assert winner.locator("td").count() == 6
    page.get_by_text("All columns").click()
    expect(winner).to_contain_text("29.40")  # TrueSkill


def test_one_screen_of_a_laptop_or_of_a_phone_held_sideways_holds_videos_and_answers(
    shared_address: str, page: Page
) -> None:
    for width, height in ((LAPTOP["width"], LAPTOP["height"]), (LAPTOP["width"], 625), (844, 390)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(shared_address)
        ready(page)
        boxes = [video.bounding_box() for video in videos(page)]
        boxes += [
            page.get_by_role("button", name=name).bounding_box()
            for name in (
                "Left did better",
                "Draw",
                "Right did better",
                "Both bad",
                "No opinion",
                "Video broken",
                "Submit",
            )
        ]
        for box in boxes:
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height
        assert all(box["width"] > 0.3 * width for box in boxes[:2] if box)


FIRST_VISIT = 1_000_000
"""Bytes that a rater's browser may load before the first pair, its videos apart."""


def test_a_first_visit_loads_less_than_a_megabyte(shared_address: str, browser: Browser) -> None:
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        network = context.new_cdp_session(page)
        addresses: dict[str, str] = {}
        sizes: dict[str, float] = {}
        network.on(
            "Network.responseReceived",
            lambda it: addresses.update({it["requestId"]: it["response"]["url"]}),
        )
        network.on(
            "Network.loadingFinished",
            lambda it: sizes.update({it["requestId"]: it["encodedDataLength"]}),
        )
        network.send("Network.enable")
        page.goto(shared_address)
        ready(page)
        loaded = {
            url: sizes.get(one, 0) for one, url in addresses.items() if "/api/video/" not in url
        }
    assert any("/static/js/" in url for url in loaded)
    assert sum(loaded.values()) < FIRST_VISIT, sorted(loaded.items(), key=lambda item: -item[1])[:8]


def test_every_page_comes_with_the_style(shared_address: str, page: Page) -> None:
    for path in ("", "leaderboard", "episodes"):
        page.goto(f"{shared_address}/{path}")
        expect(page.locator(".stMainBlockContainer")).to_have_css("max-width", "1440px")


def test_one_control_moves_both_videos(shared_address: str, page: Page) -> None:
    page.goto(shared_address)
    ready(page)
    page.locator("input.scrub").fill("1.5")
    assert positions(page) == pytest.approx((1.5, 1.5), abs=FRAME)
    page.mouse.click(5, 400)
    # A frame on, to its middle; and back.
    page.keyboard.press(".")
    assert positions(page) == pytest.approx((1.575, 1.575), abs=0.002)
    page.keyboard.press(",")
    assert positions(page) == pytest.approx((1.525, 1.525), abs=0.002)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.locator("select.speed").input_value() == "2"
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    for video in videos(page):
        assert video.evaluate("video => video.playbackRate") == pytest.approx(2, rel=0.11)
    # To the end: the shorter one waits on its last picture, and says so.
    page.get_by_role("button", name="Play", exact=True).wait_for()
    expect(page.get_by_text("ended")).to_have_count(2)
    # Only half was played: scrubbing is not watching.
    expect(page.get_by_text("seen ✓")).to_have_count(0)
    page.keyboard.press("Home")
    page.wait_for_function(
        "videos => videos.every(video => video.currentTime === 0)",
        arg=[video.element_handle() for video in videos(page)],
    )
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement !== null")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement === null")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys = page.get_by_role("dialog").locator("dt").all_inner_texts()
    assert "space" in keys and "W" in keys and len(keys) == len(set(keys)) == 11


def test_an_answer_outlives_the_server_and_is_taken_back_with_everything(
    place: Path, tmp_path: Path, log: Path, page: Page, store: Store
) -> None:
    change_settings(store, find_study(store), ADMIN, undo_seconds=600)
    port = free_port()
    with running_app(place, tmp_path, log, port) as address:
        page.goto(address)
        watch(page)
    page.keyboard.press("3")
    page.keyboard.press("w")
    page.keyboard.type("walks straight in")
    page.keyboard.press("Control+Enter")
    expect(hint(page)).to_contain_text("sent again by itself", timeout=PATIENCE)
    with running_app(place, tmp_path, log, port):
        page.get_by_text("1 of 6 pairs judged").wait_for()
        ready(page)
        (stored,) = human(store)
        assert (stored.winner, stored.justification) == ("right", "walks straight in")
        # Nothing of it has to be watched, chosen or typed again.
        page.keyboard.press("u")
        page.get_by_text("0 of 6 pairs judged").wait_for()
        ready(page)
        expect(page.get_by_text("seen ✓")).to_have_count(2)
        expect(page.get_by_role("button", name="Right did better")).to_have_attribute(
            "aria-pressed", "true"
        )
        assert page.locator("textarea.reason").input_value() == "walks straight in"
        expect(page.locator(".undo")).to_be_hidden()
        page.keyboard.press("Enter")
        page.get_by_text("1 of 6 pairs judged").wait_for()
    assert [(one.attempt, one.winner) for one in human(store)] == [(0, "right"), (1, "right")]


def test_the_next_videos_are_loaded_while_the_present_pair_is_judged(
    address: str, page: Page, store: Store
) -> None:
    page.goto(address)
    ready(page)
    pair = page.locator(".stage[data-pair]").get_attribute("data-pair")
    page.locator(f".stage[data-ahead='{pair}']").wait_for()
    sources: list[tuple[str, bool]] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on(
        "Network.responseReceived",
        lambda seen: sources.append((seen["response"]["url"], seen["response"]["fromDiskCache"])),
    )
    watch(page)
    answer(page, "1")
    ready(page)
    page.get_by_text("1 of 6 pairs judged").wait_for()
    shown = [f"{address}{video.get_attribute('src')}" for video in videos(page)]
    assert [dict(sources).get(one) for one in shown] == [True, True]
    assert page.locator(".stage[data-wait]").count() == 1
    # The page was not drawn again for it, and what a reload draws is the same pair.
    page.reload()
    ready(page)
    assert [f"{address}{video.get_attribute('src')}" for video in videos(page)] == shown


def qualify(store: Store, page: Page) -> None:
    """Answer a practice pair rightly, by keyboard."""
    watch(page)
    with store.read() as session:
        (open_one,) = session.scalars(
            sa.select(AttentionCheck).where(
                AttentionCheck.id.not_in(sa.select(CheckAnswer.check_id))
            )
        )
    shown = pair_shown(page)
    submit(page, {"left": "1", "draw": "2", "right": "3"}[open_one.expected])
    # The verdict comes with its pair, which stays until the rater continues.
    expect(page.get_by_role("status", name="Practice")).to_contain_text("It walked straight in.")
    assert pair_shown(page) == shown
    page.keyboard.press("Enter")
    expect(videos(page)[0]).not_to_have_attribute("src", shown, timeout=PATIENCE)


@pytest.mark.long
def test_what_plays_while_the_page_is_busy_counts_as_seen(shared_address: str, page: Page) -> None:
    page.goto(shared_address)
    ready(page)
    page.get_by_role("button", name="Play", exact=True).evaluate(
        "button => { button.click(); const end = performance.now() + 800; while (performance.now() < end); }"
    )
    expect(page.get_by_text("seen ✓")).to_have_count(2, timeout=PATIENCE)


@pytest.mark.long
def test_invite_qualify_judge_leave_come_back_and_be_banned(
    address: str, browser: Browser, page: Page, store: Store, log: Path
) -> None:
    study = find_study(store)
    with store.read() as session:
        episodes = list(session.scalars(sa.select(Episode).order_by(Episode.seed, Episode.id)))
    for seed in SEEDS:
        one, other, _ = (episode.id for episode in episodes if episode.seed == seed)
        add_gold_pair(store, study, ADMIN, one, other, "left", "It walked straight in.")
    change_settings(
        store, study, ADMIN, open_signup=False, show_results=False, consent="We keep your answers.",
        qualification_pairs=1, qualification_right=1,
    )  # fmt: skip

    # The admin's own browser, by the link that was printed.
    link = next(word for word in log.read_text().split() if "/session/enter/" in word)
    admin = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    admin.set_default_timeout(PATIENCE)
    admin.goto(link)
    admin.get_by_role("link", name="Study").click()
    admin.get_by_role("tab", name="Invites").click()
    admin.get_by_label("New invite for").fill("the lab")
    admin.get_by_role("button", name="Create link").click()
    invite = admin.locator("code", has_text="?invite=").first.inner_text()
    assert invite.startswith(f"{address}/?invite=")
    assert create_invite(store, study, ADMIN, "another") not in invite

    # Without the link there is no way in, and no result to see.
    page.goto(address)
    page.get_by_text("by invitation only").wait_for()
    page.goto(f"{address}/study")
    page.get_by_text("Log in as an admin").wait_for()
    page.goto(invite)
    page.get_by_text("We keep your answers.").wait_for()
    assert page.get_by_role("button", name="Begin").is_disabled()
    page.get_by_text("I have read this").click()
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("0 of 1 practice pairs").wait_for()
    page.mouse.click(5, 400)
    qualify(store, page)
    # The practice pair is not asked about again.
    page.get_by_text("0 of 5 pairs judged").wait_for()

    winners = ["left", "draw", "right", "both_bad", "left"]
    for number, key in enumerate(("1", "2", "3"), start=1):
        watch(page)
        answer(page, key)
        page.get_by_text(f"{number} of 5 pairs judged").wait_for()
    # Away in the middle of a pair, and back in the same browser: the same pair, as far as it was seen.
    watch(page)
    shown = videos(page)[1].evaluate("video => video.duration")
    page.goto("about:blank")
    page.goto(address)
    ready(page)
    page.get_by_text("3 of 5 pairs judged").wait_for()
    assert videos(page)[1].evaluate("video => video.duration") == shown
    expect(page.get_by_text("seen ✓")).to_have_count(2)
    page.mouse.click(5, 400)
    answer(page, "4")
    page.get_by_text("4 of 5 pairs judged").wait_for()
    watch(page)
    submit(page, "1")
    page.get_by_role("heading", name="Thank you").wait_for()
    assert [one.winner for one in human(store)] == winners
    assert len({one.pair for one in human(store)}) == 5

    page.goto(f"{address}/leaderboard")
    page.get_by_text("shown when the study has ended").wait_for()
    admin.goto(f"{address}/leaderboard")
    admin.locator(".board[data-source=human]").wait_for()
    admin.goto(f"{address}/study")
    admin.get_by_role("tab", name="Raters").click()
    admin.get_by_label("Reason").fill("at random")
    admin.get_by_label("Reason").press("Enter")
    admin.get_by_role("button", name="Ban", exact=True).click()
    admin.get_by_role("button", name="Lift ban").wait_for()

    page.goto(address)
    page.get_by_text("You can no longer judge in this study").wait_for()
    admin.goto(f"{address}/leaderboard")
    admin.locator(".board[data-source=telemetry]").wait_for()
    assert admin.locator(".board[data-source=human]").count() == 0
    assert len(human(store)) == 5  # nothing is deleted


def test_two_browsers_are_two_raters(
    address: str, browser: Browser, page: Page, store: Store
) -> None:
    page.goto(address)
    ready(page)
    answer(page, "5")
    expect(hint(page)).to_contain_text("Skipped pairs do not count")
    page.get_by_text("0 of 6 pairs judged").wait_for()
    watch(page)
    answer(page, "1")
    page.get_by_text("1 of 6 pairs judged").wait_for()
    other = browser.new_context().new_page()
    other.set_default_timeout(PATIENCE)
    # Videos that fail are loaded again, and nothing is said about them any more.
    lost = iter(range(2))
    other.route(
        "**/api/video/**",
        lambda route: route.continue_() if next(lost, None) is None else route.abort(),
    )
    other.goto(address)
    begin(other)
    expect(other.locator(".trouble")).to_contain_text("is loading again", timeout=PATIENCE)
    ready(other)
    expect(other.locator(".trouble")).to_be_hidden()
    other.get_by_text("0 of 6 pairs judged").wait_for()
    assert pair_shown(other) != pair_shown(page)
    assert [one.skip_reason for one in human(store)] == ["no_opinion", None]
    # A pair whose videos never load is skipped, and the next one plays without a word about it.
    never: list[str] = []

    def lose(route: Route) -> None:
        address = route.request.url.partition("?")[0]
        if address not in never and len(never) < 2:
            never.append(address)
        if address in never:
            route.abort()
        else:
            route.continue_()

    other.route("**/api/video/**", lose)
    for trouble in ("loading again", None):
        before = pair_shown(other)
        submit(other, "6")
        expect(videos(other)[0]).not_to_have_attribute("src", before, timeout=PATIENCE)
        if trouble:
            expect(other.locator(".trouble")).to_contain_text(trouble, timeout=PATIENCE)
    ready(other)
    expect(other.locator(".trouble")).to_be_hidden()
    assert [one.skip_reason for one in human(store)][2:] == ["broken", "broken"]


def test_episodes_are_watched_and_compared_with_their_telemetry(
    shared_address: str, page: Page
) -> None:
    page.goto(f"{shared_address}/episodes")
    video = page.locator("video.left")
    video.wait_for()
    expect(page.locator("svg.plot polyline")).to_have_count(1)
    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option").first.click()
    expect(page.locator("svg.plot polyline")).to_have_count(2)
    ready(page)
    page.mouse.click(5, 400)
    before = page.locator("svg.plot line").get_attribute("x1")
    page.keyboard.press("ArrowRight")
    expect(page.locator("svg.plot line")).not_to_have_attribute("x1", str(before))
    # A click on the curve moves both videos there.
    page.locator("svg.plot").click()
    half = max(videos(page)[side].evaluate("video => video.duration") for side in (0, 1)) / 2
    assert max(positions(page)) == pytest.approx(half, abs=2 * FRAME)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").locator("dt")).to_have_count(6)


def test_upright_videos_are_below_one_another_and_controls_in_reach(
    shared_address: str, page: Page
) -> None:
    page.set_viewport_size(PHONE)
    page.goto(shared_address)
    ready(page)
    for screen in (PHONE, *TABLETS):
        page.set_viewport_size(screen)
        left, right = (video.bounding_box() for video in videos(page))
        controls = page.locator(".controls").bounding_box()
        assert left and right and controls
        assert min(left["width"], right["width"]) >= 350
        assert left["y"] + left["height"] <= right["y"]
        assert right["y"] + right["height"] <= controls["y"]
        assert controls["y"] + controls["height"] <= screen["height"]


def test_a_phone_shows_everything_below_one_another(shared_address: str, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for where in ("", "/leaderboard", "/episodes"):
        page.goto(f"{shared_address}{where}")
        if not where:
            begin(page)
        page.locator("video.left, .board").first.wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
