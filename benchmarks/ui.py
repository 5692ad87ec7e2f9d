"""`basalt bench ui`: how long raters wait for a pair, and for an answer to be kept, many at a time.

The server is `basalt ui` as a user starts it, with a store and recordings made for this. Raters come in two
ways, one after the other:

- **page**: each rater is a Streamlit session of its own, over Streamlit's websocket with Streamlit's own
  messages, as the browser sends them, loads the next pair's videos ahead and answers by HTTP; only the browser
  (drawing, decoding) is left out. *open* is from the connection to the pair; *answer* is from the answer to the next
  pair, which comes with the reply, and its videos, unless they were loaded ahead. One further rater is at a real
  Chromium meanwhile, where it and Playwright are installed: *submit_to_playable* is from Submit until both videos of the
  next pair can be played, as the page measures it, and is compared with an aim.
- **API**: each rater joins and then asks for pairs and answers them over HTTP.

Raters think for a while between a pair and its answer, some seconds at random: real ones take minutes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from tqdm import tqdm

from basalt.core.actions import validate_action
from basalt.core.recording import RecordingWriter
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.telemetry import Telemetry
from basalt.io.errors import BasaltError, ConfigError
from eval_ui.judging.routes import ACT_PATH
from eval_ui.session import RATER_COOKIE
from leaderboard.judging.raters import join, new_rater_secret
from leaderboard.store.database import open_store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings

TARGET_S = 1.0
"""A wait of less does not interrupt a person's thought (Nielsen 1993, Usability Engineering, chapter 5)."""

AIM_S = 0.3
"""Median time from Submit to the next playable pair in the browser."""

SEEDS = (100_001, 100_002, 100_003)
STUDY = "bench"
STEPS = 4
"""Of each video."""

PATIENCE_S = 300.0

BROWSER_ANSWERS = 60
"""Maximum number of answers in the browser."""

LOG_SHOWN = 4000
"""Characters of the server's log in an error."""

Times = dict[str, list[float]]


class BenchError(BasaltError):
    """The app did not answer as it should."""


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: `--raters N`, `--answers N` (of each), `--agents N`, `--think SECONDS`.

    Raises:
        ConfigError: an argument that cannot be.
        BenchError: the app did not answer, or an answer was lost.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench ui", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--answers", type=int, default=3, help="of each rater, in each way")
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--think", type=float, default=20.0, help="mean seconds before an answer")
    options = parser.parse_args(argv)
    if min(options.raters, options.answers) < 1 or options.agents < 2 or options.think < 0:
        raise ConfigError("bench ui: raters and answers begin at 1, agents at 2, think at 0")
    pairs = _pairs(options)
    if options.answers >= pairs:
        raise ConfigError(f"bench ui: {options.agents} agents give {pairs} pairs; fewer answers")
    with tempfile.TemporaryDirectory(prefix="basalt-bench-ui-") as folder:
        place = Path(folder) / "leaderboard.sqlite"
        people = _fill(place, Path(folder), options.agents, 2 * options.raters)
        with _server(place, Path(folder)) as address:
            asyncio.run(_warm_up(address))
            page, waits = asyncio.run(_page_raters(address, people, options))
            api = asyncio.run(
                _all(
                    options, "API", lambda times: _api_rater(address, people.pop(), options, times)
                )
            )
        store = open_store(place)
        kept = len(load_comparisons(store, find_study(store, STUDY)))
        store.close()
    sent = 2 * options.raters * options.answers + len(waits or ())
    if kept != sent:
        raise BenchError(f"{sent} answers were sent and called saved, {kept} are in the store")
    figures = {"page": _summary(page), "api": _summary(api)}
    worst = max(
        page_or_api[what]["p95_s"] for page_or_api in figures.values() for what in page_or_api
    )
    return {
        "name": "ui",
        "figures": {
            "raters": options.raters,
            "answers_of_each": options.answers,
            "mean_think_s": options.think,
            "agents": options.agents,
            "pairs": pairs,
            "answers_kept": kept,
            **figures,
            "browser": _aimed(waits),
        },
        "peer": f"a wait of {TARGET_S} s, against the worst of the 95th percentiles",
        "ratio": round(TARGET_S / worst, 2),
    }


def _pairs(options: argparse.Namespace) -> int:
    """Number of pairs in the study."""
    return len(SEEDS) * options.agents * (options.agents - 1) // 2


def _summary(times: Times) -> dict[str, dict[str, float]]:
    return {
        what: {
            "p50_s": round(statistics.median(values), 4),
            "p95_s": round(float(np.quantile(values, 0.95)), 4),
            "most_s": round(max(values), 4),
            "count": len(values),
        }
        for what, values in times.items()
    }


def _aimed(waits: list[float] | None) -> dict[str, Any] | None:
    """Waits in the browser against their aim; None without a browser."""
    if not waits:
        return None
    summary = _summary({"submit_to_playable": waits})["submit_to_playable"]
    return {
        "submit_to_playable": summary,
        "aim_p50_s": AIM_S,
        "reached": summary["p50_s"] <= AIM_S,
    }


async def _all(
    options: argparse.Namespace, what: str, rater: Callable[[Times], Awaitable[None]]
) -> Times:
    """All raters of one way at once; they come within the time of one thought."""
    times: Times = {}
    bar = tqdm(total=options.raters, desc=f"raters by {what}", unit="rater", file=sys.stderr)

    async def one() -> None:
        await asyncio.sleep(random.uniform(0, options.think))
        await rater(times)
        bar.update()

    try:
        async with asyncio.timeout(PATIENCE_S + options.answers * options.think * 3):
            await asyncio.gather(*(one() for _ in range(options.raters)))
    except TimeoutError as err:
        raise BenchError(f"the raters by {what} were not served in time") from err
    finally:
        bar.close()
    return times


async def _warm_up(address: str) -> None:
    """One page before the first rater's: the server reads its modules then."""
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"{address}/_stcore/stream", protocols=["streamlit"], max_msg_size=0
        ) as one,
    ):
        await _Session(one).rerun()


def _thought(options: argparse.Namespace) -> float:
    """Seconds; an answer that comes sooner than both videos can have been seen is refused."""
    return max(STEPS / STEPS_PER_SECOND, random.uniform(0, 2 * options.think))


# -- by the page ------------------------------------------------------------------------------------


class _Session:
    """A Streamlit session: what the browser's side keeps of it."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket_
        self.pair = ""
        self.ticket = ""
        self.page_hash = ""
        self.reply: object = None

    async def rerun(self) -> None:
        """Ask for the page, and read until it is whole."""
        # Streamlit belongs to an extra, and is heavy.
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.page_script_hash = self.page_hash
        await self.socket.send_bytes(message.SerializeToString())
        while not self._read(await self.socket.receive(timeout=PATIENCE_S)):
            pass

    async def stay(self, seconds: float) -> None:
        """Leave the page open; as a browser does, answer the server when it asks whether somebody is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self._read(await self.socket.receive())

    def _read(self, received: aiohttp.WSMessage) -> bool:
        """Take a message in; whether it ends the run."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        if received.type is not aiohttp.WSMsgType.BINARY:
            raise BenchError(f"the session ended: {received}")
        message = ForwardMsg()
        message.ParseFromString(received.data)
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            if element.WhichOneof("type") == "alert":
                self.reply = element.alert.body
            elif element.WhichOneof("type") == "exception":
                self.reply = element.exception.message
            elif element.WhichOneof("type") == "bidi_component":
                judging = element.bidi_component
                if judging.component_name == "basalt_pair":
                    data = json.loads(judging.mixed.json or judging.json)
                    self.pair, self.ticket = data["pair"], data["ticket"]
        return (
            kind == "script_finished"
            and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        )


async def _page_raters(
    address: str, people: list[str], options: argparse.Namespace
) -> tuple[Times, list[float] | None]:
    """Waits of all raters at the page, and of the one at a browser until the others are done; None without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        print("no browser: Chromium and Playwright are needed for it", file=sys.stderr)
        chromium = None
    begun, done = asyncio.Event(), asyncio.Event()
    at_browser = None
    if chromium:
        answers = min(BROWSER_ANSWERS, _pairs(options) - 1)
        at_browser = asyncio.create_task(_browser_rater(chromium, address, answers, begun, done))
        # The others come when the browser has opened, which takes as long as many of their answers.
        opened = asyncio.create_task(begun.wait())
        await asyncio.wait({at_browser, opened}, return_when=asyncio.FIRST_COMPLETED)
    try:
        page = await _all(
            options, "page", lambda times: _page_rater(address, people.pop(), options, times)
        )
    finally:
        done.set()
    return page, None if at_browser is None else await at_browser


async def _browser_rater(
    chromium: str, address: str, answers: int, begun: asyncio.Event, done: asyncio.Event
) -> list[float]:
    """Judge in a real browser, by keyboard, until the others are done; seconds from each Submit to the next playable pair."""
    from playwright.async_api import async_playwright

    waits: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(1000 * PATIENCE_S)
        await page.goto(address)
        await page.get_by_role("button", name="Begin", exact=True).click()
        stage = page.locator(".stage[data-pair]")
        await stage.wait_for()
        begun.set()
        while not waits or (not done.is_set() and len(waits) < answers):
            pair = await stage.get_attribute("data-pair")
            await page.keyboard.press("Space")
            await page.keyboard.press("1")
            await page.locator(".submit.open").wait_for()
            await asyncio.sleep(random.uniform(1, 3))
            await page.keyboard.press("Enter")
            await page.locator(f".stage[data-pair]:not([data-pair='{pair}'])").wait_for()
            waits.append(int(await stage.get_attribute("data-wait") or 0) / 1000)
        await browser.close()
    return waits


async def _page_rater(address: str, secret: str, options: argparse.Namespace, times: Times) -> None:
    headers = {"Cookie": f"{RATER_COOKIE}={secret}"}
    url = f"{address}/_stcore/stream"
    async with aiohttp.ClientSession(headers=headers) as client:
        start = time.perf_counter()
        async with client.ws_connect(url, protocols=["streamlit"], max_msg_size=0) as socket_:
            session = _Session(socket_)
            await session.rerun()
            times.setdefault("open", []).append(time.perf_counter() - start)
            if not session.pair:
                raise BenchError(f"the page brought no pair: {session.reply}")
            pair = session.pair
            for number in range(options.answers):
                ahead = await _post_act(client, address, _ahead(pair, session.ticket))
                for video in ahead["load"]:
                    await _load(client, address + video)
                await session.stay(_thought(options))
                start = time.perf_counter()
                reply = await _post_act(client, address, _act(pair, session.ticket, number))
                if not reply["stored"] or reply["next"] is None:
                    raise BenchError(f"expected the next pair after an answer, got {reply}")
                for video in {reply["next"]["left"], reply["next"]["right"]} - {*ahead["load"]}:
                    await _load(client, address + video)
                times.setdefault("answer", []).append(time.perf_counter() - start)
                pair = reply["next"]["pair"]


async def _post_act(
    client: aiohttp.ClientSession, address: str, act: dict[str, Any]
) -> dict[str, Any]:
    async with client.post(f"{address}{ACT_PATH}", json=act) as reply:
        if reply.status != 200:
            raise BenchError(f"{ACT_PATH}: {reply.status} {await reply.text()}")
        return dict(await reply.json())


async def _load(client: aiohttp.ClientSession, url: str) -> None:
    async with client.get(url) as reply:
        if reply.status != 200 or not await reply.read():
            raise BenchError(f"{url}: {reply.status}")


def _ahead(pair: str, ticket: str) -> dict[str, Any]:
    """What the pair element sends when its videos are loaded."""
    return {"kind": "ahead", "pair": pair, "ticket": ticket}


def _act(pair: str, ticket: str, number: int) -> dict[str, Any]:
    """An answer as the pair element sends it."""
    events = [{"type": f"quarter-{n}", "at": n / 20, "clock": 0} for n in range(1, 5)]
    return {
        "kind": "answer", "nonce": f"{pair}-{number}", "pair": pair, "ticket": ticket,
        "winner": random.choice(("left", "right", "draw")), "justification": "because it went on",
        "direct": [], "comparative": [], "seen": [1, 1], "events": events,
    }  # fmt: skip


# -- over the API -----------------------------------------------------------------------------------


async def _api_rater(address: str, secret: str, options: argparse.Namespace, times: Times) -> None:
    root = f"{address}/api"
    async with aiohttp.ClientSession() as client:

        async def post(what: str, path: str, body: dict[str, Any] | None) -> Any:
            start = time.perf_counter()
            async with client.post(f"{root}{path}", json=body) as reply:
                if reply.status != 200:
                    raise BenchError(f"{path}: {reply.status} {await reply.text()}")
                out = await reply.json()
            times.setdefault(what, []).append(time.perf_counter() - start)
            return out

        client.headers.update({"Authorization": f"Bearer {secret}"})
        await post("join", f"/studies/{STUDY}/join", {})
        for _ in range(options.answers):
            pair = await post("next", f"/studies/{STUDY}/next", None)
            await asyncio.sleep(_thought(options))
            await post(
                "answer",
                "/answers",
                {"pair": pair["pair"], "winner": "left", "watched_left": 1, "watched_right": 1},
            )


# -- what is judged, and the server -----------------------------------------------------------------


def _fill(place: Path, folder: Path, agents: int, raters: int) -> list[str]:
    """A study of short recordings; their pictures do not matter here. Returns the secrets of raters who have joined."""
    store = open_store(place)
    study = create_study(store, STUDY, demo_study({"find_cave": SEEDS}, "bench", "1"))
    for number in tqdm(range(agents), desc="recordings", unit="agent", file=sys.stderr):
        for seed in SEEDS:
            _record(folder / str(number), seed, f"agent {number}")
        submit_recordings(store, study, folder / str(number), f"agent {number}")
    change_settings(store, study, command_line_admin(), answers_per_minute=10_000)
    people = [new_rater_secret(store) for _ in range(raters)]
    for secret in people:
        join(store, study, secret)
    store.close()
    return people


def _record(folder: Path, seed: int, player: str, steps: int = STEPS) -> None:
    colour = np.random.default_rng([seed, hash(player) % 2**31]).integers(0, 255, 3)
    picture = np.broadcast_to(colour.astype(np.uint8), (360, 640, 3)).copy()
    with RecordingWriter(
        folder, f"find_cave-{seed}", task="find_cave", world="bench", world_version="1", seed=seed,
        player=player, player_kind="scripted", step_limit=400,
    ) as writer:  # fmt: skip
        writer.begin(picture, _state(0))
        for step in range(steps):
            action = validate_action({"ESC": int(step == steps - 1)})
            writer.step(action, action["camera"], picture, _state(step + 1))
        writer.finish("esc")


def _state(step: int) -> Telemetry:
    return Telemetry(
        step=step, xpos=0, ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10, hotbar=0, held="",
        inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=15, daylight=15,
        under_roof=False, distance_walked=0, dead=False,
    )  # fmt: skip


@contextmanager
def _server(place: Path, folder: Path) -> Iterator[str]:
    """`basalt ui` on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "ui.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [
                sys.executable, "-c", "from basalt.cli.main import main; main()", "ui", "--store",
                str(place), "--port", str(port), "--headless",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"basalt ui did not start: {log.read_text(errors='replace')}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    except (BenchError, aiohttp.ClientError) as err:
        said = log.read_text(errors="replace").strip()[-LOG_SHOWN:]
        raise BenchError(f"{err}\nThe server said last:\n{said}") from err
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
