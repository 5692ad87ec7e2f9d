"""The wire protocol, byte for byte, and what happens when the other side breaks it."""

import json
import time
import uuid

import numpy as np
import pytest

from basalt.core.actions import null_action, validate_action
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.minerl import protocol
from basalt.worlds.minerl.env import MinerlEnv
from basalt.worlds.minerl.protocol import (
    Address,
    Connection,
    MinecraftBusy,
    MinecraftDied,
    MinecraftGarbled,
    MinecraftHung,
    mission_token,
    mission_xml,
    step_message,
)
from tests.support.minerl_standin import Faults, StandIn

SIZE = (64, 36)
LIMITS = {"busy_s": 0.3, "world_s": 20.0}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.env_id)
def test_the_client_sends_what_the_minerl_package_sends(task, golden, monkeypatch):
    session = json.loads((golden / "minerl_wire.json").read_text())[task.env_id]
    expected = [message.removeprefix("TOKEN ") for message in session["messages"]]
    episode = expected[3].split(":")[0]
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(episode))
    with StandIn() as standin:
        env = MinerlEnv(task, address=standin.address)
        env.reset(seed=session["seed"])
        for action in session["actions"]:
            env.step(action)
        env.close()
        sent = standin.whole_session()
    assert sent[: len(expected)] == expected
    # One of the transcripts was cut before its last message.
    assert sent[len(expected) :] in ([], ["<StepServer></StepServer>"])


def test_seeds_are_sent_at_every_reset():
    with StandIn() as standin:
        env = MinerlEnv(get_task("find_cave"), size=SIZE, address=standin.address)
        for seed in (0, 100_001, 5681265):
            env.reset(seed=seed)
        env.close()
        assert [seed for seed, _ in standin.begun] == [0, 100_001, 5681265]


def test_a_missions_size_is_the_environments():
    text = mission_xml(get_task("make_waterfall"), "id", (160, 90)).decode()
    assert "<Width>160</Width><Height>90</Height>" in text
    assert mission_token("id", 7) == b"id:0:0:1:true:7"


def test_the_camera_is_written_as_the_float32_that_it_is():
    action = validate_action({"camera": np.array([0.15, -1e-5], np.float32)})
    assert b"\ncamera 0.15000000596046448 -9.999999747378752e-06</" in step_message(action)


def connect(standin, **settings):
    return Connection(Address.parse(standin.address), SIZE, **settings)


def begun(standin):
    connection = connect(standin)
    connection.quit_episode()
    task = get_task("find_cave")
    connection.begin_episode(mission_xml(task, "id", SIZE), mission_token("id", 1), **LIMITS)
    return connection


def test_pictures_are_turned_the_right_way_up():
    with StandIn() as standin:
        reply = begun(standin).first_frame(20.0)
    assert reply.frame.shape == (36, 64, 3) and reply.frame.flags.c_contiguous
    assert reply.frame[:, 0, 0].tolist() == [row // 2 for row in range(36)]


def test_a_world_in_the_making_is_waited_for(monkeypatch):
    monkeypatch.setattr(protocol, "PEEK_PAUSE_S", 0.01)
    with StandIn(Faults(empty_pictures=3, world_delay_s=0.2)) as standin:
        assert begun(standin).first_frame(20.0).frame is not None
        assert standin.received.count("<Peek/>") == 4


def test_a_world_that_never_comes_is_hung(monkeypatch):
    monkeypatch.setattr(protocol, "PEEK_PAUSE_S", 0.01)
    with StandIn(Faults(empty_pictures=10**6)) as standin:
        connection = begun(standin)
        with pytest.raises(MinecraftHung, match=r"within 0\.1 s"):
            connection.first_frame(0.1)


def test_a_busy_process_is_asked_again_with_both_messages(monkeypatch):
    monkeypatch.setattr(protocol, "BUSY_PAUSE_S", 0.01)
    with StandIn(Faults(busy=2)) as standin:
        begun(standin)
        kinds = [message[:9] for message in standin.received]
        assert kinds == ["<MalmoEnv", "<Quit/>"] + ["<MissionI", "id:0:0:1:"] * 3


def test_two_clients_do_not_play_one_game(monkeypatch):
    monkeypatch.setattr(protocol, "BUSY_PAUSE_S", 0.01)
    with StandIn() as standin:
        first = begun(standin)
        with pytest.raises(MinecraftBusy, match=r"still busy .* its own Minecraft"):
            begun(standin)
        first.close()
        deadline = time.monotonic() + 20
        while True:
            try:
                second = begun(standin)
                break
            except MinecraftBusy:
                assert time.monotonic() < deadline
        assert second.first_frame(20.0).frame is not None


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        (
            Faults(hang_at=2),
            MinecraftHung,
            r"no complete reply to a step within 0\.8 s \(0 of 4 bytes",
        ),
        (
            Faults(half_message_at=2),
            MinecraftHung,
            r"within 0\.8 s \(3456 of 6912 bytes received\)",
        ),
        (Faults(trickle_at=2), MinecraftHung, r"within 0\.8 s \(\d+ of 6912 bytes received\)"),
        (
            Faults(die_at=2),
            MinecraftDied,
            r"instead of replying to a step|before the reply to a step",
        ),
        (Faults(half_message_dies_at=2), MinecraftDied, r"\(3456 of 6912 bytes received\)"),
        (Faults(wrong_length_at=2), MinecraftGarbled, r"6909 bytes, not the 6912 of 64x36"),
        (Faults(bad_result_at=2), MinecraftGarbled, r"9 bytes for reward and done, not 10"),
        (Faults(bad_info_at=2), MinecraftGarbled, r"info that is not JSON: b'{half'"),
    ],
    ids=lambda value: (
        next(iter(k for k, v in vars(value).items() if v == 2), "")
        if isinstance(value, Faults)
        else None
    ),
)
def test_a_step_that_fails_is_a_typed_error_in_time(faults, error, words):
    with StandIn(faults) as standin:
        connection = begun(standin)
        connection.first_frame(20.0)
        connection.step(null_action(), 20.0)
        with pytest.raises(error, match=words) as raised:
            connection.step(null_action(), 0.8)
        assert isinstance(raised.value, WorldError) and standin.address in str(raised.value)


def test_a_slow_step_is_a_step():
    with StandIn(Faults(slow_step_s={1: 0.3})) as standin:
        connection = begun(standin)
        assert connection.step(null_action(), 20.0).frame is not None


def test_nobody_there():
    standin = StandIn()
    standin.stop()
    with pytest.raises(MinecraftDied, match=r"cannot connect .* check that Minecraft is running"):
        connect(standin)


def test_another_version_of_the_protocol_is_a_closed_connection():
    with StandIn(version="0.36.0") as standin, pytest.raises(MinecraftDied, match="Quit"):
        connect(standin).quit_episode()


def test_signs_of_life_and_the_end():
    with StandIn() as standin:
        assert "Echo" in connect(standin).echo()
        assert connect(standin).exit_process()
        with pytest.raises(MinecraftDied):
            connect(standin).echo()


def test_a_message_of_absurd_length_is_refused_unread(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_TEXT_BYTES", 4)
    with StandIn() as standin, pytest.raises(MinecraftGarbled, match="a message of 20 bytes"):
        connect(standin).echo()


def test_closing_is_quiet_and_can_be_repeated():
    with StandIn() as standin:
        connection = connect(standin)
    connection.close()
    connection.close()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("box:9001", "box", 9001), ("box", "box", 9000), ("[::1]:9001", "::1", 9001), ("[::1]", "::1", 9000)],
)  # fmt: skip
def test_addresses(text, host, port):
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", ":9000", "box:", "box:0", "box:70000", "box:port"])
def test_what_is_no_address_is_named(text):
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        Address.parse(text)
