"""A stand-in for MineRL's Minecraft, written from the facts of its protocol alone.

It shares no code with the client that it tests, and needs nothing but the standard library: it is also
what the tests' launch script starts in Java's place.
"""

import argparse
import contextlib
import json
import math
import os
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Faults:
    """What goes wrong, and in which step of an episode (the first step is 1)."""

    episodes: int = 10**9  # step faults happen in the first N episodes only
    busy: int = 0  # offers of a mission that are answered with busy
    world_delay_s: float = 0.0  # before a mission is answered
    empty_pictures: int = 0  # looks at a new world that find no picture
    slow_step_s: dict = field(default_factory=dict)  # step -> seconds
    hang_at: int = 0
    die_at: int = 0
    half_message_at: int = 0  # half a picture, then silence
    half_message_dies_at: int = 0  # half a picture, then the end
    wrong_length_at: int = 0
    empty_picture_at: int = 0
    bad_info_at: int = 0
    bad_result_at: int = 0
    trickle_at: int = 0  # one byte at a time
    done_at: int = 0


class StandIn:
    """Listens on a port of its own from the start; every client gets a thread.

    Attributes:
        received: all messages, in order.
        begun: (seed, mission) of every accepted episode.
    """

    def __init__(self, faults=None, told=True, port=0, version="0.37.0"):
        self.faults = faults or Faults()
        self.told = told
        self.version = version
        self.received = []
        self.begun = []
        self.on_death = None
        self._player = threading.Lock()
        self._busy_left = self.faults.busy
        self._connections = []
        self._open = True
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End like a process that is killed: nobody listens, and all connections break."""
        self.refuse_newcomers()
        for connection in self._connections:
            _break_off(connection)

    def refuse_newcomers(self):
        """Listen no more; clients that are there stay."""
        self._open = False
        _break_off(self._listener)

    def whole_session(self):
        """What was received up to the client's goodbye, once that has come."""
        deadline = time.monotonic() + 10
        while "<Disconnect/>" not in self.received:
            assert time.monotonic() < deadline, "the client said no goodbye"
            time.sleep(0.01)
        return self.received[: self.received.index("<Disconnect/>")]

    def wait(self):
        self._thread.join()

    def _listen(self):
        while self._open:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:  # it came in while the listener was being closed
                _break_off(connection)
                return
            self._connections.append(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._client, args=(connection,), daemon=True).start()

    def _client(self, connection):
        client = _Client(self, connection)
        try:
            client.run()
        except (OSError, EOFError):
            pass
        finally:
            client.stop_playing()
            connection.close()


def _break_off(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class _Client:
    def __init__(self, standin, connection):
        self.standin = standin
        self.faults = standin.faults
        self.connection = connection
        self.playing = False
        self.world = None

    def run(self):
        hello = self.receive()
        if hello != f"<MalmoEnv{self.standin.version}/>":
            return
        while True:
            message = self.receive()
            if message == "<Quit/>":
                self.world = None
                self.send(struct.pack("!I", 1))
            elif message.startswith("<MissionInit"):
                self.mission(message, self.receive())
            elif message == "<Peek/>":
                self.peek()
            elif message.startswith("<StepClient0>"):
                self.step(message)
            elif message == "<Echo/>":
                self.send(b"<Echo><Echo/></Echo>")
            elif message == "<Exit>NOW</Exit>":
                # Before the answer: a client that has it may rely on nobody listening.
                self.standin.refuse_newcomers()
                self.send(struct.pack("!I", 1))
                self.standin.stop()
                return
            elif message == "<Disconnect/>":
                return
            elif message != "<StepServer></StepServer>":
                raise EOFError(message)

    def mission(self, mission, token):
        standin = self.standin
        if not self.playing and not standin._player.acquire(blocking=False):
            self.send(struct.pack("!I", 0))
            return
        self.playing = True
        if standin._busy_left:
            standin._busy_left -= 1
            self.send(struct.pack("!I", 0))
            return
        time.sleep(self.faults.world_delay_s)
        seed = int(token.split(":")[5]) if token.count(":") > 4 else None
        standin.begun.append((seed, mission))
        size = [int(re.search(f"<{edge}>(\\d+)<", mission)[1]) for edge in ("Width", "Height")]
        self.world = _World(seed or 0, *size)
        self.empty_left = self.faults.empty_pictures
        self.send(struct.pack("!I", 1))

    def peek(self):
        if self.empty_left:
            self.empty_left -= 1
            self.send(b"", b"{}", b"\0")
        else:
            self.send(self.world.picture(), self.info(), b"\0")

    def step(self, message):
        faults, world = self.faults, self.world
        action = dict(
            line.split(" ", 1)
            for line in message[len("<StepClient0>") : -len("</StepClient0 >")].split("\n")
        )
        world.play(action)
        faulty = len(self.standin.begun) <= faults.episodes

        def now(step):
            return faulty and world.steps == step

        picture = world.picture()
        result = struct.pack("!dbb", 0.0, now(faults.done_at), 1)
        time.sleep(faults.slow_step_s.get(world.steps, 0.0))
        if now(faults.hang_at):
            self.hang()
        if now(faults.die_at):
            self.die()
        if now(faults.half_message_at):
            self.connection.sendall(struct.pack("!I", len(picture)) + picture[: len(picture) // 2])
            self.hang()
        if now(faults.half_message_dies_at):
            self.connection.sendall(struct.pack("!I", len(picture)) + picture[: len(picture) // 2])
            self.die()
        if now(faults.wrong_length_at):
            picture = picture[:-3]
        if now(faults.empty_picture_at):
            picture = b""
        if now(faults.bad_result_at):
            result = result[:-1]
        if now(faults.trickle_at):
            self.trickle(picture)
        self.send(picture, result, b"{half" if now(faults.bad_info_at) else self.info())

    def info(self):
        told = {"isGuiOpen": self.world.gui_open}
        if self.standin.told:
            told |= {"location_stats": self.world.place(), "Life": 20.0, "Air": 300}
            told |= {
                "inventory": [{"type": "dirt", "quantity": 3}],
                "equipped_items": {"mainhand": json.dumps({"type": "dirt"})},
            }
        return json.dumps(told).encode()

    def hang(self):
        while self.connection.recv(4096):
            pass
        raise EOFError

    def die(self):
        if self.standin.on_death:
            self.standin.on_death()
        raise EOFError

    def trickle(self, picture):
        self.connection.sendall(struct.pack("!I", len(picture)))
        for byte in picture:
            self.connection.sendall(bytes([byte]))
            time.sleep(0.02)

    def stop_playing(self):
        if self.playing:
            self.playing = False
            self.standin._player.release()

    def receive(self):
        (length,) = struct.unpack("!I", self.exactly(4))
        message = self.exactly(length).decode()
        self.standin.received.append(message)
        return message

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def send(self, *messages):
        for message in messages:
            self.connection.sendall(struct.pack("!I", len(message)) + message)


class _World:
    """A player on an endless plain whose picture depends on seed, place and look."""

    def __init__(self, seed, width, height):
        self.seed, self.width, self.height = seed, width, height
        self.steps = 0
        self.x = self.z = self.yaw = self.pitch = 0.0
        self.gui_open = self.gui_key = False

    def play(self, action):
        self.steps += 1
        pitch, yaw = (float(number) for number in action["camera"].split())
        if not self.gui_open:
            self.yaw = (self.yaw + yaw + 180.0) % 360.0 - 180.0
            self.pitch = max(-90.0, min(90.0, self.pitch + pitch))
            way = 0.2 * (int(action["forward"]) - int(action["back"]))
            self.x -= way * math.sin(math.radians(self.yaw))
            self.z += way * math.cos(math.radians(self.yaw))
        key = action["inventory"] == "1"
        if key and not self.gui_key:
            self.gui_open = not self.gui_open
        self.gui_key = key

    def place(self):
        return {"xpos": self.x, "ypos": 64.0, "zpos": self.z, "yaw": self.yaw, "pitch": self.pitch}

    def picture(self):
        """Rows from the bottom up. Red grows from the top row down, green is the seed's."""
        view = int(8 * self.yaw + 3 * self.pitch + 20 * self.x + 20 * self.z) % 256
        return b"".join(
            bytes([min(row // 2, 255), self.seed * 37 % 251, view]) * self.width
            for row in reversed(range(self.height))
        )


def main():
    """What the tests' launch script starts: `standin.py -port N ...`, faults in $STANDIN_FAULTS."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-port", type=int)
    parser.add_argument("-env", action="store_true")
    parser.add_argument("-runDir")
    parser.add_argument("-maxMem")
    options = parser.parse_args()
    print(f"display {os.environ.get('DISPLAY')} folder {Path.cwd()}", flush=True)
    faults = Faults(**json.loads(os.environ.get("STANDIN_FAULTS", "{}")))
    time.sleep(float(os.environ.get("STANDIN_START_S", "0")))
    standin = StandIn(faults, port=options.port)
    standin.on_death = lambda: os._exit(3)
    print(f"***** Start MalmoEnvServer on port {options.port}", flush=True)
    standin.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
