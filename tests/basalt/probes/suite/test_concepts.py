"""Concepts that are computed from positions."""

import numpy as np

from basalt.core.telemetry import Creature, Telemetry
from basalt.probes.suite.concepts import CONCEPTS

COWS = (
    Creature(kind="pig", id=7, position=(-90.0, 4.5, 0.0)),
    Creature(kind="cow", id=4, position=(10.0, 4.5, 0.0)),  # to the right of +z
)


def at(x: float, z: float, yaw: float, **parts: tuple[Creature, ...]) -> Telemetry:
    return Telemetry(
        step=0, xpos=x, ypos=4.5, zpos=z, yaw=yaw, pitch=0, health=20, breath=10, hotbar=0, held="",
        inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=15, daylight=15,
        under_roof=False, distance_walked=0, dead=False, **parts,
    )  # fmt: skip


def flags(name: str, *states: Telemetry) -> list[bool] | None:
    # The last state is after the last step: no frame shows it.
    found = CONCEPTS[name]([*states, states[-1]], "esc")
    return None if found is None else np.asarray(found).tolist()


def test_an_animal_is_in_view_ahead_and_near() -> None:
    states = [
        at(0, 0, 90, animals=COWS),
        at(0, 0, 450, animals=COWS),
        at(0, 0, -90, animals=COWS),
        at(0, 0, 0, animals=COWS),
        at(-20, 0, 90, animals=COWS),
        at(0, 0, 90, animals=()),
    ]
    assert flags("animal_in_view", *states) == [True, True, False, False, False, False]


def test_a_village_is_near_where_a_villager_is() -> None:
    villager = (Creature(kind="villager", id=13, position=(8.0, 5.5, -34.5)),)
    states = [at(8, -20, 0, villagers=villager), at(8, 0, 0, villagers=villager)]
    assert flags("near_village", *states) == [True, False]


def test_worlds_that_tell_no_places_have_no_such_concept() -> None:
    assert flags("animal_in_view", at(0, 0, 0)) is None
    assert flags("near_village", at(0, 0, 0, animals=())) is None
