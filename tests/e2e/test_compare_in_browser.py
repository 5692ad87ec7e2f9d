"""A person compares clips in a real browser: keys answer, the next pair is there, an answer is taken back, a pair comes twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from basalt.core.comparisons import Comparison
from basalt.feedback.ask import AskConfig, ask
from leaderboard.judging.clip_queue import known_clips
from leaderboard.store.database import Store, open_store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, find_study
from leaderboard.studies.settings import change_settings
from tests.support.clip_recordings import record_cave
from tests.support.real_browser import (
    CHROMIUM,
    LAPTOP,
    PATIENCE,
    PHONE,
    TABLETS,
    begin,
    running_app,
)

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Page, expect

ADMIN = command_line_admin()
FRAME = 1 / 20
CLIP = 30
"""Steps of a clip: an answer after 0.75 s counts."""

KEYS = {"left": "1", "draw": "2", "right": "3", "both_bad": "4", "skip": "5"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)"),
]


def fill(folder: Path) -> Path:
    """Make a store with a queue of clips."""
    shades = [40 + 2 * t for t in range(81)]
    for n, player in enumerate(("Quartzwalker", "Zamioculcas")):
        for seed in (100_001, 100_002):
            grey = shades if (n + seed) % 2 else shades[::-1]
            record_cave(folder / "played", seed, player=player, steps=80, cave_from=40, grey=grey)
    path = folder / "leaderboard.sqlite"
    ask(
        AskConfig(
            task="find_cave", recordings=(str(folder / "played"),), n=24, clip=CLIP, store=str(path),
            progress=False,
        )
    )  # fmt: skip
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return fill(tmp_path)


@pytest.fixture(scope="module")
def shared_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app for tests that store no answer."""
    folder = tmp_path_factory.mktemp("shared")
    with running_app(fill(folder), folder, folder / "ui.log") as url:
        yield url


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    """Every second pair or so repeats an answer, as soon as there are some to repeat."""
    found = find_study(store)
    change_settings(store, found, ADMIN, check_share=0.5, check_kinds=["repeat"], overlap_share=0)
    return found


@pytest.fixture
def address(place: Path, study: StudyInfo, tmp_path: Path) -> Iterator[str]:
    with running_app(place, tmp_path, tmp_path / "ui.log") as url:
        yield url


def pair(page: Page) -> str:
    """The pair on screen, as soon as both of its clips can be played."""
    stage = page.locator(".stage[data-pair]:not([data-pair=''])")
    stage.wait_for()
    return str(stage.get_attribute("data-pair"))


def positions(page: Page) -> list[float]:
    """Where both clips on screen are, in seconds, read in one go."""
    found: list[float] = page.evaluate(
        """() => {
          const visit = (root) => {
            const slot = root.querySelector(".slot:not(.behind)");
            if (slot) return slot;
            for (const one of root.querySelectorAll("*")) {
              const found = one.shadowRoot && visit(one.shadowRoot);
              if (found) return found;
            }
            return null;
          };
          return [...visit(document).querySelectorAll("video")].map((video) => video.currentTime);
        }"""
    )
    return found


def answer(page: Page, key: str, seconds: float = 1.0) -> tuple[str, float]:
    """Look for a while, answer by a key, and wait for the next pair.

    Returns:
        The pair that was answered, and the milliseconds until the next one could be played.
    """
    before = pair(page)
    page.wait_for_timeout(1000 * seconds)
    page.keyboard.press(key)
    stage = page.locator(".stage")
    expect(stage).not_to_have_attribute("data-pair", before)
    after = pair(page)
    assert after != before
    return before, float(str(stage.get_attribute("data-wait")))


def exported(store: Store, study: StudyInfo) -> list[Comparison]:
    return load_comparisons(store, study, checks=True)


def saved(page: Page, text: str = "Saved.") -> None:
    expect(page.locator(".hint")).to_contain_text(text, timeout=PATIENCE)


def test_a_person_compares_clips_by_keys(
    address: str, page: Page, store: Store, study: StudyInfo
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)  # there is nothing else to judge, so this is the first page
    begin(page)
    page.get_by_role("heading", name="Find Cave: which clip is better?").wait_for()
    first = pair(page)

    # Both play in step, and begin again together.
    highest, again = 0.0, False
    for _ in range(60):
        left, right = positions(page)
        assert abs(left - right) <= 3 * FRAME or min(left, right) < 3 * FRAME
        again = again or (highest > CLIP * FRAME / 2 and left < highest / 2)
        highest = max(highest, left)
        page.wait_for_timeout(60)
        if again:
            break
    assert again

    # Each key is an answer, and the next pair is there.
    waits = []
    for winner in ("left", "right", "draw", "both_bad"):
        answered, wait = answer(page, KEYS[winner])
        waits.append(wait)
        assert answered == first or winner != "left"
    saved(page)
    assert [one.winner for one in exported(store, study)] == ["left", "right", "draw", "both_bad"]
    assert all(one.seconds is not None and one.seconds >= 0.75 for one in exported(store, study))

    # The last answer is taken back: its pair is on screen again, with the same sides.
    *_, withdrawn = exported(store, study)
    page.keyboard.press("u")
    saved(page, "Answer withdrawn")
    assert len(exported(store, study)) == 3
    answer(page, KEYS["right"])
    saved(page)
    *_, corrected = exported(store, study)
    assert (corrected.left, corrected.right) == (withdrawn.left, withdrawn.right)
    assert corrected.winner == "right"

    # Too fast: kept, and not counted.
    for _ in range(5):
        pair(page)
        page.wait_for_timeout(1000)
        page.keyboard.type("13")  # the next pair is on screen before the second key
        pair(page)
        if exported(store, study)[-1].winner == "skip":
            break
    assert exported(store, study)[-1].justification.startswith("dropped: answered after")

    # A repeat comes with the sides swapped and looks like any other pair.
    for _ in range(12):
        _, wait = answer(page, KEYS["left"])
        waits.append(wait)
        saved(page)
        repeats = [one for one in exported(store, study) if one.pair_of]
        if repeats:
            break
    by_id = {one.comparison_id: one for one in exported(store, study)}
    before = by_id[str(repeats[0].pair_of)]
    assert (repeats[0].left, repeats[0].right) == (before.right, before.left)

    # Faster playback is kept from pair to pair.
    page.keyboard.press("+")
    answer(page, KEYS["skip"])
    answer(page, KEYS["left"])
    saved(page)
    assert [one.speed for one in exported(store, study)[-2:]] == [1.5, 1.5]

    # Blind and offline.
    html = page.content()
    secrets = {"Quartzwalker", "Zamioculcas", "100001", "100002"}
    secrets |= {side.episode for side in known_clips(store, study)}
    for secret in secrets:
        assert secret not in html
        assert not [url for url in requests if secret in url]
    assert {url.split("/")[2] for url in requests if url.startswith("http")} == {
        address.split("/")[2]
    }
    print(f"milliseconds from an answer to the next playable pair: {sorted(waits)}")


def test_a_missing_clip_says_so_and_is_skipped(
    address: str, page: Page, store: Store, study: StudyInfo
) -> None:
    for name in set(known_clips(store, study).values()):
        (store.media / name).unlink()
    page.goto(f"{address}/compare")
    begin(page)
    first = pair(page)
    expect(page.locator(".slot:not(.behind) .trouble")).to_contain_text("cannot be played")
    answered, _ = answer(page, KEYS["skip"], seconds=0)
    assert answered == first
    saved(page)
    assert [one.winner for one in exported(store, study)] == ["skip"]


def test_one_screen_of_a_laptop_holds_clips_and_answers(shared_address: str, page: Page) -> None:
    for height in (LAPTOP["height"], 625):
        page.set_viewport_size({"width": LAPTOP["width"], "height": height})
        page.goto(f"{shared_address}/compare")
        begin(page)
        pair(page)
        boxes = [one.bounding_box() for one in page.locator(".slot:not(.behind) video").all()]
        boxes += [
            page.get_by_role("button", name=name).bounding_box()
            for name in ("Both bad", "Video broken")
        ]
        for box in boxes:
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height
        assert all(box["width"] > LAPTOP["width"] / 3 for box in boxes[:2] if box)


def test_upright_clips_are_below_one_another_and_answers_in_reach(
    shared_address: str, page: Page
) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{shared_address}/compare")
    begin(page)
    pair(page)
    for screen in (PHONE, *TABLETS):
        page.set_viewport_size(screen)
        left, right = (one.bounding_box() for one in page.locator(".slot:not(.behind) video").all())
        controls = page.locator(".slot:not(.behind) .controls").bounding_box()
        skip = page.get_by_role("button", name="Video broken").bounding_box()
        assert left and right and controls and skip
        assert min(left["width"], right["width"]) >= 350
        assert left["y"] + left["height"] <= right["y"]
        assert right["y"] + right["height"] <= controls["y"]
        assert skip["y"] + skip["height"] <= screen["height"]
