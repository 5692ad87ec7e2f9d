import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from basalt.core.actions import (
    ACTION_KEYS,
    BUTTON_TABLE,
    BUTTONS,
    CAMERA_ON,
    COLUMN,
    N_BUTTONS,
    N_CAMERA,
    NULL_CAMERA,
    VPT_BUTTONS,
    EnvActions,
    bins_to_camera,
    camera_to_bins,
    env_to_indices,
    indices_to_env,
    is_null,
    null_action,
    validate_action,
)
from basalt.io.errors import ActionError

VPT_COLUMNS = [COLUMN[button] for button in VPT_BUTTONS]


@pytest.fixture
def codec(golden):
    return np.load(golden / "vpt" / "actions.npz")


def from_vpt_columns(buttons, camera):
    columns = np.zeros((len(buttons), len(BUTTONS)), dtype=np.uint8)
    columns[:, VPT_COLUMNS] = buttons
    return EnvActions(columns, camera)


def test_env_to_indices_is_exactly_vpts(codec):
    actions = from_vpt_columns(codec["env_buttons"], codec["env_camera"])
    indices = env_to_indices(actions)
    assert list(codec["button_names"]) == list(VPT_BUTTONS)
    np.testing.assert_array_equal(indices.buttons, codec["agent_buttons"].ravel())
    np.testing.assert_array_equal(indices.camera, codec["agent_camera"].ravel())
    assert not indices.esc.any()


@pytest.mark.parametrize("way", [("rand_agent", "rand_env"), ("agent", "back")])
def test_indices_to_env_is_exactly_vpts(codec, way):
    source, target = way
    actions = indices_to_env(codec[f"{source}_buttons"], codec[f"{source}_camera"])
    np.testing.assert_array_equal(actions.buttons[:, VPT_COLUMNS], codec[f"{target}_buttons"])
    np.testing.assert_allclose(actions.camera, codec[f"{target}_camera"], atol=1e-9, rtol=0)


def test_quantiser_is_exactly_vpts(codec):
    np.testing.assert_array_equal(camera_to_bins(codec["quant_in"]), codec["quant_bins"])
    np.testing.assert_allclose(bins_to_camera(np.arange(11)), codec["bin_values"], atol=1e-9)


def test_tables_are_exactly_vpts(codec):
    np.testing.assert_array_equal(BUTTON_TABLE[:, VPT_COLUMNS], codec["table_buttons"])
    np.testing.assert_array_equal(~CAMERA_ON, codec["table_camera_off"])


@pytest.mark.parametrize(
    ("held", "camera", "index"),
    [
        ("forward", 0, 288),
        ("forward jump", 0, 290),
        ("forward sprint jump", 3, 323),
        ("attack", 0, 4),
        ("attack", 3, 5),
        ("use", 0, 16),
        ("hotbar.1", 0, 864),
        ("", 3, 1),
        ("hotbar.9 back right sneak use drop attack jump", 3, 8639),
        ("inventory forward attack", 3, 8640),
        ("forward back left right", 0, 0),
    ],
)
def test_known_joint_indices(held, camera, index):
    action = dict.fromkeys(held.split(), 1) | {"camera": [0.0, camera]}
    assert env_to_indices(EnvActions.stack([action])).buttons.tolist() == [index]


@given(
    st.lists(st.tuples(st.integers(0, N_BUTTONS - 1), st.integers(0, N_CAMERA - 1), st.booleans()))
)
def test_decoding_then_encoding_is_the_identity_where_the_camera_counts(rows):
    buttons = np.array([row[0] for row in rows], dtype=np.int64)
    camera = np.array([row[1] for row in rows], dtype=np.int64)
    esc = np.array([row[2] for row in rows], dtype=bool)
    again = env_to_indices(indices_to_env(buttons, camera, esc))
    np.testing.assert_array_equal(again.esc, esc)
    # A camera bit without movement is the one thing that is lost: it becomes "no camera".
    moves = CAMERA_ON[buttons] & (camera != NULL_CAMERA) & (buttons != N_BUTTONS - 1)
    np.testing.assert_array_equal(again.buttons[moves], buttons[moves])
    np.testing.assert_array_equal(again.camera[moves], camera[moves])
    np.testing.assert_array_equal(again.camera[~moves], NULL_CAMERA)
    np.testing.assert_array_equal(BUTTON_TABLE[again.buttons], BUTTON_TABLE[buttons])


def test_missing_keys_count_as_not_pressed():
    action = validate_action({"forward": 1})
    assert sorted(action) == sorted(ACTION_KEYS)
    assert action["ESC"] == 0
    assert action["forward"] == 1
    assert action["camera"].dtype == np.float32


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"forwrad": 1}, "did you mean 'forward'"),
        ({"jump": 2}, "'jump'.*got 2"),
        ({"jump": -1}, "'jump'"),
        ({"jump": 0.5}, "'jump'"),
        ({"jump": "1"}, "'jump'"),
        ({"jump": None}, "'jump'"),
        ({"ESC": [0, 1]}, "'ESC'"),
        ({"camera": 3.0}, "'camera'"),
        ({"camera": [0.0, float("nan")]}, "'camera'.*expected finite"),
        ({"camera": [0.0, float("inf")]}, "'camera'.*expected finite"),
        ({"camera": [180.5, 0.0]}, "'camera'.*180"),
        ({"camera": ["a", "b"]}, "'camera'"),
        ({"camera": [[1.0], [2.0, 3.0]]}, "'camera'"),
        (["forward"], "dictionary"),
    ],
)
def test_impossible_actions_name_the_key(action, message):
    with pytest.raises(ActionError, match=message):
        validate_action(action)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(key=st.sampled_from(ACTION_KEYS) | st.text(), value=ANYTHING)
@example(key="jump", value=[[1], [1, 2]])
@example(key="camera", value=["x" * 10_000])
@example(key="x" * 10_000, value=0)
@example(key="camera", value=[10**400, 0])
def test_whatever_an_agent_returns_is_an_action_or_one_short_error(key, value):
    try:
        action = validate_action({key: value})
    except ActionError as err:
        assert len(str(err)) < 700
    else:
        assert action["camera"].shape == (2,) and {action[one] for one in BUTTONS} <= {0, 1}


def test_stack_and_step_are_inverse():
    actions = [{"attack": 1, "camera": [1.5, -180.0]}, {"ESC": np.int64(1)}, null_action()]
    columns = EnvActions.stack(actions)
    for t, action in enumerate(actions):
        expected = validate_action(action)
        for key, value in columns.step(t).items():
            np.testing.assert_array_equal(value, expected[key])


def test_null_is_judged_after_quantisation():
    still = {"camera": [0.2, 0.0]}  # below the first bin's edge
    rows = [{}, still, {"camera": [0.3, 0.0]}, {"ESC": 1}, {"inventory": 1}, {"pickItem": 1}]
    assert is_null(env_to_indices(EnvActions.stack(rows))).tolist() == [
        True, True, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("buttons", "camera"), [([8641], [0]), ([0], [121]), ([-1], [0]), ([0], [0, 1])]
)
def test_indices_out_of_range_are_refused(buttons, camera):
    with pytest.raises(ActionError, match="indices"):
        indices_to_env(np.array(buttons), np.array(camera))
