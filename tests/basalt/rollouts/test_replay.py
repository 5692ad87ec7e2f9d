"""Replays of recordings: exact in lock-step, measured where not, refused where they would say nothing."""

import json

import gymnasium
import numpy as np
import pytest

from basalt.core.actions import null_action
from basalt.core.recorder_lines import LineWriter
from basalt.core.recording import Recording
from basalt.io.errors import RecordingError
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.replay import pressed_actions, replay
from basalt.rollouts.rollout import rollout
from tests.support.toy_world import CountingWorld, Walker


class Drifting(CountingWorld):
    """From step 3 on, the player stands elsewhere than its twin."""

    def _state(self):
        state = super()._state()
        return state.model_copy(update={"xpos": state.xpos + 0.5 * max(0, self._step - 2)})


class Short(CountingWorld):
    """The episode ends at step 2 by itself."""

    def step(self, action):
        *rest, _, info = super().step(action)
        if self._step == 2:
            return *rest, True, info | {"ended": "limit"}
        return *rest, False, info


class Silent(CountingWorld):
    """Reports nothing but its steps."""

    def _state(self):
        return super()._state().model_copy(update={"observed": frozenset({"step"})})


@pytest.fixture
def play_in(monkeypatch):
    def choose(world):
        monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: world())

    choose(CountingWorld)
    return choose


@pytest.fixture
def recorded(play_in, tmp_path):
    plan = RolloutPlan(
        task="find_cave", world="toy", agent={"name": "walker"}, seeds=(1,), out=tmp_path
    )
    (recording,) = rollout(Walker, plan, progress=False)
    return recording


def test_a_lock_step_recording_replays_exactly(recorded):
    result = replay(recorded)
    assert result.exact and (result.steps, result.replayed) == (6, 6)
    assert (result.drift_max, result.drift_mean, result.first_difference) == (0.0, 0.0, None)
    assert (result.ended, result.replayed_ended) == ("esc", "esc")
    assert result.picture_difference < 3  # what the video loses
    assert "replays exactly, 6 steps" in result.summary()
    assert json.loads(json.dumps(result.to_json()))["exact"] is True


def test_drift_is_measured_and_its_first_step_named(recorded, play_in):
    play_in(Drifting)
    result = replay(recorded)
    assert not result.exact
    assert (result.first_drift, result.first_difference, result.differing) == (3, 3, ("xpos",))
    assert result.drift_max == result.drift_end == 2.0
    assert result.drift_mean == pytest.approx(5 / 7)
    assert "first difference after step 3 (xpos)" in result.summary()


def test_a_replay_that_ends_earlier_is_not_exact(recorded, play_in):
    play_in(Short)
    result = replay(recorded)
    assert not result.exact and (result.replayed, result.replayed_ended) == (2, "limit")
    assert result.drift_max == 0.0 and result.first_difference is None
    assert "2 of 6 steps" in result.summary() and "limit, not esc" in result.summary()


def test_where_no_positions_are_told_there_is_no_drift(recorded, play_in):
    play_in(Silent)
    result = replay(recorded)
    assert result.drift_max is None and not result.exact and result.differing == ("observed",)
    assert "reports no positions" in result.summary()


def test_another_version_is_refused_unless_asked_for(recorded, play_in):
    class Newer(CountingWorld):
        version = "toy-2"

    play_in(Newer)
    with pytest.raises(RecordingError, match=r"recorded in toy-1, but this world is toy-2"):
        replay(recorded)
    assert replay(recorded, any_version=True).exact


def test_what_cannot_be_replayed_is_one_clear_error(recorded):
    recorded.lines_path.write_text(recorded.lines_path.read_text().replace('"tick":2', '"tick":7'))
    with pytest.raises(RecordingError, match=r"jsonl: changed since"):
        replay(Recording.open(recorded.stem))
    recorded.meta_path.unlink()
    with pytest.raises(RecordingError, match=r"line 3: tick 7 follows 1"):
        replay(Recording.open(recorded.stem))


def test_a_recording_of_bedd_has_no_seed(recorded):
    recorded.meta_path.unlink()
    with pytest.raises(
        RecordingError, match=r"seed_1\.json is missing, so its world and seed are unknown"
    ):
        replay(Recording.open(recorded.stem))


def test_an_unknown_world_is_named(recorded, monkeypatch):
    monkeypatch.undo()  # the real gymnasium.make
    with pytest.raises(Exception, match="unknown world 'toy'"):
        replay(recorded)


def state(**changes):
    world = CountingWorld()
    world._step = 0
    return world._state().model_copy(update=changes)


def test_pressed_keys_are_replayed_without_the_readings_that_mend_bedd():
    """pickItem may change the slot: a reading adds a hotbar key that nobody pressed."""
    writer = LineWriter()
    first = writer.line(null_action() | {"pickItem": 1}, [0.0, 0.0], state())
    second = writer.line(null_action(), [0.0, 0.0], state(hotbar=4))
    actions = pressed_actions([first, second])
    assert actions.column("pickItem").tolist() == [1, 0]
    assert actions.column("hotbar.5").tolist() == [0, 0]


def test_movement_before_a_click_that_closes_a_form_is_replayed_as_asked():
    writer = LineWriter()
    asked = null_action() | {"camera": np.array([1.5, -3.0], np.float32), "inventory": 1}
    lines = [
        writer.line(asked, [0.0, 0.0], state(gui_open=True)),
        writer.line(asked | {"inventory": 0}, [0.75, -3.0], state(gui_open=False)),
    ]
    assert pressed_actions(lines).camera == pytest.approx(np.array([[1.5, -3.0], [0.75, -3.0]]))
