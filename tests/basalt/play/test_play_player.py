"""A person as an agent: paced by the wall clock, paused, gone; and recorded like any rollout."""

import time

import gymnasium
import pytest

from basalt.core.agent import Agent, PlayerLeft, PrivilegedAgent
from basalt.core.recording import Recording
from basalt.core.recording_checks import check_recording
from basalt.play.controls import Controls
from basalt.play.player import HumanPlayer, Pace
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from tests.support.toy_world import CountingWorld


class Hands:
    """A screen whose player follows a script: what it does before each step."""

    def __init__(self, script=()):
        self.controls = Controls()
        self.paused = self.left = False
        self.script = dict(script)
        self.shown = []
        self.waited = 0.0

    def show(self, frame, status):
        self.shown.append(status)
        if act := self.script.get(status.step):
            act(self)

    def wait(self, seconds):
        self.waited += seconds
        time.sleep(seconds)

    def close(self):
        pass


def press(name):
    return lambda screen: screen.controls.button(name, down=True)


@pytest.fixture
def play(monkeypatch, tmp_path):
    def run(screen, world=CountingWorld, player=None):
        monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: world())
        player = player or HumanPlayer(screen, "somebody", 3600)
        plan = RolloutPlan(
            task="find_cave", world="toy", agent={"name": "human"}, seeds=(5,), out=tmp_path
        )
        rollout(lambda: player, plan, progress=False)
        return player, Recording.open(tmp_path / "seed_5")

    return run


def test_it_is_an_agent_that_is_told_the_step():
    player = HumanPlayer(Hands(), "somebody", 10)
    assert isinstance(player, Agent) and isinstance(player, PrivilegedAgent)


def test_a_persons_episode_is_a_recording(play):
    screen = Hands({2: press("forward"), 4: press("ESC")})
    player, recording = play(screen)
    check_recording(recording)
    assert recording.meta.player_kind == "human" and recording.meta.player == "somebody"
    assert recording.meta.ended == "esc" and recording.meta.steps == 5
    assert recording.actions().column("forward").tolist() == [0, 0, 1, 1, 1]
    assert [status.step for status in screen.shown] == [0, 1, 2, 3, 4]
    assert all(status.phase == "playing" for status in screen.shown)
    assert player.pace.steps == 5


def test_never_more_than_a_step_in_50_ms(play):
    began = time.monotonic()
    player, _ = play(Hands({8: press("ESC")}))
    assert player.pace.steps == 9 and time.monotonic() - began >= 8 * 0.05


def test_late_steps_are_counted_and_not_made_up_for(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    assert pace.left() <= 0
    pace.begin_step()
    assert pace.left() == pytest.approx(0.05)
    now += 0.05
    pace.begin_step()
    assert (pace.steps, pace.late_steps) == (2, 0)
    now += 0.25
    pace.begin_step()
    assert (pace.late_steps, pace.worst_s) == (1, pytest.approx(0.2))
    assert pace.left() == pytest.approx(0.05), "four steps are not caught up with"
    now += 3600
    pace.rest()
    pace.begin_step()
    assert pace.late_steps == 1, "a rest does not count as a delay"


def test_a_pause_stops_the_world(play):
    steps = []

    class Watched(CountingWorld):
        def step(self, action):
            steps.append(self._step)
            return super().step(action)

    class Resting(Hands):
        def wait(self, seconds):
            super().wait(seconds)
            if self.paused and self.waited > 0.3:
                assert steps == [0, 1], "nothing was played meanwhile"
                self.paused = False
                self.controls.button("ESC", down=True)

    def rest(screen):
        screen.paused, screen.waited = True, 0.0

    player, recording = play(Resting({2: rest}), Watched)
    assert recording.meta.steps == 3 and player.pace.steps == 3


def test_who_leaves_keeps_what_was_played(play, tmp_path):
    def leave(screen):
        screen.left = True

    with pytest.raises(PlayerLeft):
        play(Hands({3: leave}))
    recording = Recording.open(tmp_path / "seed_5")
    check_recording(recording)
    assert (recording.meta.ended, recording.meta.steps) == ("cut", 3)


def test_who_leaves_before_the_first_step_leaves_nothing(play, tmp_path):
    screen = Hands()
    player = HumanPlayer(screen, "somebody", 10)
    player.leave()
    with pytest.raises(PlayerLeft):
        play(screen, player=player)
    assert not list(tmp_path.glob("*seed_5*"))


def test_hands_are_off_the_keys_when_an_episode_begins_anew(play):
    """The world failed with a key down: the player hears of it and starts afresh."""
    screen = Hands({0: lambda screen: None, 1: press("forward"), 6: press("ESC")})
    CountingWorld.failures = [3]
    _, recording = play(screen)
    assert recording.actions().column("forward").tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert [status.step for status in screen.shown] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6]
