"""Keyboard and mouse events become the actions of steps: nothing is lost, nothing sticks, nothing lags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basalt.core.actions import BUTTONS, validate_action
from basalt.play.controls import BUTTON_OF_CODE, BUTTON_OF_MOUSE, Controls


def held(controls, hotbar=0):
    action = validate_action(controls.action(hotbar))
    return {name for name in BUTTONS if action[name]}


def test_a_button_is_held_until_it_is_released():
    controls = Controls()
    controls.button("forward", down=True)
    assert [held(controls) for _ in range(3)] == [{"forward"}] * 3
    controls.button("forward", down=False)
    assert held(controls) == set()


def test_a_tap_between_two_steps_is_held_for_one():
    controls = Controls()
    for down in (True, False):
        controls.button("inventory", down=down)
    assert [held(controls) for _ in range(3)] == [{"inventory"}, set(), set()]


def test_a_double_click_is_two_presses():
    controls = Controls()
    for down in (True, False, True, False):
        controls.button("use", down=down)
    assert [held(controls) for _ in range(5)] == [{"use"}, set(), {"use"}, set(), set()]


def test_a_repeated_key_is_one_press():
    controls = Controls()
    for _ in range(3):
        controls.button("jump", down=True)
    controls.button("jump", down=False)
    assert [held(controls) for _ in range(2)] == [{"jump"}, set()]


@given(st.lists(st.booleans(), max_size=60))
def test_play_never_lags_and_ends_as_the_hand_does(changes):
    controls = Controls()
    for down in changes:
        controls.button("attack", down=down)
    states = ["attack" in held(controls) for _ in range(6)]
    assert states[4] == states[5] == (bool(changes) and changes[-1])


def test_the_mouse_turns_by_whole_pixels_and_keeps_the_rest():
    controls = Controls()
    controls.move(10.4, -3)
    camera = controls.action(0)["camera"]
    assert camera.dtype == np.float32
    assert (camera == np.array([-3, 10], np.float32) * np.float32(0.15)).all()
    controls.move(0.3, 0)
    assert controls.action(0)["camera"].tolist() == pytest.approx([0, 0.15])
    assert controls.action(0)["camera"].tolist() == [0, 0]


def test_a_wild_movement_is_as_far_as_a_step_may_turn():
    controls = Controls()
    controls.move(5000, 0)
    turned = [validate_action(controls.action(0))["camera"][1] for _ in range(5)]
    assert turned == pytest.approx([180, 180, 180, 180, 30])


def test_the_wheel_counts_from_the_selected_slot():
    controls = Controls()
    controls.wheel(1)
    assert held(controls, hotbar=8) == {"hotbar.1"}
    controls.wheel(-2)
    assert held(controls, hotbar=1) == {"hotbar.9"}
    assert held(controls) == set()
    controls.wheel(0.6)
    assert held(controls) == set()
    controls.wheel(0.6)
    assert held(controls) == {"hotbar.2"}
    controls.wheel(3)
    assert held(controls, hotbar=None) == set(), "no slot is chosen while a form is open"


def test_letting_go_leaves_nothing():
    controls = Controls()
    controls.button("forward", down=True)
    controls.action(0)
    controls.button("use", down=True)
    controls.move(50, 50)
    controls.wheel(1)
    controls.release()
    assert held(controls) == set() and controls.action(0)["camera"].tolist() == [0, 0]


def test_every_button_but_esc_has_a_key():
    """ESC is the screens' own: they free the pointer first."""
    assert set(BUTTON_OF_CODE.values()) | set(BUTTON_OF_MOUSE.values()) | {"ESC"} == set(BUTTONS)
