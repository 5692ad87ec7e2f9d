"""Telemetry's version 2, and the conversion of version 1."""

import json

import pytest
from pydantic import ValidationError

from basalt.core.actions import validate_action
from basalt.core.recorder_lines import Line, LineWriter
from basalt.core.recording import Recording
from basalt.core.telemetry import OFFHAND_SLOT, Creature, SlotItem, Telemetry
from basalt.io.paths import sample_dir

VERSION_1 = {
    "version": 1, "step": 3, "xpos": 0.5, "ypos": 4.5, "zpos": -2.0, "yaw": 90.0, "pitch": 0.0,
    "health": 20.0, "breath": 10.0, "hotbar": 0, "held": "dirt",
    "inventory": [{"type": "dirt", "quantity": 2}, {"type": "torch", "quantity": 64}],
    "gui_open": False, "on_ground": True, "in_liquid": False, "light": 15, "daylight": 15,
    "under_roof": False, "distance_walked": 1.25, "dead": False,
}  # fmt: skip


def old(**facts):
    """A state of version 1, as it is in a file."""
    return Telemetry.model_validate_json(json.dumps(VERSION_1 | {"facts": facts}))


def new(**parts):
    return Telemetry.model_validate(VERSION_1 | {"version": 2} | parts)


def test_texts_of_version_1_become_typed_parts():
    state = old(animals="cow 3 12.31 5.5 -3.2; pig 4 1.0 2.0 3.0", villagers="", in_cave=True)
    assert state.version == 2 and state.facts == {"in_cave": True}
    assert state.animals == (
        Creature(kind="cow", id=3, position=(12.31, 5.5, -3.2)),
        Creature(kind="pig", id=4, position=(1.0, 2.0, 3.0)),
    )
    assert state.villagers == (), "reported, and none there"
    assert old().animals is None, "not reported"


def test_the_bitmask_of_version_1_becomes_slot_numbers():
    assert [item.slot for item in old(slots=0b1001).inventory] == [0, 3]
    # The other hand's item is last, and has no bit.
    assert [item.slot for item in old(slots=0b100).inventory] == [2, OFFHAND_SLOT]
    assert [item.slot for item in old().inventory] == [None, None]


def test_the_last_block_of_version_1_becomes_a_node():
    assert old(placed_at="12 -3 40").placed_at == (12, -3, 40)
    assert old(placed_at="").placed_at is None


def test_the_reported_fields_of_version_1_become_a_set():
    state = old(told="xpos gui_open")
    assert state.observed == {"xpos", "gui_open"} and "told" not in state.facts
    assert state.is_observed("xpos") and not state.is_observed("light")
    assert old().is_observed("light"), "without a list, all are"


def test_a_converted_state_equals_the_same_state_of_version_2():
    assert old(placed_at="1 2 3", animals="cow 3 1 2 3") == new(
        placed_at=[1, 2, 3], animals=[{"kind": "cow", "id": 3, "position": [1, 2, 3]}]
    )


def test_what_an_older_world_did_not_report_is_unknown_not_false():
    """Recordings of both versions, from before creatures had `in_view` and the newer facts."""
    for state in (
        old(animals="cow 3 1 2 3", in_cave=True),
        new(animals=[{"kind": "cow", "id": 3, "position": [1, 2, 3]}], facts={"in_cave": True}),
    ):
        (cow,) = state.animals
        assert cow.in_view is None
        assert state.facts == {"in_cave": True}
        assert state.facts.get("mouth_in_view") is None


@pytest.mark.parametrize(
    "facts",
    [
        {"animals": "cow"},
        {"animals": "cow x 1 2 3"},
        {"animals": "cow 3 1 2"},
        {"animals": "cow 3 1 2 nan"},
        {"placed_at": "1 2"},
        {"slots": "many"},
    ],
)
def test_a_damaged_text_of_version_1_is_a_fault_of_the_record(facts):
    with pytest.raises(ValidationError):
        old(**facts)


@pytest.mark.parametrize(
    "change",
    [
        '{"facts": 5}',
        '{"inventory": 5}',
        '{"inventory": [1], "facts": {"slots": 1}}',
        '{"facts": {"slots": [1]}}',
        '{"facts": {"slots": 1e999}}',
    ],
)
def test_parts_of_version_1_of_another_type_are_a_fault_of_the_record(change):
    text = json.dumps(VERSION_1)[:-1] + "," + change[1:]
    with pytest.raises(ValidationError, match="not telemetry of version 1"):
        Telemetry.model_validate_json(text)


def test_other_versions_are_refused():
    with pytest.raises(ValidationError, match="version"):
        Telemetry.model_validate(VERSION_1 | {"version": 3})


def test_it_survives_json_unchanged_and_always_reads_the_same():
    state = new(
        observed=["zpos", "xpos", "gui_open"],
        inventory=[{"type": "dirt", "quantity": 2, "slot": 40}],
        villagers=[],
    )
    text = state.model_dump_json()
    assert Telemetry.model_validate_json(text) == state
    assert '"observed":["gui_open","xpos","zpos"]' in text


def test_a_recorder_line_keeps_bedds_inventory_and_the_typed_state():
    state = new(inventory=[SlotItem(type="dirt", quantity=2, slot=7)])
    action = {"camera": [0.0, 0.0]}
    line = LineWriter().line(validate_action(action), [0.0, 0.0], state)
    written = json.loads(line.to_json())
    assert written["inventory"] == [{"type": "dirt", "quantity": 2}]
    assert Line.model_validate_json(line.to_json()) == line and line.telemetry == state


def test_a_recorder_line_of_version_1_opens():
    state = new()
    line = json.loads(LineWriter().line(validate_action({}), [0.0, 0.0], state).to_json())
    line["telemetry"] = VERSION_1 | {"facts": {"villagers": "villager 13 8.0 5.5 -34.5"}}
    opened = Line.model_validate_json(json.dumps(line)).telemetry
    assert opened is not None and opened.villagers is not None
    assert opened.villagers[0].position == (8.0, 5.5, -34.5)


def test_the_sample_recordings_are_of_version_1_and_open():
    recording = Recording.open(sample_dir() / "seed_100000")
    first = json.loads(recording.lines_path.read_text().splitlines()[0])
    assert first["telemetry"]["version"] == 1, "otherwise this test shows nothing"
    states = recording.telemetry()
    assert len(states) == len(recording) + 1 and {state.version for state in states} == {2}
    assert recording.meta is not None and states[-1].facts["in_cave"] is True
