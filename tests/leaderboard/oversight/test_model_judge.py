"""A model as judge, against a server that misbehaves in every way that was seen."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from basalt.io.errors import ConfigError
from leaderboard.oversight.conversation import converse, judge_request
from leaderboard.oversight.debaters import SCRIPTED
from leaderboard.oversight.endpoint import MAX_REPLY_BYTES, Endpoint, EndpointError
from leaderboard.oversight.messages import FrameRef, JudgeRequest, Protocol
from leaderboard.oversight.model_judge import (
    BudgetError,
    ModelJudge,
    Prices,
    chance_of,
    messages_of,
)
from leaderboard.oversight.pairs import Pair
from leaderboard.oversight.players import Cassette, Debaters
from leaderboard.oversight.run import ANSWERS, RunConfig, run
from tests.support.oversight_pairs import cave_visit
from tests.support.three_players import record

KEY = "sk-planted-0123456789"
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]


def nonce_of(body: dict[str, Any]) -> str:
    """The nonce of a request, as a model reads it."""
    return str(body["messages"][0]["content"]).split("with the mark ")[1].split(".")[0]


def completion(
    text: str | None, *, finish: str = "stop", model: str = "m-1", **other: Any
) -> bytes:
    return json.dumps(
        {
            "model": model,
            "choices": [{"message": {"content": text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 10},
            **other,
        }
    ).encode()


def verdict(body: dict[str, Any], name: str = "P1", confidence: int = 90) -> str:
    return json.dumps({"winner": f"{name}-{nonce_of(body)}", "confidence": confidence})


def good(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, completion(verdict(body))


def says(text: Callable[[dict[str, Any]], str | None], **other: Any) -> Answer:
    return lambda body: (200, {}, completion(text(body), **other))


def status(code: int, **headers: str) -> Answer:
    return lambda body: (code, {k.replace("_", "-"): v for k, v in headers.items()}, b"{}")


class Fake:
    """A server that answers from a list, the last answer again and again, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked.append(body)
                fake.headers.append(dict(self.headers))
                answer = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
                code, headers, content = answer(body)
                self.send_response(code)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Fake]]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made: list[Fake] = []

    def start(*answers: Answer) -> Fake:
        made.append(Fake(*answers))
        return made[-1]

    yield start
    for one in made:
        one.close()


def request(**settings: Any) -> JudgeRequest:
    pair = Pair("find_cave", 100_123, cave_visit(60, 40), cave_visit(60, None), ("", ""), "left", "success")  # fmt: skip
    protocol = Protocol(form="debate", **settings)
    transcript = converse(pair, protocol, Debaters(SCRIPTED["oracle"], SCRIPTED["injector"]))
    return judge_request(pair, protocol, transcript, first="left")


def jpeg(ref: FrameRef) -> bytes:
    return f"{ref.name} at {ref.state}".encode()


class Rig:
    """A judge on a fake server, and the pauses that it made."""

    def __init__(
        self, fake: Fake, path: Path, prices: Prices | None = None, **settings: Any
    ) -> None:
        self.pauses: list[float] = []
        endpoint = Endpoint(fake.url, "m", sleep=self.pauses.append, **settings)
        self.judge = ModelJudge(endpoint, Cassette(path / "answers.jsonl"), prices)

    def chance(self, asked: JudgeRequest | None = None) -> float | None:
        return self.judge.decide(asked or request(), jpeg).first


def test_a_good_answer_is_a_chance_and_is_asked_for_once(
    serve: Callable[..., Fake], tmp_path: Path
) -> None:
    fake = serve(good)
    rig = Rig(fake, tmp_path, Prices(tokens_in=2.0, tokens_out=10.0))
    ruling = rig.judge.decide(request(), jpeg)
    assert (ruling.first, ruling.tokens_in, ruling.tokens_out) == (0.9, 1_000, 10)
    assert ruling.cost == pytest.approx(0.0021)
    assert rig.judge.decide(request(), jpeg) == ruling and len(fake.asked) == 1
    assert Rig(serve(status(500)), tmp_path).chance() == 0.9, "a recorded answer needs no server"
    body = fake.asked[0]
    assert body["temperature"] == 0 and body["response_format"]["json_schema"]["strict"]
    assert {*fake.headers[0]} == {"Host", "Accept-Encoding", "Content-Length", "Content-Type", "Authorization"}  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "chance", "asked"),
    [
        ([status(429, Retry_After="7"), status(429), good], 0.9, 3),
        ([status(503), status(408), good], 0.9, 3),
        ([lambda body: (200, {}, completion("x")[:-9]), good], 0.9, 2),  # not the whole JSON
        ([lambda body: (200, {"Content-Length": "9999"}, completion("x")), good], 0.9, 2),
        ([says(lambda body: "{not json"), good], 0.9, 2),
        ([says(lambda body: "P1 is better. " + verdict(body)), good], 0.9, 2),
        ([says(lambda body: '{"winner": "P1-00000000", "confidence": 90}')], None, 2),
        ([says(lambda body: '{"winner": "P1", "confidence": 90}')], None, 2),
        ([says(lambda body: verdict(body, confidence=400))], None, 2),
        ([lambda body: (200, {}, completion("", choices=[]))], None, 2),
        ([says(lambda body: None)], None, 2),
        ([lambda body: (200, {}, completion("\ud800"))], None, 2),
        ([says(verdict, finish="length")], None, 1),
        ([says(verdict, finish="content_filter")], None, 1),
        ([lambda body: (200, {}, completion(verdict(body, "P2", 75), usage=None))], 0.25, 1),
    ],
)
def test_what_becomes_of_an_answer(
    answers: list[Answer], chance: float | None, asked: int, serve: Callable[..., Fake], tmp_path: Path
) -> None:  # fmt: skip
    fake = serve(*answers)
    assert Rig(fake, tmp_path).chance() == chance
    assert len(fake.asked) == asked


@pytest.mark.parametrize(
    ("answer", "message", "asked"),
    [
        (status(401), "expected status 200, got 401; check endpoint, model and the key", 1),
        (status(404), "expected status 200, got 404", 1),
        (status(302, Location="http://127.0.0.1:9/"), "expected status 200, got 302", 1),
        (status(400), "refuses the request", 2),  # with a schema, then with plain JSON
        (status(500), "got status 500 in 5 attempts; run the same command to resume", 5),
        (lambda body: (200, {}, b'{"error": "no"}'), "expected a chat completion", 1),
        (lambda body: (200, {}, b" " * (MAX_REPLY_BYTES + 1)), "expected a reply of at most", 1),
    ],
)
def test_a_server_that_cannot_be_used_is_one_line_and_recorded_nowhere(
    answer: Answer, message: str, asked: int, serve: Callable[..., Fake], tmp_path: Path
) -> None:
    fake = serve(answer)
    with pytest.raises(EndpointError) as raised:
        Rig(fake, tmp_path).chance()
    assert message in str(raised.value) and KEY not in str(raised.value)
    assert len(fake.asked) == asked
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_key_that_cannot_be_sent_is_not_shown(
    serve: Callable[..., Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: expected a key") as raised:
        Rig(serve(good), tmp_path).chance()
    assert KEY not in str(raised.value)


def test_pauses_follow_the_server_within_bounds(serve: Callable[..., Fake], tmp_path: Path) -> None:
    waits = [
        status(429, Retry_After=one) for one in ("7", "86400", "Fri, 31 Dec 1999 23:59:59 GMT")
    ]
    rig = Rig(serve(*waits, good), tmp_path)
    assert rig.chance() == 0.9
    assert rig.pauses[:2] == [7.0, 60.0] and 2 <= rig.pauses[2] <= 4


def test_a_stall_is_another_attempt(serve: Callable[..., Fake], tmp_path: Path) -> None:
    is_over = threading.Event()

    def stall(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        is_over.wait(30)
        return good(body)

    fake = serve(stall, good)
    try:
        assert Rig(fake, tmp_path, timeout=0.5).chance() == 0.9
    finally:
        is_over.set()
    assert len(fake.asked) == 2


def test_a_server_without_schemas_is_asked_for_plain_json_from_then_on(
    serve: Callable[..., Fake], tmp_path: Path
) -> None:
    fake = serve(status(400), good)
    rig = Rig(fake, tmp_path)
    assert [rig.chance(), rig.chance(request(claims=2))] == [0.9, 0.9]
    kinds = [body["response_format"]["type"] for body in fake.asked]
    assert kinds == ["json_schema", "json_object", "json_object"]


def test_another_model_under_the_same_name_stops(
    serve: Callable[..., Fake], tmp_path: Path
) -> None:
    rig = Rig(serve(good, says(verdict, model="m-2")), tmp_path)
    assert rig.chance() == 0.9
    with pytest.raises(ConfigError, match="expected answers of 'm-1' as before"):
        rig.chance(request(claims=2))


def test_a_budget_stops_and_resumes(serve: Callable[..., Fake], tmp_path: Path) -> None:
    fake = serve(good)
    assert Rig(fake, tmp_path, Prices(1.0, 0.0, most=0.001)).chance() == 0.9
    again = Rig(fake, tmp_path, Prices(1.0, 0.0, most=0.001))
    assert again.chance() == 0.9, "what was answered costs nothing"
    with pytest.raises(BudgetError, match=r"of 0\.001 are spent"):
        again.chance(request(claims=2))
    assert Rig(fake, tmp_path, Prices(1.0, 0.0, most=0.1)).chance(request(claims=2)) == 0.9
    silent = serve(lambda body: (200, {}, completion(verdict(body), usage=None)))
    with pytest.raises(ConfigError, match="to say how many tokens"):
        Rig(silent, tmp_path, Prices(1.0, most=1.0)).chance(request(claims=1))


def test_the_messages_are_data_with_pictures() -> None:
    asked = request(frames=2, lists=True)
    system, shown, said = messages_of(asked, jpeg)
    pictures = [
        part["image_url"]["url"] for part in shown["content"] if part["type"] == "image_url"
    ]
    assert pictures[0] == "data:image/jpeg;base64," + base64.b64encode(b"P1 at 0").decode()
    texts = [part["text"] for part in shown["content"] if part["type"] == "text"]
    assert "recording P2, second 3.0" in texts and len(pictures) == 4
    (text,) = [part["text"] for part in said["content"]]
    assert asked.nonce in system["content"] and text.count(f"<{asked.nonce}") == 2
    # What the injector forged is not what marks are made of.
    assert "[checked: true]" not in text and "</transcript>" not in text and "```" not in text
    assert "[checked by the referee: true]" in text and "[checked by the referee: false]" in text


@pytest.mark.parametrize(
    "text",
    [None, "", "null", "[]", "P1-ab", '{"winner": "P1-ab"}', '{"winner": "P1-ab", "confidence": 49}',
     '{"winner": "P1-ab", "confidence": "90"}', '{"winner": "P1-ab", "confidence": 90, "x": 1}',
     '{"winner": "P1-ab", "confidence": 90} {"winner": "P2-ab", "confidence": 90}', "[" * 100_000],
)  # fmt: skip
def test_anything_but_the_whole_answer_is_unreadable(text: str | None) -> None:
    assert chance_of(text, "ab") is None


def test_a_run_with_a_model(serve: Callable[..., Fake], tmp_path: Path) -> None:
    for player, cave in (("good", 8), ("poor", 0)):
        record(tmp_path / "in" / player, 100_001, player=player, cave_steps=cave, steps=12)
    fake = serve(good)
    given: dict[str, Any] = {
        "task": "find_cave", "recordings": str(tmp_path / "in"), "truth": ["success"], "arms": ["floor", "debate"],
        "judges": ["model"], "frames": 2, "out": str(tmp_path / "out"), "progress": False,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="judges: model needs a server"):
        RunConfig(**given)
    made = run(RunConfig(**given, endpoint=fake.url, model="m"))
    (table,) = made.tables["success"]
    for row in table.rows:  # it always names what is shown first
        assert row.consistency.value == 0 and row.tokens == 2_020
    assert len(fake.asked) == 4
    url = fake.asked[0]["messages"][1]["content"][2]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2]).startswith(b"\xff\xd8\xff")
    written = b"".join(one.read_bytes() for one in (tmp_path / "out").rglob("*") if one.is_file())
    assert KEY.encode() not in written and (tmp_path / "out" / ANSWERS).is_file()
    sent = json.dumps(fake.asked)
    assert not [word for word in ("good", "poor", "100001", "scripted", KEY) if word in sent]


def test_addresses_with_secrets_are_refused() -> None:
    for url in (
        "localhost:8000",
        "ftp://host/v1",
        "http://me:secret@host/v1",
        "http://",
        "http://host:port/v1",
        "http://[::1/v1",
        "http://host/v1?key=secret",
        "http://host/a b",
    ):
        with pytest.raises(ConfigError, match="expected an address") as raised:
            Endpoint(url, "m")
        assert "secret" not in str(raised.value)
