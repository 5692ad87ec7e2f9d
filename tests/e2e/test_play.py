"""A person plays: the real page in a real Chromium, or the window on a screen; the recording replays exactly."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import aiohttp
import pytest

from basalt.cli.main import run
from basalt.core.recording import Recording
from basalt.core.recording_checks import check_recording
from basalt.rollouts.replay import replay
from tests.support import ROOT
from tests.support.real_browser import CHROMIUM, LAPTOP, launched

pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
from playwright.sync_api import Browser, Page

PATIENCE = 120_000  # milliseconds; machines that run the tests may be slow
SEED = 100_001

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


class Game:
    """`basalt play` as a user starts it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        clean = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", "from basalt.cli.main import main; main()", "play",
                f"out={folder}", f"seed={SEED}", *arguments,
            ],
            cwd=folder.parent,
            env=clean | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def line_with(self, words: str) -> str:
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            try:
                self.said.append(self._lines.get(timeout=0.2))
            except Empty:
                assert self.process.poll() is None or words in "".join(self.said), self.said
                continue
            if words in self.said[-1]:
                return self.said[-1]
        raise AssertionError(f"{words!r} was not said: {self.said}")

    @property
    def url(self) -> str:
        return self.line_with("http://").split()[-1]

    def ends(self) -> int:
        return self.process.wait(PATIENCE / 1000)

    def recording(self) -> Recording:
        return Recording.open(self.folder / f"seed_{SEED}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    games: list[Game] = []

    def begin(*arguments: str, **environment: str) -> Game:
        games.append(Game(tmp_path / "played", *arguments, **environment))
        return games[-1]

    yield begin
    for game in games:
        game.process.kill()
        game.process.wait()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """A browser for one test alone: others here call `asyncio.run`."""
    with launched() as opened:
        yield opened


def open_page(browser: Browser, url: str) -> Page:
    page = browser.new_context(viewport=LAPTOP).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    return page


def begin(page: Page, button: str = "Play") -> None:
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_function("document.pointerLockElement !== null")


def step_of(page: Page) -> int:
    return int(page.locator("canvas").get_attribute("data-step") or 0)


def let_steps_pass(page: Page, steps: int) -> None:
    page.wait_for_function(
        "goal => Number(document.querySelector('canvas').dataset.step) >= goal",
        arg=step_of(page) + steps,
    )


def end(page: Page) -> None:
    """The first ESC frees the pointer, the second one ends the episode."""
    page.keyboard.press("Escape")
    page.get_by_role("button", name="End the episode").wait_for()
    page.wait_for_timeout(400)
    page.keyboard.press("Escape")
    page.get_by_text("Thank you").wait_for()


def moved(recording: Recording) -> float:
    return recording.telemetry()[-1].distance_walked


@needs_chromium
@pytest.mark.browser
@pytest.mark.engine
def test_a_person_plays_in_the_browser(start, browser: Browser, capsys) -> None:
    game = start("task=find_cave")
    page = open_page(browser, game.url)
    assert "token" not in page.url
    begin(page)
    page.keyboard.down("KeyW")
    let_steps_pass(page, 15)
    page.keyboard.up("KeyW")
    page.mouse.move(400, 400)
    let_steps_pass(page, 2)
    for x in range(420, 620, 20):
        page.mouse.move(x, 400)
    let_steps_pass(page, 2)
    page.keyboard.press("KeyE")
    let_steps_pass(page, 4)
    page.mouse.move(580, 420)
    page.mouse.click(580, 430)
    let_steps_pass(page, 3)
    page.keyboard.press("KeyE")
    let_steps_pass(page, 4)
    page.mouse.down()
    let_steps_pass(page, 10)
    page.mouse.up()

    # Another browser has no cookie, another window of this one no hands.
    other = open_page(browser, page.url)
    assert "opens the game once" in other.inner_text("body")
    second = page.context.new_page()
    second.goto(page.url)
    second.get_by_text("being played in another window").wait_for()
    second.close()
    page.bring_to_front()
    if page.evaluate("document.pointerLockElement === null"):
        begin(page, "Resume")

    # A lost connection pauses; the same browser can resume.
    page.reload()
    page.get_by_text("Ready").wait_for()
    paused_at = step_of(page)
    page.wait_for_timeout(1500)
    assert step_of(page) <= paused_at + 1, "no more than the step that was under way"
    begin(page)
    let_steps_pass(page, 3)
    end(page)

    assert game.ends() == 0
    game.line_with("success by telemetry: no")
    recording = game.recording()
    check_recording(recording)
    meta = recording.meta
    assert meta is not None and (meta.ended, meta.player_kind) == ("esc", "human")
    actions = recording.actions()
    assert actions.column("forward").sum() >= 10 and moved(recording) > 1
    turned_right = actions.camera[:, 1].clip(min=0).sum()
    assert turned_right == pytest.approx(200 * 0.15, abs=0.2), "the locked pointer turned the view"
    assert any(state.gui_open for state in recording.telemetry())
    assert actions.column("attack").sum() >= 5
    assert actions.column("ESC").tolist() == [0] * (len(recording) - 1) + [1]

    assert run(["data", "validate", str(game.folder), "--quiet"]) == 0
    capsys.readouterr()
    assert run(["play", f"replay={recording.stem}", "json=true"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["replays"]
    assert result["exact"] and result["drift_max"] == 0.0, result


@pytest.mark.engine
def test_ctrl_c_keeps_what_was_played(start) -> None:
    game = start("task=find_cave", "max_steps=400")
    asyncio.run(walk(game.url, until_step=12))
    game.process.send_signal(signal.SIGINT)
    assert game.ends() == 0
    recording = game.recording()
    check_recording(recording)
    assert recording.meta is not None and recording.meta.ended == "cut"
    assert replay(recording).exact


@pytest.mark.engine
def test_a_killed_game_leaves_nothing_half_written(start) -> None:
    game = start("task=find_cave")
    asyncio.run(walk(game.url, until_step=5))
    game.process.kill()
    game.ends()
    left = [path.name for path in game.folder.iterdir() if not path.name.startswith(".")]
    assert left == ["rollout.json"]


async def walk(url: str, until_step: int, *, esc: bool = False) -> None:
    """Play without a browser: what the page would send."""
    origin = url.split("/?")[0]
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        await (await session.get(url)).read()
        async with session.ws_connect(f"{origin}/socket", headers={"Origin": origin}) as line:
            begun = False
            async for message in line:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = json.loads(message.data)
                if told["phase"] == "playing" and not begun:
                    begun = True
                    await line.send_json({"kind": "play"})
                    await line.send_json({"kind": "key", "code": "KeyW", "down": True})
                if told["phase"] == "over" or (told["step"] >= until_step and not esc):
                    return
                if told["step"] == until_step:
                    await line.send_json({"kind": "esc"})


def test_minecraft_is_played_by_name(start, monkeypatch) -> None:
    """The same game, served by a stand-in for MineRL's process."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "basalt" / "worlds")
    from tests.support.minerl_standin import StandIn

    with StandIn() as standin:
        game = start("world=minerl", f"world.args.address={standin.address}", "json=true")
        asyncio.run(walk(game.url, until_step=10, esc=True))
        report = json.loads(game.line_with('{"recording"'))
    assert game.ends() == 0
    recording = game.recording()
    check_recording(recording)
    assert recording.meta is not None
    assert (recording.meta.world, recording.meta.ended) == ("minerl", "esc")
    assert report["steps"] == len(recording) and report["success"] is None
    assert recording.actions().column("forward").sum() >= 5


@pytest.mark.long
@pytest.mark.engine
def test_a_person_plays_in_a_window(start) -> None:
    pytest.importorskip("pygame", reason="pygame-ce is not installed")
    from Xlib import XK, X, display
    from Xlib.ext import xtest

    from basalt.worlds.luanti.engine import open_display

    screen = open_display()
    try:
        game = start("task=find_cave", "json=true", DISPLAY=screen.name)
        hands = display.Display(screen.name)

        name = hands.intern_atom("_NET_WM_NAME")
        title_of = lambda window: window.get_full_text_property(name) or ""  # noqa: E731

        def find_window():
            windows = hands.screen().root.query_tree().children
            return next((one for one in windows if "left" in title_of(one)), None)

        def wait(condition):
            deadline = time.monotonic() + PATIENCE / 1000
            while not (found := condition()):
                assert game.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            return found

        def fake(kind, detail=0, pause=0.3, **place):
            xtest.fake_input(hands, kind, detail, **place)
            hands.sync()
            time.sleep(pause)

        window = wait(find_window)
        # The title counts down once the world is there; only then a click begins to play.
        partial = lambda: list(game.folder.glob(".seed_*.partial/jsonl"))  # noqa: E731
        wait(partial)
        window.set_input_focus(X.RevertToParent, X.CurrentTime)
        place = window.get_geometry()
        fake(X.MotionNotify, x=place.x + 300, y=place.y + 300)
        key = lambda name: hands.keysym_to_keycode(XK.string_to_keysym(name))  # noqa: E731
        for kind in (X.ButtonPress, X.ButtonRelease):
            fake(kind, 1)
        fake(X.KeyPress, key("w"))
        wait(lambda: "2:58" in title_of(window))  # a second of the game has passed
        fake(X.KeyRelease, key("w"))
        for _ in range(6):
            fake(X.MotionNotify, 1, x=15, y=0, pause=0.1)  # relative
        for kind in (X.KeyPress, X.KeyRelease):
            fake(kind, key("Escape"))
        report = json.loads(game.line_with('{"recording"'))
        assert game.ends() == 0 and report["ended"] == "esc"
        recording = game.recording()
        check_recording(recording)
        assert recording.actions().column("forward").sum() >= 10 and moved(recording) > 1
        assert recording.actions().camera[:, 1].sum() == pytest.approx(6 * 15 * 0.15, abs=0.31)
        assert replay(recording).exact
    finally:
        screen.close()
