"""Rollouts over a world that is a few lines of Python, to test what happens when things go wrong.

The real engine plays in tests/basalt/worlds and tests/e2e.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from basalt.core.agent import PlayerLeft
from basalt.core.recorder_lines import Label
from basalt.core.recording import Recording, find_recordings
from basalt.core.recording_checks import check_recording
from basalt.io.claims import claim
from basalt.io.errors import ActionError, AgentError, ConfigError, WorldError
from basalt.rollouts import player as player_module
from basalt.rollouts.plan import Interruption, RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.rollouts.summary import RolloutSummary, summary
from tests.support.toy_world import CountingWorld, Walker


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    monkeypatch.setattr(CountingWorld, "failures", [])
    monkeypatch.setattr(player_module.gymnasium, "make", lambda *args, **kwargs: CountingWorld())


def plan(out, seeds=(100_000, 100_001), **changes):
    facts = {"task": "find_cave", "world": "toy", "agent": {"name": "walker"}}
    return RolloutPlan(seeds=seeds, out=out, **(facts | changes))


def test_every_seed_becomes_a_whole_recording(tmp_path):
    recordings = rollout(Walker, plan(tmp_path), progress=False)
    assert [recording.meta.seed for recording in recordings] == [100_000, 100_001]
    for recording in recordings:
        check_recording(recording)
        assert recording.meta.ended == "esc" and recording.meta.steps == 6
        assert recording.meta.world_version == "toy-1" and recording.meta.player == "walker"
        assert recording.actions().column("ESC").tolist() == [0, 0, 0, 0, 0, 1]
    result = summary(recordings)
    assert [one.success for one in result.episodes] == [True, True]
    assert result.success_rate.mean == 1 and result.distance_walked.mean == 6
    result.write(tmp_path / "summary.json")
    assert RolloutSummary.read(tmp_path / "summary.json") == result


def test_actions_during_an_interruption_are_no_ops(tmp_path):
    interruptions = {100_001: Interruption(start=1, steps=3)}
    whole, stopped = rollout(Walker, plan(tmp_path, interruptions=interruptions), progress=False)
    assert whole.actions().column("forward").tolist() == [1, 1, 1, 1, 1, 1]
    assert stopped.actions().column("forward").tolist() == [1, 0, 0, 0, 1, 1]
    check_recording(stopped)
    with pytest.raises(ConfigError, match="interruptions"):
        rollout(Walker, plan(tmp_path), progress=False)


def test_each_seed_may_have_its_own_edit(tmp_path, monkeypatch):
    monkeypatch.setattr(CountingWorld, "takes_edits", True)
    edits = {100_001: {"block": {"position": [1, 2, 3], "to": "air"}}}
    recordings = rollout(Walker, plan(tmp_path, edits=edits), progress=False)
    assert [one.meta.edit for one in recordings] == [None, edits[100_001]]
    with pytest.raises(ConfigError, match=r"edit\.block\.to"):
        plan(tmp_path, edits={100_001: {"block": {"position": [1, 2, 3], "to": "No!"}}})


def test_success_that_a_world_does_not_tell_is_unknown(tmp_path, monkeypatch):
    state = CountingWorld._state
    silent = lambda self: state(self).model_copy(update={"facts": {}})  # noqa: E731
    monkeypatch.setattr(CountingWorld, "_state", silent)
    result = summary(rollout(Walker, plan(tmp_path), progress=False))
    assert [one.success for one in result.episodes] == [None, None]
    assert result.success_rate is None and result.distance_walked.mean == 6
    assert "success: unknown" in result.lines()[-2]


class Still:
    name, kind = "still", "agent"

    def act(self, pov, first):
        return [{} for _ in pov]


class Lost(Walker):
    """An agent elsewhere that is lost at the third step of some of its attempts."""

    attempts = ()

    def act(self, pov, first):
        if first[0]:
            self.is_lost, *self.attempts = self.attempts or (False,)
        actions = super().act(pov, first)
        if self.is_lost and self.steps == 2:
            raise AgentError("ws://far: lost the connection")
        return actions


def lost(*attempts):
    agent = Lost()
    agent.attempts = attempts
    return lambda: agent


def test_a_seed_whose_agent_was_lost_is_played_again_once(tmp_path):
    recordings = rollout(lost(True, False), plan(tmp_path), progress=False)
    assert [one.meta.steps for one in recordings] == [6, 6]
    assert [one.name for one in find_recordings(tmp_path)] == ["seed_100000", "seed_100001"]
    crashed = Recording.open(tmp_path / "crashed" / "seed_100000_1")
    check_recording(crashed)
    assert (crashed.meta.ended, crashed.meta.steps) == ("crash", 2)
    assert CountingWorld.failures == []  # the world was not to blame, and plays on


def test_an_agent_that_is_lost_twice_is_an_error_after_the_other_seeds(tmp_path):
    seeds = (100_000, 100_001, 100_002)
    message = "seed 100000: the agent failed 2 times; last: ws://far: lost the connection"
    with pytest.raises(AgentError, match=message):
        rollout(lost(True, True), plan(tmp_path, seeds), progress=False)
    assert [one.name for one in find_recordings(tmp_path)] == ["seed_100001", "seed_100002"]
    assert len(rollout(Walker, plan(tmp_path, seeds), progress=False)) == 3


def test_an_agent_that_is_lost_at_three_seeds_stops_the_rollout(tmp_path):
    seeds = tuple(range(100_000, 100_009))
    agent = lost(*[True] * 99)
    with pytest.raises(AgentError, match="3 seeds failed"):
        rollout(agent, plan(tmp_path, seeds), progress=False)
    assert len(agent().attempts) == 99 - 6


def test_failures_of_world_and_agent_are_counted_apart(tmp_path):
    CountingWorld.failures[:] = [4, None, 4]
    (recording,) = rollout(lost(False, True), plan(tmp_path, (100_000,)), progress=False)
    assert recording.meta.ended == "esc" and len(list((tmp_path / "crashed").glob("*.mp4"))) == 3


def test_a_recording_has_the_size_of_the_world_s_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(
        player_module.gymnasium, "make", lambda *args, size, **kwargs: CountingWorld(size=size)
    )
    small = plan(tmp_path, (100_000,), world_args={"size": [128, 72]}, max_steps=3)
    (recording,) = rollout(Still, small, progress=False)
    assert (recording.meta.width, recording.meta.height) == (128, 72)
    assert [frame.shape for frame in recording.frames()] == [(72, 128, 3)] * 4
    with pytest.raises(
        ConfigError, match=r"world.args.size: expected even numbers.* got \[127, 72\]"
    ):
        plan(tmp_path, world_args={"size": [127, 72]})


FILM = {"world_args": {"size": [128, 72]}, "film_size": (640, 360), "max_steps": 3}


def test_an_episode_of_a_small_size_is_filmed_at_a_large_one(tmp_path, monkeypatch):
    worlds = []

    def make(*args, size, **kwargs):
        worlds.append(CountingWorld(size=size))
        return worlds[-1]

    monkeypatch.setattr(player_module.gymnasium, "make", make)
    (filmed,) = rollout(Still, plan(tmp_path / "film", (100_000,), **FILM), progress=False)
    assert [world.size for world in worlds] == [(128, 72), (640, 360)]
    assert (filmed.meta.width, filmed.meta.height) == (640, 360)
    assert [frame.shape for frame in filmed.frames()] == [(360, 640, 3)] * 4
    assert len(list((tmp_path / "film").rglob("*.mp4"))) == 1, "the small recording is not kept"

    (large,) = rollout(
        Still,
        plan(tmp_path / "large", (100_000,), max_steps=3, world_args={"size": [640, 360]}),
        progress=False,
    )
    assert filmed.lines == large.lines and filmed.telemetry() == large.telemetry()


def test_a_film_of_another_episode_is_refused(tmp_path, monkeypatch):
    class Elsewhere(CountingWorld):
        def _state(self):
            state = super()._state()
            return state.model_copy(update={"xpos": 7.0}) if self._step == 2 else state

    monkeypatch.setattr(
        player_module.gymnasium,
        "make",
        lambda *args, size, **kwargs: (CountingWorld if size == [128, 72] else Elsewhere)(
            size=size
        ),
    )
    with pytest.raises(WorldError, match="same episode, but after step 2 these differ: xpos"):
        rollout(Still, plan(tmp_path, (100_000,), **FILM), progress=False)
    assert not list(tmp_path.glob("seed_*"))


def test_breath_alone_may_differ_in_a_film(tmp_path, monkeypatch):
    class LessBreath(CountingWorld):
        def _state(self):
            return super()._state().model_copy(update={"breath": 9})

    monkeypatch.setattr(
        player_module.gymnasium,
        "make",
        lambda *args, size, **kwargs: (CountingWorld if size == [128, 72] else LessBreath)(
            size=size
        ),
    )
    (filmed,) = rollout(Still, plan(tmp_path, (100_000,), **FILM), progress=False)
    assert {state.breath for state in filmed.telemetry()} == {9}, "the film has its own"


def test_a_player_who_left_is_filmed_until_then(tmp_path, monkeypatch):
    class Leaver(Still):
        steps = 0

        def act(self, pov, first):
            self.steps += 1
            if self.steps == 3:
                raise PlayerLeft
            return super().act(pov, first)

    monkeypatch.setattr(
        player_module.gymnasium, "make", lambda *args, size, **kwargs: CountingWorld(size=size)
    )
    with pytest.raises(PlayerLeft):
        rollout(Leaver, plan(tmp_path, (100_000,), **FILM), progress=False)
    meta = Recording.open(tmp_path / "seed_100000").meta
    assert (meta.ended, meta.steps, meta.width) == ("cut", 2, 640)


def test_a_wrong_size_of_the_film_is_an_error_before_anything_is_played(tmp_path, monkeypatch):
    monkeypatch.setattr(
        player_module.gymnasium, "make", lambda *args, size, **kwargs: CountingWorld(size=size)
    )
    player = Still()
    player.act = None
    with pytest.raises(ConfigError, match="size: expected width and height from 16"):
        wrong = plan(tmp_path, (100_000,), **FILM | {"film_size": (8, 8)})
        rollout(lambda: player, wrong, progress=False)


def test_a_crash_at_a_small_size_is_kept_aside_too(tmp_path, monkeypatch):
    monkeypatch.setattr(
        player_module.gymnasium, "make", lambda *args, size, **kwargs: CountingWorld(size=size)
    )
    CountingWorld.failures.append(1)
    (filmed,) = rollout(Still, plan(tmp_path, (100_000,), **FILM), progress=False)
    crash = Recording.open(tmp_path / "crashed" / "seed_100000_1").meta
    assert (crash.ended, crash.width, filmed.meta.width) == ("crash", 128, 640)
    assert len(list(tmp_path.rglob("*.mp4"))) == 2


def test_another_address_of_the_world_goes_on_with_the_rollout(tmp_path):
    player = Walker()
    for how in (
        {"address": "here:1"},
        {"address": "there:2", "step_timeout_s": 9, "kept_games": 1, "prepare_next": True},
    ):
        rollout(lambda: player, plan(tmp_path, world_args=how), progress=False)
    assert player.firsts.count(True) == 2


def test_first_marks_the_start_of_each_episode(tmp_path):
    player = Walker(esc_at=1)
    rollout(lambda: player, plan(tmp_path), progress=False)
    assert player.firsts == [True, False, True, False]


@pytest.mark.parametrize("kind", ["agent", "random"])
def test_an_agent_never_receives_telemetry_whatever_its_methods_are_called(tmp_path, kind):
    class Curious(Walker):
        def observe(self, infos):
            raise AssertionError(f"an agent of kind {self.kind} was shown {infos}")

    Curious.kind = kind
    (recording,) = rollout(Curious, plan(tmp_path, seeds=(1,)), progress=False)
    assert recording.meta.player_kind == kind


@pytest.mark.parametrize("kind", ["scripted", "human"])
def test_a_declared_privileged_kind_receives_telemetry_and_is_labelled(tmp_path, kind):
    seen = []

    class Guided(Walker):
        def observe(self, infos):
            seen.extend(info["telemetry"].step for info in infos)

    Guided.kind = kind
    (recording,) = rollout(Guided, plan(tmp_path, seeds=(1,)), progress=False)
    assert seen == [0, 1, 2, 3, 4, 5] and recording.meta.player_kind == kind


class Tutor:
    """Would always walk back; has no answer in step 3."""

    name = "tutor"

    def __init__(self):
        self.seen = []

    def observe(self, infos):
        (info,) = infos
        self.seen.append(info["telemetry"].step)

    def labels(self, pov):
        assert pov.shape == (1, 360, 640, 3)
        step = self.seen[-1]
        return [Label(None if step == 3 else {"back": 1}, cue_visible=step > 1)]


def test_an_expert_labels_every_state_that_an_agent_reaches_and_never_acts(tmp_path):
    tutor = Tutor()
    (recording,) = rollout(
        Walker, plan(tmp_path, seeds=(1,)), progress=False, make_labeller=lambda: tutor
    )
    assert tutor.seen == [0, 1, 2, 3, 4, 5]
    assert recording.meta.labels == "tutor" and recording.meta.player_kind == "agent"
    stream = recording.expert()
    assert stream.labelled.tolist() == [True, True, True, False, True, True]
    assert stream.actions.column("back").tolist() == [1, 1, 1, 0, 1, 1]
    assert stream.cue_visible.tolist() == [False, False, True, True, True, True]
    assert recording.actions().column("back").tolist() == [0] * 6
    check_recording(recording)


@pytest.mark.parametrize(("kind", "labels"), [("scripted", "guide"), ("agent", None)])
def test_a_script_that_can_label_labels_its_own_play(tmp_path, kind, labels):
    class Guide(Tutor, Walker):
        name = "guide"

        def __init__(self):
            Tutor.__init__(self)
            Walker.__init__(self)

    Guide.kind = kind
    (recording,) = rollout(Guide, plan(tmp_path, seeds=(1,)), progress=False)
    assert recording.meta.labels == labels
    assert (recording.expert() is None) == (labels is None)


def test_an_agent_cannot_change_its_kind_to_see_telemetry_and_be_labelled_otherwise(tmp_path):
    class Turncoat(Walker):
        seen = 0

        def observe(self, infos):
            Turncoat.seen += 1

        def act(self, pov, first):
            self.kind = "scripted"
            return super().act(pov, first)

    (recording,) = rollout(Turncoat, plan(tmp_path, seeds=(1,)), progress=False)
    assert Turncoat.seen == 0 and recording.meta.player_kind == "agent"


def test_an_unknown_kind_is_refused_before_anything_is_written(tmp_path):
    class Odd(Walker):
        kind = "robot"

    with pytest.raises(ConfigError, match="agent walker: expected kind to be one of agent,"):
        rollout(Odd, plan(tmp_path / "out"), progress=False)
    assert not (tmp_path / "out").exists()


def test_a_cut_episode_says_so(tmp_path):
    (recording,) = rollout(Walker, plan(tmp_path, seeds=(1,), max_steps=4), progress=False)
    assert (recording.meta.ended, recording.meta.steps, recording.meta.step_limit) == ("cut", 4, 4)


def test_finished_episodes_are_not_played_again(tmp_path):
    rollout(Walker, plan(tmp_path, seeds=(1,)), progress=False)
    before = (tmp_path / "seed_1.mp4").stat().st_mtime_ns
    player = Walker()
    rollout(lambda: player, plan(tmp_path, seeds=(1, 2)), progress=False)
    assert (tmp_path / "seed_1.mp4").stat().st_mtime_ns == before
    assert player.firsts.count(True) == 1


def test_a_failed_world_is_played_again_from_the_start(tmp_path, capsys):
    CountingWorld.failures[:] = [2]
    (recording,) = rollout(Walker, plan(tmp_path, seeds=(1,)), progress=False)
    assert recording.meta.steps == 6
    shown = capsys.readouterr()
    assert "the toy fell apart; playing it again" in shown.err
    assert shown.out == "", "stdout is for results: --json stays JSON"


def test_a_crashed_episode_is_kept_aside_and_marked(tmp_path):
    CountingWorld.failures[:] = [2, 0]
    (recording,) = rollout(Walker, plan(tmp_path, seeds=(1,)), progress=False)
    assert recording.meta.ended == "esc"
    crashes = [Recording.open(tmp_path / "crashed" / f"seed_1_{number}") for number in (1, 2)]
    assert [(crash.meta.ended, crash.meta.steps) for crash in crashes] == [
        ("crash", 2),
        ("crash", 0),
    ]
    for crash in crashes:
        check_recording(crash)
    assert [found.name for found in find_recordings(tmp_path)] == ["seed_1"]


def test_a_world_that_keeps_failing_is_one_error_and_leaves_what_was_whole(tmp_path):
    CountingWorld.failures[:] = [99, 2, 2, 2]
    with pytest.raises(WorldError, match="seed 2: the world failed 3 times; last: the toy fell"):
        rollout(Walker, plan(tmp_path, seeds=(1, 2)), progress=False)
    assert sorted(path.name for path in tmp_path.glob("seed_*")) == [
        "seed_1.json",
        "seed_1.jsonl",
        "seed_1.mp4",
    ]
    assert not list(tmp_path.glob("*.partial*"))


def test_one_seed_whose_world_keeps_failing_does_not_keep_the_others_back(tmp_path, capsys):
    CountingWorld.failures[:] = [2, 2, 2]
    with pytest.raises(WorldError, match="seed 1: the world failed 3 times"):
        rollout(Walker, plan(tmp_path, seeds=(1, 2, 3)), progress=False)
    assert [found.name for found in find_recordings(tmp_path)] == ["seed_2", "seed_3"]
    assert "seed 1: skipped; playing the remaining seeds" in capsys.readouterr().err
    assert len(rollout(Walker, plan(tmp_path, seeds=(1, 2, 3)), progress=False)) == 3


def test_a_world_that_fails_for_many_seeds_ends_the_rollout(tmp_path):
    CountingWorld.failures[:] = [2] * 100
    with pytest.raises(WorldError, match="3 seeds failed; first: seed 1: the world failed 3 times"):
        rollout(Walker, plan(tmp_path, seeds=tuple(range(1, 30))), progress=False)
    assert len(CountingWorld.failures) == 100 - 9


def test_an_impossible_action_is_the_agents_error(tmp_path):
    class Wrong(Walker):
        def act(self, pov, first):
            return [{"camera": [0.0, 400.0]}]

    with pytest.raises(ActionError, match="camera"):
        rollout(Wrong, plan(tmp_path), progress=False)
    assert not list(tmp_path.glob("seed_*"))


@pytest.mark.parametrize(
    "changes", [{"agent": {"name": "other"}}, {"max_steps": 3}, {"world": "another"}]
)
def test_another_rollout_is_not_mixed_into_the_folder(tmp_path, changes):
    rollout(Walker, plan(tmp_path), progress=False)
    with pytest.raises(
        ConfigError, match=r"this rollout was made with .*, not .*another out=FOLDER"
    ):
        rollout(Walker, plan(tmp_path, **changes), progress=False)


def test_the_message_names_the_commands_setting(tmp_path):
    rollout(Walker, plan(tmp_path, max_steps=4), progress=False)
    with pytest.raises(ConfigError, match="made with max_steps=4, not max_steps=3"):
        rollout(Walker, plan(tmp_path, max_steps=3), progress=False)


def test_a_rollout_is_not_resumed_in_another_version_of_its_world(tmp_path, monkeypatch):
    rollout(Walker, plan(tmp_path, seeds=(1,)), progress=False)
    monkeypatch.setattr(CountingWorld, "version", "toy-2")
    with pytest.raises(
        ConfigError, match=r"seed_1.*toy version toy-1, .*toy-2.*another out"
    ) as err:
        rollout(Walker, plan(tmp_path, seeds=(1, 2)), progress=False)
    assert "\n" not in str(err.value) and not list(tmp_path.glob("*seed_2*"))


def test_a_rollout_leaves_the_folder_of_a_training_run_alone(tmp_path):
    claim(tmp_path / "config.json", "training run", {"out": "runs/bc", "data": "sample"})
    with pytest.raises(ConfigError, match="a rollout, got a training run; use another out=FOLDER"):
        rollout(Walker, plan(tmp_path), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_rollout_without_an_episode_binds_nobody(tmp_path):
    CountingWorld.failures[:] = [0] * 6
    with pytest.raises(WorldError):
        rollout(Walker, plan(tmp_path), progress=False)
    assert len(rollout(Walker, plan(tmp_path, agent={"name": "other"}), progress=False)) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_agent_that_cannot_be_made_leaves_nothing_behind(tmp_path, jobs):
    def make_agent():
        raise ConfigError("checkpoint: not there")

    with pytest.raises(ConfigError, match="checkpoint: not there"):
        rollout(make_agent, plan(tmp_path / "out"), jobs=jobs, progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [{"max_steps": 0}])
def test_senseless_settings_are_named(tmp_path, changes):
    with pytest.raises(ConfigError, match="max_steps"):
        rollout(Walker, plan(tmp_path, **changes), progress=False)
    with pytest.raises(ConfigError, match="jobs"):
        rollout(Walker, plan(tmp_path), jobs=0, progress=False)


def test_a_rollout_without_all_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="render_every: expected 1, since a recording shows"):
        plan(tmp_path, world_args={"render_every": 4})


HANGING_ROLLOUT = """
    import sys
    from pathlib import Path
    from tests.basalt.rollouts import test_rollout as toy
    from basalt.io.interrupts import keep_interrupts
    from basalt.rollouts.rollout import rollout
    keep_interrupts()
    toy.CountingWorld.hanging_episode = int(sys.argv[2])
    toy.player_module.gymnasium.make = lambda *args, **kwargs: toy.CountingWorld()
    rollout(toy.Walker, toy.plan(Path(sys.argv[1]), seeds=(1, 2, 3)), progress=False)
"""


def start_hanging(folder, episode):
    code = textwrap.dedent(HANGING_ROLLOUT)
    return subprocess.Popen([sys.executable, "-c", code, str(folder), str(episode)])


def wait_for(path, process):
    while not path.is_file():
        assert process.poll() is None, "the rollout ended too early"
        time.sleep(0.02)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_rollout_leaves_whole_episodes_and_goes_on(tmp_path, sent):
    process = start_hanging(tmp_path, episode=2)
    wait_for(tmp_path / "seed_1.json", process)
    os.kill(process.pid, sent)
    assert process.wait(30) != 0
    finals = [path for path in tmp_path.glob("seed_*") if not path.name.startswith(".")]
    for name in {path.name.split(".")[0] for path in finals}:
        check_recording(Recording.open(tmp_path / name))
    recordings = rollout(Walker, plan(tmp_path, seeds=(1, 2, 3)), progress=False)
    assert len(recordings) == 3
    for recording in recordings:
        check_recording(recording)


SIDE_BY_SIDE = """
    import sys
    from pathlib import Path
    from tests.basalt.rollouts import test_rollout as toy
    from basalt.rollouts.rollout import rollout
    rollout(toy.SlowWalker, toy.plan(Path(sys.argv[1]), seeds=(1, 2, 3)), jobs=2, progress=False)
"""


class SlowWalker(Walker):
    """A walker for worker processes: it leaves its process id, makes its own world and dawdles."""

    def __init__(self):
        super().__init__(esc_at=3000)
        player_module.gymnasium.make = lambda *args, **kwargs: CountingWorld()

    def act(self, pov, first):
        Path(os.environ["SLOW_WALKERS"], str(os.getpid())).touch()
        time.sleep(0.1)
        return super().act(pov, first)


def test_workers_do_not_survive_a_killed_rollout(tmp_path, monkeypatch):
    walkers = tmp_path / "walkers"
    walkers.mkdir()
    monkeypatch.setenv("SLOW_WALKERS", str(walkers))
    code = textwrap.dedent(SIDE_BY_SIDE)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")])
    while len(list(walkers.iterdir())) < 2:
        assert process.poll() is None, "the rollout ended too early"
        time.sleep(0.05)
    process.kill()
    process.wait()
    left = {path.name for path in walkers.iterdir()}
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if Path("/proc", pid).exists()}
        time.sleep(0.05)
    assert not left


def test_two_rollouts_into_one_folder_are_refused(tmp_path):
    process = start_hanging(tmp_path, episode=1)
    try:
        wait_for(tmp_path / "rollout.json", process)
        with pytest.raises(ConfigError, match="another rollout is writing to this folder"):
            rollout(Walker, plan(tmp_path, seeds=(1, 2, 3)), progress=False)
    finally:
        process.kill()
        process.wait()
