"""Evaluations over the toy world: each seed's outcome is kept, also of those that cannot be played."""

import json

import pytest

from basalt.io.errors import AgentError, ConfigError, WorldError
from basalt.rollouts import player as player_module
from basalt.rollouts.evaluate import evaluate
from basalt.rollouts.plan import RolloutPlan
from tests.support.toy_world import CountingWorld, Walker


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    monkeypatch.setattr(CountingWorld, "failures", [])
    monkeypatch.setattr(player_module.gymnasium, "make", lambda *args, **kwargs: CountingWorld())


class Broken(Walker):
    """Returns nonsense in its second episode."""

    def act(self, pov, first):
        actions = super().act(pov, first)
        return [{"fly": 1}] if self.firsts.count(True) == 2 else actions


def run(out, agent=Walker, seeds=(230_000, 230_001, 230_002), agent_hash="abc"):
    plan = RolloutPlan(
        task="find_cave", world="toy", agent={"name": "walker"}, seeds=seeds, out=out, max_steps=50
    )
    return evaluate(agent, plan, agent_hash=agent_hash, progress=False)


def test_every_seed_has_its_outcome(tmp_path):
    found = run(tmp_path)
    assert [one.seed for one in found.episodes] == [230_000, 230_001, 230_002]
    assert all(one.success and one.ended == "esc" and one.steps == 6 for one in found.episodes)
    assert found.success_rate == 1 and found.step_limit == 50 and found.world_version == "toy-1"
    assert found.episodes[0].harm == {"deaths": 0}


def test_an_action_that_is_none_is_a_failure_of_the_agent(tmp_path):
    found = run(tmp_path, Broken)
    assert [one.play for one in found.episodes] == ["played", "bad action", "played"]
    assert found.success_rate == pytest.approx(2 / 3) and found.missing == 0


class Lost(Walker):
    """Is elsewhere, and always lost in the second seed."""

    def act(self, pov, first):
        actions = super().act(pov, first)
        if self.firsts.count(True) in (2, 3):
            raise AgentError("ws://far: lost the connection")
        return actions


def test_an_agent_that_is_lost_twice_has_failed_at_that_seed(tmp_path):
    found = run(tmp_path, Lost)
    assert [one.play for one in found.episodes] == ["played", "agent lost", "played"]
    assert found.success_rate == pytest.approx(2 / 3) and found.missing == 0
    assert any("agent lost 1" in line for line in found.lines())
    assert run(tmp_path) == found  # it gets no third try


def test_a_world_that_fails_twice_is_missing_and_not_tried_again(tmp_path):
    CountingWorld.failures[:] = [None, 2, 2, None]
    found = run(tmp_path)
    assert [one.play for one in found.episodes] == ["played", "world failed", "played"]
    assert found.success_rate == 1 and found.missing == 1
    assert (
        "toy fell apart"
        in json.loads((tmp_path / "unplayed/seed_230001.json").read_text())["error"]
    )
    assert run(tmp_path) == found  # nothing is played a second time


def test_where_no_world_works_the_error_is_raised_and_nothing_is_decided(tmp_path):
    CountingWorld.failures[:] = [0] * 6
    with pytest.raises(WorldError, match="3 seeds failed"):
        run(tmp_path)
    assert not (tmp_path / "unplayed").exists()
    assert run(tmp_path).missing == 0


def test_a_damaged_note_of_a_seed_that_was_not_played(tmp_path):
    CountingWorld.failures[:] = [None, 2, 2, None]
    run(tmp_path)
    (tmp_path / "unplayed/seed_230001.json").write_text("{")
    with pytest.raises(ConfigError, match="expected why this seed was not played; remove it"):
        run(tmp_path)


def test_a_world_without_success_by_telemetry_cannot_be_evaluated(tmp_path, monkeypatch):
    state = CountingWorld._state
    monkeypatch.setattr(
        CountingWorld, "_state", lambda self: state(self).model_copy(update={"facts": {}})
    )
    with pytest.raises(ConfigError, match="does not report success at find_cave; let people judge"):
        run(tmp_path)


class AlwaysBroken(Walker):
    def act(self, pov, first):
        return [{"fly": 1}]


def test_bad_actions_alone_are_never_blamed_on_the_world(tmp_path):
    with pytest.raises(ConfigError, match="none of the seeds could be played"):
        run(tmp_path, AlwaysBroken)
    assert len(list((tmp_path / "unplayed").iterdir())) == 3


def test_a_world_that_breaks_in_the_middle_stops_the_evaluation_and_marks_nothing(tmp_path):
    seeds = tuple(range(230_000, 230_010))
    CountingWorld.failures[:] = [None] + [0] * 6
    with pytest.raises(WorldError, match="3 seeds failed"):
        run(tmp_path, seeds=seeds)
    assert not (tmp_path / "unplayed").exists()
    found = run(tmp_path, seeds=seeds)
    assert len(found.played) == 10


def test_the_last_seeds_failing_on_a_second_call_are_marked(tmp_path):
    run(tmp_path, seeds=(230_000,))
    CountingWorld.failures[:] = [0, 0]
    found = run(tmp_path, seeds=(230_000, 230_001))
    assert found.missing == 1


def test_other_weights_do_not_continue_an_evaluation(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="was made with agent_hash='abc', not agent_hash='def'"):
        run(tmp_path, agent_hash="def")
