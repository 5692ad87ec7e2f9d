"""Planted land, and a player on it that is a few lines of Python."""

import math
from functools import cache

import numpy as np

from basalt.worlds.luanti.land import FREE, GROUND, Land
from tests.support.synthetic import telemetry

START = (60, 15, 60)
SITE = {"spawn": START, "spawn_yaw": 0.0, "mouths": []}


@cache
def land(cave=None, tunnel=True):
    """Level ground; with a hill that has a dark tunnel, its mouth at the place and open to the west."""
    kinds = np.zeros((140, 34, 140), np.uint8)
    kinds[:, :15] = GROUND
    light = np.full(kinds.shape, 15, np.uint8)
    if cave is not None:
        x, z = cave
        kinds[x : x + 16, 15:24, z - 6 : z + 7] = GROUND
    if cave is not None and tunnel:
        kinds[x : x + 14, 15:18, z - 1 : z + 2] = FREE
        light[x + 2 : x + 14, 15:18, z - 1 : z + 2] = 4
    return Land((0, 0, 0), kinds, light)


class Player:
    """Walks on the land as the game's player does, more or less."""

    def __init__(self, ground, start=START, yaw=0.0):
        self.land = ground
        self.at = np.array([start[0], start[1] - 0.5, start[2]], float)
        self.yaw, self.pitch, self.step = yaw, 0.0, 0

    def _is_free(self, x, z):
        y = math.floor(self.at[1] + 1)
        corners = [(x + a, z + b) for a in (-0.29, 0.29) for b in (-0.29, 0.29)]
        nodes = [
            (math.floor(a + 0.5), y + up, math.floor(b + 0.5)) for a, b in corners for up in (0, 1)
        ]
        return all(self.land.kind(*node) == FREE for node in nodes)

    def state(self):
        x, y, z = (float(part) for part in self.at)
        feet = math.floor(x + 0.5), math.floor(y + 1), math.floor(z + 0.5)
        facts = {"in_cave": self.land.is_cave(*feet), "mouth_number": 0, "water_poured": 0}
        return telemetry(self.step).model_copy(
            update={
                "xpos": x, "ypos": y, "zpos": z, "yaw": self.yaw, "pitch": self.pitch, "facts": facts,
            }
        )  # fmt: skip

    def do(self, action):
        self.step += 1
        self.pitch += float(action["camera"][0])
        self.yaw = (self.yaw + float(action["camera"][1]) + 180) % 360 - 180
        speed = 0.28 if action["sprint"] else 0.215
        ahead, aside = action["forward"] - action["back"], action["right"] - action["left"]
        yaw = math.radians(self.yaw)
        east = speed * (ahead * math.sin(yaw) + aside * math.cos(yaw))
        north = speed * (ahead * math.cos(yaw) - aside * math.sin(yaw))
        for step in ([east, 0, 0], [0, 0, north]):
            moved = self.at + step
            if self._is_free(moved[0], moved[2]):
                self.at = moved
        return self.state()


def play(script, player, most=1500):
    """The labels of the script's own play, to its end."""
    labels, state = [], player.state()
    while not labels or not labels[-1].expert["ESC"]:
        assert len(labels) < most, "the script did not end"
        labels.append(script.label(state))
        state = player.do(labels[-1].expert)
    return labels


def part(script, player, steps):
    """The labels of the first steps of the script's own play."""
    labels, state = [], player.state()
    for _ in range(steps):
        labels.append(script.label(state))
        state = player.do(labels[-1].expert)
    return labels
