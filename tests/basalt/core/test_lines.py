import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core.actions import BUTTONS, EnvActions, camera_to_bins, validate_action
from basalt.core.recorder_lines import Line, LineWriter, lines_to_env
from basalt.core.telemetry import Telemetry


def state(**changes):
    facts = {
        "step": 0, "xpos": 0.0, "ypos": 10.0, "zpos": 0.0, "yaw": 0.0, "pitch": 0.0, "health": 20,
        "breath": 10, "hotbar": 0, "held": "", "inventory": (), "gui_open": False,
        "on_ground": True, "in_liquid": False, "light": 15, "daylight": 15, "under_roof": False,
        "distance_walked": 0.0, "dead": False,
    }  # fmt: skip
    return Telemetry(**(facts | changes))


def bedd_line(
    tick, *, keys=(), new_keys=(), buttons=(), new_buttons=(), hotbar=0, dx=0, dy=0, gui=False
):
    return Line.model_validate(
        {
            "mouse": {
                "x": 0, "y": 0, "dx": dx, "dy": dy, "scaledX": 0, "scaledY": 0, "dwheel": 0,
                "buttons": list(buttons), "newButtons": list(new_buttons),
            },
            "keyboard": {"keys": list(keys), "newKeys": list(new_keys), "chars": ""},
            "hotbar": hotbar,
            "tick": tick,
            "isGuiOpen": gui,
        }
    )  # fmt: skip


@pytest.fixture(params=["animalpen", "buildhouse"])
def human(request, published):
    path = published / "bedd_actions" / f"{request.param}.jsonl"
    return [Line.model_validate_json(text) for text in path.read_text().splitlines()], path


def test_real_human_lines_survive_reading_and_writing(human):
    lines, path = human
    for line, text in zip(lines, path.read_text().splitlines(), strict=True):
        assert json.loads(line.to_json()) == json.loads(text)


def test_real_human_camera_keeps_its_fractions(human):
    lines, _ = human
    camera = lines_to_env(lines, stuck_attack=True).camera
    moved = camera[camera != 0]
    np.testing.assert_allclose(camera[:, 1], [0.15 * line.mouse.dx for line in lines], atol=1e-12)
    # The original's integer template would have lost more than half of them (BEDD facts: 54 %).
    assert 0.4 < (np.trunc(moved) == 0).mean() < 0.65


def test_real_human_files_have_a_stuck_attack_button(human):
    lines, _ = human
    mended = lines_to_env(lines, stuck_attack=True).column("attack")
    raw = lines_to_env(lines, stuck_attack=False).column("attack")
    assert raw[0] == 1 and mended[0] == 0
    removed = int(raw.sum() - mended.sum())
    assert removed in (285, 312)
    assert (mended[removed:] == raw[removed:]).all()


def test_real_wheel_changes_become_hotbar_presses_one_line_before_they_show(human):
    lines, _ = human
    actions = lines_to_env(lines, stuck_attack=True)
    changes = [t for t in range(len(lines) - 1) if lines[t + 1].hotbar != lines[t].hotbar]
    pressed = np.flatnonzero(sum(actions.column(f"hotbar.{slot}") for slot in range(1, 10)))
    assert pressed.tolist() == changes
    for t in changes:
        assert actions.column(f"hotbar.{lines[t + 1].hotbar + 1}")[t] == 1


def test_esc_counts_only_where_it_ends_the_session():
    esc = ["key.keyboard.escape"]
    lines = [bedd_line(0, keys=esc), bedd_line(1, keys=esc, gui=True), bedd_line(2, keys=esc)]
    actions = lines_to_env(lines, stuck_attack=False)
    assert actions.column("ESC").tolist() == [0, 0, 1]
    assert actions.column("inventory").tolist() == [0, 1, 0]


def test_a_continuation_that_starts_with_another_slot_has_no_press():
    lines = [bedd_line(0, hotbar=4), bedd_line(1, hotbar=4)]
    assert lines_to_env(lines, stuck_attack=False).buttons.sum() == 0


def test_a_real_first_press_is_kept_in_our_own_recordings():
    lines = [bedd_line(0, buttons=[0], new_buttons=[0]), bedd_line(1, buttons=[0])]
    assert lines_to_env(lines, stuck_attack=False).column("attack").tolist() == [1, 1]
    assert lines_to_env(lines, stuck_attack=True).column("attack").tolist() == [0, 0]


def test_null_mouse_and_keyboard_are_no_input():
    line = Line.model_validate(
        {"mouse": None, "keyboard": None, "hotbar": 0, "tick": 0, "isGuiOpen": False}
    )
    actions = lines_to_env([line], stuck_attack=True)
    assert actions.buttons.sum() == 0 and (actions.camera == 0).all()


def test_no_lines_are_no_actions():
    assert len(lines_to_env([], stuck_attack=True)) == 0


# ESC only at the end, as an episode has it; whole pixels, as a world applies them.
pixels = st.integers(-1200, 1200)
step = st.tuples(st.sets(st.sampled_from([b for b in BUTTONS if b != "ESC"])), pixels, pixels)


@given(st.lists(step, min_size=1, max_size=8), st.booleans())
def test_actions_survive_the_recorder_exactly(steps, gui):
    actions = [
        validate_action(dict.fromkeys(held, 1) | {"camera": np.float32([0.15 * dy, 0.15 * dx])})
        for held, dy, dx in steps
    ]
    writer = LineWriter()
    written = [writer.line(action, action["camera"], state(gui_open=gui)) for action in actions]
    lines = [Line.model_validate_json(line.to_json()) for line in written]
    again = lines_to_env(lines, stuck_attack=False)
    expected = EnvActions.stack(actions)
    np.testing.assert_array_equal(again.buttons, expected.buttons)
    np.testing.assert_allclose(again.camera, expected.camera, atol=1e-4)
    np.testing.assert_array_equal(np.rint(again.camera / 0.15)[:, 1], [dx for _, _, dx in steps])
    np.testing.assert_array_equal(camera_to_bins(again.camera), camera_to_bins(expected.camera))


def test_written_lines_have_exactly_bedds_keys_and_order(human):
    _, path = human
    bedd = json.loads(path.read_text().splitlines()[0])
    action = validate_action({"forward": 1, "attack": 1})
    ours = json.loads(LineWriter().line(action, (0.0, 0.0), state()).to_json())
    assert list(ours)[:5] == list(bedd)
    assert list(ours["mouse"]) == list(bedd["mouse"])
    assert list(ours["keyboard"]) == list(bedd["keyboard"])


def test_written_cursor_follows_the_mouse_as_bedds_does():
    """x[t+1] = x[t] + dx outside screens, + 2 dx inside, and starts at the centre of a screen."""
    writer = LineWriter()
    turn = validate_action({"camera": [0.0, 1.5]})
    xs = []
    for gui in (False, False, True, True, False):
        xs.append(writer.line(turn, turn["camera"], state(gui_open=gui)).mouse.x)
    assert xs == [640, 650, 640, 660, 680]


def test_keys_are_new_only_when_pressed():
    writer = LineWriter()
    press = validate_action({"jump": 1, "attack": 1})
    first, second = (writer.line(press, (0, 0), state()) for _ in range(2))
    assert first.keyboard.new_keys == ["key.keyboard.space"] and first.mouse.new_buttons == [0]
    assert second.keyboard.new_keys == [] and second.mouse.new_buttons == []
    assert second.keyboard.keys == ["key.keyboard.space"] and second.mouse.buttons == [0]


def test_what_was_asked_is_kept_where_the_world_applied_something_else():
    asked = validate_action({"camera": [0.0, 0.2]})
    line = LineWriter().line(asked, (0.0, 0.15), state())
    assert line.mouse.dx == 1.0
    assert line.asked_camera == (0.0, 0.2)
    same = LineWriter().line(validate_action({"camera": [0, 0.15]}), (0.0, 0.15), state())
    assert same.asked_camera is None
