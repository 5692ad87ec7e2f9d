"""A paid study in a real browser: each participant ends where they should, with the right code, and no honest answer is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.participants import allow_browser, browser_requests
from leaderboard.judging.payments import Payment, payment_list
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import (
    Assignment,
    AttentionCheck,
    CheckAnswer,
    Episode,
    Judgment,
    Membership,
)
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support.real_browser import CHROMIUM, LAPTOP, PATIENCE, AppServer, running_app
from tests.support.three_players import SEEDS, record_three
from tools.postgres_server import POSTGRES, PostgresServer

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Browser, BrowserContext, expect

from tests.support.judging_in_browser import hint, pair_shown, ready, submit, videos, watch

ADMIN = command_line_admin()
CODES = {
    "screened_out": {"code": "SCREENED"},
    "failed_checks": {"code": "FAILED"},
    "no_consent": {"code": "RETURNED"},
}
CONNECTED = (
    "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
)
"""A page that is connected and drawn."""
KEYS = {"left": "1", "draw": "2", "right": "3"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A paid study in SQLite."""
    opened = open_store(tmp_path / "leaderboard.sqlite")
    fill(opened, tmp_path)
    yield opened
    opened.close()


def fill(opened: Store, folder: Path) -> None:
    """Make a study by invitation of five pairs and a practice pair, for participants of Prolific."""
    study = create_study(opened, "paid", demo_study({"find_cave": SEEDS}, "test", "1"))
    for played in record_three(folder / "recordings", steps=20).values():
        submit_recordings(opened, study, played)
    with opened.read() as session:
        episodes = list(session.scalars(sa.select(Episode).order_by(Episode.seed, Episode.id)))
    add_gold_pair(opened, study, ADMIN, episodes[0].id, episodes[1].id, "left", practice=True)
    change_settings(
        opened, study, ADMIN, open_signup=False, consent="We keep your answers.", platform="prolific",
        qualification_pairs=1, qualification_right=1, skips_allowed=2, pairs_per_rater=1,
        ban_after_failed_checks=1, check_kinds=["self"], completion_code="DONE", endings=CODES,
    )  # fmt: skip


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return find_study(store)


@pytest.fixture
def link(store: Store, study: StudyInfo, tmp_path: Path) -> Iterator[str]:
    """The link of an invite, without the participant's id."""
    token = create_invite(store, study, ADMIN, "batch 1")
    with running_app(tmp_path / "leaderboard.sqlite", tmp_path, tmp_path / "ui.log") as address:
        yield f"{address}/?invite={token}"


class Participant:
    """A person on Prolific, at a browser of their own unless they share one."""

    def __init__(
        self, browser: Browser, store: Store, link: str, name: str, shares: BrowserContext | None = None
    ) -> None:  # fmt: skip
        self.browser, self.store, self.name = browser, store, name
        self.link = f"{link}&PROLIFIC_PID={name}&STUDY_ID=S&SESSION_ID=session-{name}"
        self.sit_down(shares or browser.new_context(viewport=LAPTOP))  # type: ignore[arg-type]

    def sit_down(self, context: BrowserContext) -> None:
        """Open the link in a browser."""
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(self.link)

    def agree(self) -> None:
        self.page.get_by_text("I have read this").click()
        self.page.get_by_role("button", name="Begin").click()
        self.page.get_by_text("0 of 1 practice pairs").wait_for()
        self.page.mouse.click(5, 400)

    def expected(self) -> str | None:
        """The right answer to the pair on screen, where it is known."""
        with self.store.read() as session:
            return session.scalar(
                sa.select(AttentionCheck.expected)
                .join(Membership, Membership.rater_id == AttentionCheck.rater_id)
                .outerjoin(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
                .where(Membership.participant == self.name, CheckAnswer.number.is_(None))
            )

    def practise(self, *, well: bool = True, reload: bool = False) -> None:
        watch(self.page)
        key = KEYS[str(self.expected())]
        submit(self.page, key if well else {"1": "3"}.get(key, "1"))
        verdict = self.page.get_by_role("status", name="Practice")
        verdict.wait_for()
        if reload:  # the verdict stays until the rater continues
            said = verdict.inner_text()
            self.page.reload()
            expect(verdict).to_have_text(said, use_inner_text=True, timeout=PATIENCE)
        practised = self.page.locator(f"video.left[src='{pair_shown(self.page)}']")
        self.page.keyboard.press("Enter")
        expect(practised).to_have_count(0, timeout=PATIENCE)

    def judge(self, key: str | None = None) -> None:
        """Answer a pair, rightly unless a key is given; the last one ends the study."""
        watch(self.page)
        before = pair_shown(self.page)
        submit(self.page, key or KEYS[self.expected() or "left"])
        expect(videos(self.page)[0]).not_to_have_attribute("src", before, timeout=PATIENCE)

    def finish(self, key: str | None = None) -> None:
        """Answer the last pair."""
        watch(self.page)
        submit(self.page, key or KEYS[self.expected() or "left"])

    def shows(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()

    def returns_with(self, code: str) -> None:
        """The page has the code, and leads back to the platform with it."""
        way_back = self.page.get_by_role("link", name="Return to the platform")
        way_back.wait_for()
        expect(self.page.locator("code", has_text=code)).to_be_visible(timeout=PATIENCE)
        assert str(way_back.get_attribute("href")).endswith(f"?cc={code}")


def paid(store: Store, study: StudyInfo) -> dict[str, Payment]:
    """The list of payments by participant."""
    return {one.participant: one for one in payment_list(store, study, ADMIN)}


def skip_all(person: Participant) -> None:
    """Skip as many pairs as the study allows, and try one more."""
    person.practise()
    for _ in range(2):
        before = pair_shown(person.page)
        submit(person.page, "5")
        expect(videos(person.page)[0]).not_to_have_attribute("src", before, timeout=PATIENCE)
    submit(person.page, "5")
    expect(hint(person.page)).to_contain_text("allows 2 skipped pairs", timeout=PATIENCE)


def switch_device(person: Participant, store: Store, study: StudyInfo) -> None:
    """From the laptop to the phone, in the middle of the study."""
    person.practise(reload=True)
    watch(person.page)
    person.sit_down(person.browser.new_context(viewport={"width": 390, "height": 844}))
    # The laptop is open still: the owner decides.
    person.shows("open in another of your browsers")
    (request,) = browser_requests(store, study, ADMIN)
    allow_browser(store, study, ADMIN, request)
    person.page.goto(person.link)
    person.finish()
    person.returns_with("DONE")


def test_three_participants_end_where_they_should(
    browser: Browser, store: Store, study: StudyInfo, link: str
) -> None:
    honest = Participant(browser, store, link, "switches")
    honest.agree()
    switch_device(honest, store, study)

    skips = Participant(browser, store, link, "skips")
    skips.agree()
    skip_all(skips)

    refuses = Participant(browser, store, link, "refuses")
    refuses.page.get_by_role("button", name="I do not agree").click()
    refuses.returns_with("RETURNED")

    payments = paid(store, study)
    assert set(payments) == {"switches", "skips"}
    one = payments["switches"]
    assert (one.session, one.state, one.outcome) == ("session-switches", "done", "completed")
    assert (one.judged, one.skipped, one.code) == (1, 0, "DONE")
    one = payments["skips"]
    assert (one.state, one.outcome, one.code) == ("judge", "", "")
    assert (one.judged, one.skipped) == (0, 2)
    answers = [row for row in load_comparisons(store, study) if row.winner != "skip"]
    assert [row.rater for row in answers] == [payments["switches"].rater]


@pytest.mark.long
def test_twelve_participants_end_where_they_should(
    browser: Browser, store: Store, study: StudyInfo, link: str
) -> None:
    twelve_participants(browser, store, study, link)


@pytest.mark.long
@pytest.mark.skipif(not POSTGRES, reason="PostgreSQL is not installed (Debian package postgresql)")
def test_twelve_participants_on_postgresql_while_the_server_is_killed_five_times(
    browser: Browser, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    database = PostgresServer(durable=True)
    server = AppServer(
        database.url, tmp_path, tmp_path / "ui.log", environment={"BASALT_MEDIA": str(media)}
    )
    kills = []

    def kill() -> None:
        server.kill()
        server.start()
        kills.append(server.url)
        # Keys that are pressed while a page is drawn again are lost, as anybody would see.
        for page in [page for context in browser.contexts for page in context.pages]:
            page.wait_for_selector(CONNECTED)

    try:
        store = open_store(database.url, media)
        fill(store, tmp_path)
        study = find_study(store)
        token = create_invite(store, study, ADMIN, "batch 1")
        server.start()
        try:
            twelve_participants(browser, store, study, f"{server.url}/?invite={token}", kill)
        finally:
            server.stop()
        store.close()
    finally:
        database.close()
    assert len(kills) == 5


def twelve_participants(
    browser: Browser,
    store: Store,
    study: StudyInfo,
    link: str,
    disturb: Callable[[], None] = lambda: None,
) -> None:
    """Twelve participants of a study; `disturb` is called five times in the midst of what they do."""
    change_settings(store, study, ADMIN, pairs_per_rater=3, check_share=0.5)
    people = {
        name: Participant(browser, store, link, name)
        for name in ("honest-1", "honest-2", "honest-3", "fast", "late", "offline", "left", "fails")
    }
    for name, person in people.items():
        person.agree()
        person.practise(well=name != "fails")
    people["fails"].shows("Thank you for trying")
    people["fails"].returns_with("SCREENED")

    disturb()
    # One thinks that it can answer at once: the pairs have to be watched first.
    hasty = people["fast"].page
    ready(hasty)
    chosen = hasty.locator(".options [aria-pressed=true]")
    hasty.keyboard.press("1")
    expect(chosen).to_have_count(1)
    hasty.keyboard.press("Enter")
    expect(hint(hasty)).to_contain_text("of both videos")
    hasty.keyboard.press("1")  # takes the choice back
    expect(chosen).to_have_count(0)

    # One comes back when the reservation is long over, and nobody else had the pair.
    watch(people["late"].page)
    with store.write() as session:
        mine = sa.select(Membership.rater_id).where(Membership.participant == "late")
        for table in (Assignment, AttentionCheck):
            session.execute(
                sa.update(table)
                .where(table.rater_id.in_(mine))
                .values(expires=table.created)
            )  # fmt: skip
    disturb()
    # One loses the network for three minutes, in the middle of an answer.
    watch(people["offline"].page)
    people["offline"].context.set_offline(True)
    submit(people["offline"].page, KEYS[people["offline"].expected() or "left"])
    expect(hint(people["offline"].page)).to_contain_text("sent again by itself", timeout=PATIENCE)
    people["offline"].page.wait_for_timeout(180_000)
    people["offline"].context.set_offline(False)
    people["offline"].shows("1 of 3 pairs judged")

    for name in ("honest-1", "honest-2", "honest-3", "fast", "late", "offline"):
        for _ in range(1 if name == "offline" else 2):
            people[name].judge()
        if name in ("honest-2", "fast"):
            watch(people[name].page)
            disturb()  # when the pair is watched
        people[name].finish()
        people[name].returns_with("DONE")

    # One is always for the left: a rater who fails a check is banned, with that outcome's code.
    always = people["left"]
    while always.page.locator("video.left").count():
        watch(always.page)
        before = pair_shown(always.page)
        submit(always.page, "1")
        expect(always.page.locator(f"video.left[src='{before}']")).to_have_count(
            0, timeout=PATIENCE
        )
        always.page.locator("video.left").or_(
            always.page.get_by_role("link", name="Return")
        ).first.wait_for()

    # One shares a browser with somebody who is done, and does not get that person's code.
    shares = Participant(browser, store, link, "shares", people["honest-1"].context)
    shares.agree()
    shares.practise()
    for _ in range(2):
        shares.judge()
    shares.finish()
    shares.returns_with("DONE")

    change_settings(store, study, ADMIN, pairs_per_rater=1)
    switches = Participant(browser, store, link, "switches")
    switches.agree()
    disturb()
    switch_device(switches, store, study)
    skips = Participant(browser, store, link, "skips")
    skips.agree()
    skip_all(skips)
    refuses = Participant(browser, store, link, "refuses")
    refuses.page.get_by_role("button", name="I do not agree").click()
    refuses.returns_with("RETURNED")

    payments = paid(store, study)
    assert set(payments) == {*people, "shares", "switches", "skips"}
    done = {"honest-1", "honest-2", "honest-3", "fast", "late", "offline", "shares", "switches"}
    for name in done:
        assert (payments[name].outcome, payments[name].code) == ("completed", "DONE")
        assert payments[name].judged == (1 if name == "switches" else 3)
    with store.read() as session:
        failed = session.scalars(
            sa.select(CheckAnswer.id)
            .join(AttentionCheck, AttentionCheck.id == CheckAnswer.check_id)
            .where(
                CheckAnswer.rater_id == payments["left"].rater,
                AttentionCheck.kind == "self",
                CheckAnswer.passed.is_(False),
            )
        ).all()
        stored = session.scalars(
            sa.select(Judgment.rater_id).where(Judgment.source == "human")
        ).all()
    banned = ("failed_checks", "FAILED") if failed else ("completed", "DONE")
    assert (payments["left"].outcome, payments["left"].code) == banned
    assert (payments["fails"].outcome, payments["fails"].code) == ("screened_out", "SCREENED")
    assert (payments["skips"].outcome, payments["skips"].code) == ("", "")
    # The export has the answers of those who are not banned, each once.
    rows = load_comparisons(store, study)
    counted = [rater for rater in stored if not (failed and rater == payments["left"].rater)]
    assert sorted(str(row.rater) for row in rows) == sorted(map(str, counted))
    assert len({row.comparison_id for row in rows}) == len(rows)
