"""A game served in Minecraft's stead: golden sessions of the real package, and the Luanti world."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from basalt.core.tasks import get_task
from basalt.worlds import make_env
from basalt.worlds.minerl import protocol
from basalt.worlds.minerl.env import MinerlEnv
from basalt.worlds.minerl.protocol import Address, Connection, MinecraftBusy, MinecraftDied
from tools.minerl_server import Game, Server
from tools.serve_luanti_as_minerl import LuantiGame

SMALL = (64, 36)


class Recorder(Game):
    """Notes what it is asked; the picture's rows are numbered from the top."""

    def __init__(self):
        self.begun, self.actions, self.closed = [], [], threading.Event()

    def begin(self, task, seed, size):
        self.begun.append((task, seed, size))
        rows = np.arange(size[1], dtype=np.uint8)[:, None, None]
        self.picture = np.tile(rows, (1, size[0], 3))
        return self.picture, {"isGuiOpen": False}

    def step(self, action):
        self.actions.append(action)
        return self.picture, len(self.actions) == 6, {"isGuiOpen": True, "XPos": 1.0}

    def close(self):
        self.closed.set()


@pytest.fixture
def served():
    game = Recorder()
    server = Server(game)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield game, server
    server.stop()
    thread.join(10)
    assert game.closed.is_set()


def raw_client(server):
    client = socket.create_connection(("127.0.0.1", server.port), 10)
    client.settimeout(10)
    return client


def send(client, *messages):
    for message in messages:
        client.sendall(struct.pack("!I", len(message)) + message.encode())


def receive(client):
    data = b""
    wanted = 4
    while len(data) < wanted:
        data += client.recv(wanted - len(data))
        if wanted == len(data) == 4:
            (length,) = struct.unpack("!I", data)
            wanted += length
    return data[4:]


@pytest.mark.parametrize("env_id", ["FindCave", "BuildVillageHouse"])
def test_what_the_minerl_package_sends_is_played(served, golden, env_id):
    game, server = served
    session = json.loads((golden / "minerl_wire.json").read_text())[env_id]
    with raw_client(server) as client:
        for message in session["messages"]:
            message = message.removeprefix("TOKEN ")
            send(client, message)
            if message == "<Quit/>" or re.match(r"[0-9a-f-]{36}:", message):
                assert receive(client) == b"\0\0\0\1"
            elif message == "<Peek/>":
                picture, info, done = (receive(client) for _ in range(3))
                assert (len(picture), picture[0], picture[-1]) == (640 * 360 * 3, 359 % 256, 0)
                assert json.loads(info) == {"isGuiOpen": False} and done == b"\0"
            elif message.startswith("<StepClient"):
                picture, result, info = (receive(client) for _ in range(3))
                reward, done, sent = struct.unpack("!dbb", result)
                assert (reward, sent, json.loads(info)["XPos"]) == (0.0, 1, 1.0)
        assert done == 1
    assert game.begun == [(env_id, session["seed"], (640, 360))]
    for played, given in zip(game.actions, session["actions"], strict=True):
        assert played.pop("camera").tolist() == given.pop("camera")
        assert played == given


def test_our_client_plays_it(served):
    game, server = served
    env = MinerlEnv(get_task("find_cave"), size=SMALL, address=f"127.0.0.1:{server.port}")
    observation, _ = env.reset(seed=7)
    assert observation["pov"][:, 0, 0].tolist() == list(range(36))
    for _ in range(6):
        *_, info = env.step({"jump": 1})
    assert info["ended"] == "death" and info["telemetry"].xpos == 1
    env.close()
    assert game.actions[0]["jump"] == 1 and game.begun == [("FindCave", 7, SMALL)]


def test_a_second_client_is_told_that_it_is_busy(served, monkeypatch):
    monkeypatch.setattr(protocol, "BUSY_PAUSE_S", 0.01)
    _, server = served
    task = get_task("find_cave")

    def begin():
        connection = Connection(Address("127.0.0.1", server.port), SMALL)
        mission, token = protocol.mission_xml(task, "id", SMALL), protocol.mission_token("id", 1)
        connection.begin_episode(mission, token, busy_s=0.1, world_s=5)
        return connection

    first = begin()
    with pytest.raises(MinecraftBusy):
        begin()
    first.close()


def test_a_client_may_ask_for_the_end(served):
    game, server = served
    connection = Connection(Address("127.0.0.1", server.port), SMALL)
    assert connection.echo() == "<Echo><Echo/></Echo>" and connection.exit_process()
    assert game.closed.wait(10)


@pytest.mark.parametrize(
    "messages",
    [["<MalmoEnv0.1/>"], ["<MalmoEnv0.37.0/>", "<Dance/>"], ["<MalmoEnv0.37.0/>", "x" * 2**21],
     ["<MalmoEnv0.37.0/>", "<StepClient0>ESC 0</StepClient0 >"],
     ["<MalmoEnv0.37.0/>", "<MissionInit", "token"]],
)  # fmt: skip
def test_what_is_no_protocol_ends_the_session_alone(served, messages):
    _, server = served
    with raw_client(server) as client:
        try:
            send(client, *messages)
            assert client.recv(1) == b""
        except ConnectionError:
            pass
    assert Connection(Address("127.0.0.1", server.port), SMALL).echo()


@pytest.mark.engine
def test_luanti_over_the_wire_is_luanti():
    actions = [{"forward": 1}, {"camera": [10.0, 30.0]}, {"inventory": 1}, {}, {"inventory": 0}]
    direct = make_env("find_cave", "luanti", size=(160, 90))
    expected = [direct.reset(seed=100_001)]
    expected += [(step[0], step[-1]) for step in map(direct.step, actions)]
    version = direct.get_wrapper_attr("version")
    direct.close()

    server = Server(LuantiGame())
    thread = threading.Thread(target=server.serve)
    thread.start()
    address = f"127.0.0.1:{server.port}"
    env = MinerlEnv(get_task("find_cave"), size=(160, 90), address=address)
    try:
        seen = [env.reset(seed=100_001)]
        seen += [(step[0], step[-1]) for step in map(env.step, actions)]
        assert env.version == version, "recordings name the world that was really played"
        *_, terminated, _, info = env.step({"ESC": 1})
        assert terminated and info["ended"] == "esc"
    finally:
        env.close()
        server.stop()
        thread.join(60)
    for (picture, info), (wanted, wanted_info) in zip(seen, expected, strict=True):
        ours, theirs = picture["pov"].astype(int), wanted["pov"]
        assert np.abs(ours - theirs).mean() < np.abs(ours - theirs[::-1]).mean() / 2
        told, known = info["telemetry"], wanted_info["telemetry"]
        place = [-known.xpos, known.ypos, known.zpos]
        assert [told.xpos, told.ypos, told.zpos] == pytest.approx(place, abs=0.05)
        assert (told.pitch, told.gui_open, told.step) == (known.pitch, known.gui_open, known.step)
        assert told.yaw == pytest.approx(known.yaw)


@pytest.mark.engine
def test_the_command_serves_until_it_is_interrupted(tmp_path):
    no_folder = tmp_path / "cache"
    no_folder.write_text("a file where the folder of saved worlds should be")
    serving = subprocess.Popen(
        [sys.executable, "-m", "tools.serve_luanti_as_minerl", "--port", "0"],
        env={**os.environ, "BASALT_CACHE": str(no_folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = serving.stdout.readline().split()[-1]
        env = MinerlEnv(get_task("build_village_house"), size=SMALL, address=address)
        with pytest.raises(MinecraftDied):
            env.reset(seed=100_001)
        env.close()
        os.kill(serving.pid, signal.SIGINT)
        _, errors = serving.communicate(timeout=60)
        assert serving.returncode == 130
        assert str(no_folder) in errors, "the server says what was wrong"
    finally:
        serving.kill()
