"""Agents elsewhere: what is sent, what is believed of the answers, and what happens when a server misbehaves.

The servers run in threads of this process, except for the one of docs/remote.md, which is another process's.
"""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from agents.common.identity import identify
from agents.common.registry import make_agent
from agents.remote.agent import RemoteAgent
from basalt.cli import main as cli
from basalt.core.actions import validate_action
from basalt.core.recording import find_recordings
from basalt.core.recording_checks import check_recording
from basalt.core.tasks import get_task
from basalt.io.errors import ActionError, AgentError, ConfigError
from basalt.policies.preprocess import resize_frames
from basalt.rollouts import player as player_module
from basalt.rollouts.evaluate import evaluate
from basalt.rollouts.evaluation import Evaluation
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.testing import check_agent
from basalt.worlds.luanti.version import world_version
from basalt.worlds.processes import free_port
from leaderboard.store.database import open_store
from leaderboard.studies.rules import create_study, demo_study, find_study
from leaderboard.submissions.register import submit_recordings, submitted_agents
from tests.support import ROOT
from tests.support.three_players import unwatched_study
from tests.support.toy_world import CountingWorld

HELLO = {"protocol": 1, "name": "far", "version": "7"}
FRAMES = np.random.default_rng(0).integers(0, 256, (1, 36, 64, 3)).astype(np.uint8)
BEGIN, LATER = np.array([True]), np.array([False])

Answer = Callable[[ServerConnection, dict[str, Any], bytes], object]
"""What a server does at a step: given its connection, the head of the request, and the frames."""


def walk(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    action = {"forward": 1, "camera": [0.5, 2]}
    connection.send(json.dumps({"id": head["id"], "actions": [action] * head["shape"][0]}))


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """Start a server with one way to answer, and return its address."""
    with ExitStack() as stack:

        def start(answer: Answer = walk, hello: Any = HELLO, **settings: Any) -> str:
            def play(connection: ServerConnection) -> None:
                with suppress(ConnectionClosed):
                    greeting = json.loads(connection.recv())
                    assert greeting == {"protocol": 1}
                    connection.send(hello if isinstance(hello, str) else json.dumps(hello))
                    for text in connection:
                        answer(connection, json.loads(text), connection.recv())

            options = {"max_size": 2**26, "close_timeout": 0.1} | settings
            server = stack.enter_context(serve(play, "127.0.0.1", 0, **options))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            scheme = "wss" if "ssl" in settings else "ws"
            return f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}"

        yield start


def test_frames_go_to_the_server_and_its_actions_come_back(served) -> None:
    seen: list[tuple[dict[str, Any], bytes]] = []

    def answer(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
        seen.append((head, frames))
        walk(connection, head, frames)

    agent = RemoteAgent(served(answer))
    assert (agent.name, agent.kind, agent.decides_esc) == ("far", "agent", True)
    both = np.concatenate([FRAMES, 255 - FRAMES])
    actions = agent.act(both, np.array([True, True]))
    agent.act(both, np.array([False, True]))
    assert [validate_action(one)["camera"].tolist() for one in actions] == [[0.5, 2]] * 2
    assert [head for head, _ in seen] == [
        {"id": 1, "shape": [2, 36, 64, 3], "first": [True, True]},
        {"id": 2, "shape": [2, 36, 64, 3], "first": [False, True]},
    ]
    assert all(frames == both.tobytes() for _, frames in seen)


def test_frames_are_resized_as_in_vpt_s_training(served) -> None:
    seen = []

    def answer(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
        seen.append(np.frombuffer(frames, np.uint8).reshape(head["shape"]))
        walk(connection, head, frames)

    make_agent("remote", url=served(answer), size=[32, 16]).act(FRAMES, BEGIN)
    assert seen[0].shape == (1, 16, 32, 3)
    assert np.array_equal(seen[0], resize_frames(FRAMES, player_module.FrameSize(32, 16)))


def send(text: str) -> Answer:
    return lambda connection, head, frames: connection.send(text)


def actions(*rows: Any) -> Answer:
    return lambda connection, head, frames: connection.send(
        json.dumps({"id": head["id"], "actions": rows})
    )


def twice(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    walk(connection, head, frames)
    walk(connection, head, frames)


def garbage(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    connection.socket.sendall(b"\xff" * 64)  # not a frame of a WebSocket


def leave(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    connection.close(1011, "out of memory")


def cut(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    connection.socket.shutdown(socket.SHUT_RDWR)


def silent(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None: ...


def trickle(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
    stop = threading.Event()
    with suppress(OSError):
        while not stop.wait(0.02):
            connection.socket.sendall(b"\x01\x01 ")  # a piece of a text that never ends


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (leave, AgentError, "the server closed the connection (code 1011: 'out of memory')"),
        (cut, AgentError, "the connection"),
        (silent, AgentError, "no answer within 0.3 s"),
        (trickle, ActionError, "expected an answer of at most"),
        (garbage, ActionError, "expected an answer of at most 1,048,576 bytes of WebSocket"),
        (send("hello"), ActionError, "expected an answer in JSON"),
        (send("[" * 100_000), ActionError, "expected an answer in JSON (nested too deeply)"),
        (send(" " * (2**20 + 1)), ActionError, "expected an answer of at most 1,048,576 bytes"),
        (send("[]"), ActionError, "answer: Input should be"),
        (send("{}"), ActionError, "id: Field required"),
        (send('{"id": 2, "actions": [{}]}'), ActionError, "the answer to request 1, got one to 2"),
        (actions(), ActionError, "expected 1 actions, got 0"),
        (actions({}, {}), ActionError, "expected 1 actions, got 2"),
        (actions({"fly": 1}), ActionError, "action: unknown key 'fly'"),
        (actions({"forward": 2}), ActionError, "action['forward']: expected 0 or 1, got 2"),
        (actions({"camera": [0, float("nan")]}), ActionError, "expected finite numbers"),
        (actions({"camera": [10**400, 0]}), ActionError, "action['camera']: expected two numbers"),
        (actions({"camera": [[[1]], 0]}), ActionError, "actions.0.camera"),
        (actions({"forward": "x" * 100_000}), ActionError, "actions.0.forward"),
        (actions({"x" * 100_000: 1}), ActionError, "action: unknown key 'xxx"),
    ],
)
def test_each_misbehaviour_is_one_clear_error(served, answer, error, message) -> None:
    url = served(answer)
    agent = RemoteAgent(url, answer_timeout_s=0.3)
    with pytest.raises(error) as raised:
        agent.act(FRAMES, BEGIN)
    said = str(raised.value)
    assert said.startswith(f"{url}: ") and message in said and "\n" not in said and len(said) < 600
    with pytest.raises(AgentError, match="lost in the middle of an episode"):
        agent.act(FRAMES, LATER)


def test_a_server_that_does_not_read_is_given_up(served) -> None:
    reading = threading.Event()
    url = served(lambda *_: reading.wait(60), max_queue=1)
    agent = RemoteAgent(url, answer_timeout_s=0.3)
    many = np.zeros((64, 360, 640, 3), np.uint8)  # more than a kernel keeps for the server
    with pytest.raises(AgentError, match=r"no answer within 0.3 s"):
        agent.act(many, np.ones(64, bool))
    reading.set()


def test_a_second_answer_is_not_taken_for_the_next_step_s(served) -> None:
    agent = RemoteAgent(served(twice))
    agent.act(FRAMES, BEGIN)
    with pytest.raises(ActionError, match="expected the answer to request 2, got one to 1"):
        agent.act(FRAMES, LATER)


def test_it_connects_again_for_the_next_episode(served) -> None:
    lost = [True, False, False]

    def answer(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
        (cut if lost.pop(0) else walk)(connection, head, frames)

    agent = RemoteAgent(served(answer))
    with pytest.raises(AgentError):
        agent.act(FRAMES, BEGIN)
    assert agent.act(FRAMES, BEGIN)[0]["forward"] == 1
    assert agent.act(FRAMES, LATER)[0]["forward"] == 1


def test_a_connection_that_was_closed_between_episodes_loses_nothing(served) -> None:
    left = threading.Event()

    def answer(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
        walk(connection, head, frames)
        if head["id"] == 1:
            connection.close()
            left.set()

    agent = RemoteAgent(served(answer))
    agent.act(FRAMES, BEGIN)
    left.wait(10)
    assert agent.act(FRAMES, BEGIN)[0]["forward"] == 1


@pytest.mark.parametrize(
    ("hello", "message"),
    [
        ({"protocol": 2, "name": "far"}, "expected a server of protocol 1, got 2"),
        ({"protocol": 1}, "name: Field required"),
        ({"protocol": 1, "name": "two\nlines"}, "name: "),
        ({"protocol": 1, "name": "x" * 100_000}, "name: "),
        ("welcome", "expected an answer in JSON"),
        ({"protocol": 1, "name": "far", "version": "8"}, r"expected version '7' of the policy"),
    ],
)
def test_a_server_of_something_else_is_refused(served, hello, message) -> None:
    with pytest.raises(AgentError, match=message) as raised:
        RemoteAgent(served(hello=hello), version="7")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_a_server_that_comes_back_as_another_policy_is_refused(served) -> None:
    hello = dict(HELLO)
    agent = RemoteAgent(served(cut, hello))
    with pytest.raises(AgentError):
        agent.act(FRAMES, BEGIN)
    hello["version"] = "8"
    with pytest.raises(AgentError, match="came back as another policy \\('far', version '8'\\)"):
        agent.act(FRAMES, BEGIN)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8765", "http://127.0.0.1:8765", "ws://", "ws://127.0.0.1:port",
     "ws://example.org:8765", "ws://192.0.2.1:8765", "ws://localhost.example.org", "ws://me:secret@127.0.0.1"],
)  # fmt: skip
def test_addresses_that_are_refused(url) -> None:
    with pytest.raises(ConfigError, match=r"^agent\.url: expected "):
        RemoteAgent(url)


def test_where_nothing_or_something_else_answers() -> None:
    with pytest.raises(AgentError, match=r"no server answers .*; start it, or check agent\.url"):
        RemoteAgent(f"ws://127.0.0.1:{free_port()}", connect_timeout_s=0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"ws://127.0.0.1:{other.getsockname()[1]}"

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                connection.recv(4096)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(AgentError, match="no WebSocket server answers"):
            RemoteAgent(url, connect_timeout_s=0.15)


def test_the_token_is_sent_and_is_no_setting(served, monkeypatch) -> None:
    monkeypatch.setenv("BASALT_AGENT_TOKEN", "secret-1")
    seen = []

    def answer(connection: ServerConnection, head: dict[str, Any], frames: bytes) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers["Authorization"])
        walk(connection, head, frames)

    RemoteAgent(served(answer)).act(FRAMES, BEGIN)
    assert seen == ["Bearer secret-1"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_another_machine_needs_a_certificate_that_is_trusted(served, tmp_path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=far", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    url = served(ssl=context)
    assert RemoteAgent(url, ca=str(certificate)).act(FRAMES, BEGIN)[0]["forward"] == 1
    with pytest.raises(AgentError, match="certificate"):
        RemoteAgent(url, connect_timeout_s=0.1)
    with pytest.raises(AgentError, match="certificate"):  # it is for another name
        RemoteAgent(
            url.replace("127.0.0.1", "localhost"), ca=str(certificate), connect_timeout_s=0.1
        )
    with pytest.raises(ConfigError, match=r"^agent\.ca: expected a file of PEM certificates"):
        RemoteAgent(url, ca=str(key))


def test_a_policy_that_was_trained_elsewhere_counts_as_one_that_learns() -> None:
    settings = {"name": "remote", "url": "ws://127.0.0.1:1", "version": "7"}
    known = identify(settings | {"learns": True, "training_seed": 3})
    assert (known.learns, known.training_seed) == (True, 3)
    assert identify(settings).learns and identify(settings).training_seed is None
    assert not identify(settings | {"learns": False}).learns
    assert identify(settings | {"version": "8"}).hash != identify(settings).hash
    with pytest.raises(ConfigError, match=r"agent\.training_seed"):
        make_agent("remote", url="ws://127.0.0.1:1", learns=False, training_seed=3)


# ---- the server of the documentation ----


@pytest.fixture(scope="module")
def documented(tmp_path_factory) -> Iterator[str]:
    """Address of the server that docs/remote.md shows, in a process of its own that does not see this project."""
    page = (ROOT / "docs/remote.md").read_text(encoding="utf-8")
    file: Path = tmp_path_factory.mktemp("server") / "server.py"
    file.write_text(page.partition("```python\n")[2].partition("```")[0])
    port = free_port()
    server = subprocess.Popen([sys.executable, file, str(port)], cwd=file.parent, env={})
    yield f"ws://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def toy_world(monkeypatch) -> None:
    monkeypatch.setattr(CountingWorld, "failures", [])
    monkeypatch.setattr(player_module.gymnasium, "make", lambda *args, **kwargs: CountingWorld())


def test_the_documented_server_keeps_the_contract_of_an_agent(documented) -> None:
    check_agent(partial(RemoteAgent, documented, size=(32, 18)))


def test_it_plays_is_evaluated_and_is_submitted(documented, toy_world, tmp_path) -> None:
    settings = {"name": "remote", "url": documented, "version": "weights-3f2a"}
    make = partial(make_agent, **settings)
    plan = partial(RolloutPlan, task="find_cave", world="toy", agent=settings)
    played = rollout(make, plan(seeds=(100_001, 100_002), out=tmp_path / "played"), progress=False)
    for recording in played:
        check_recording(recording)
        assert (recording.meta.player, recording.meta.player_kind) == ("my-policy", "agent")
        assert recording.meta.ended == "esc" and recording.actions().column("forward").all()
    found = evaluate(
        make,
        plan(seeds=(230_000,), out=tmp_path / "evaluated"),
        agent_hash=identify(settings).hash,
        learns=identify(settings).learns,
        progress=False,
    )
    assert found.learns and found.success_rate == 1
    store = open_store(tmp_path / "leaderboard.sqlite")
    rules = demo_study({"find_cave": (100_001, 100_002)}, "toy", "toy-1", step_limit=3600)
    submission = submit_recordings(
        store, unwatched_study(store, "small", rules), tmp_path / "played"
    )
    assert submission.agent == "my-policy"
    store.close()


def test_the_command_names_its_settings(capsys) -> None:
    assert cli.run(["rollout", "agent=remote", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"agent.{one}" in said for one in ("url", "answer_timeout_s", "ca", "version"))
    wrong = ["rollout", "agent=remote", "agent.url=ws://127.0.0.1:1", "agent.answer_timeout_s=0"]
    assert cli.run(wrong) == 1
    assert "agent.answer_timeout_s: expected" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.engine
def test_it_plays_the_real_engine_is_evaluated_and_enters_a_study(documented, tmp_path) -> None:
    agent = ["agent=remote", f"agent.url={documented}", "agent.learns=false", "task=find_cave"]
    limit = ["max_steps=20"]
    assert cli.run(["evaluate", *agent, *limit, "seeds=dev:2", f"out={tmp_path / 'eval'}"]) == 0
    found = Evaluation.read(tmp_path / "eval" / "evaluation.json")
    assert [one.play for one in found.episodes] == ["played", "played"]
    assert cli.run(["rollout", *agent, *limit, "seeds=[200000]", f"out={tmp_path / 'play'}"]) == 0
    (recording,) = find_recordings(tmp_path / "play")
    assert recording.meta is not None
    assert (recording.meta.player, recording.meta.player_kind) == ("my-policy", "agent")
    store = open_store(tmp_path / "board.sqlite")
    version = world_version(get_task("find_cave"))
    create_study(
        store, "tiny", demo_study({"find_cave": (200_000,)}, "luanti", version, step_limit=20)
    )
    place = ["--study", "tiny", "--store", str(tmp_path / "board.sqlite")]
    assert cli.run(["submit", str(tmp_path / "play"), *place, "--replay", "1"]) == 0
    assert submitted_agents(store, find_study(store)) == {"my-policy"}
    store.close()
