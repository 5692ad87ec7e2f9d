"""The rule by which one agent beats another, on made-up outcomes whose verdict is known."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from basalt.io.errors import ConfigError
from basalt.rollouts.evaluation import EvaluatedEpisode, Evaluation, compare, merge


def evaluation(successes, training=None, harm=0.0, first_seed=230_000, failed=(), **changes):
    episodes = tuple(
        EvaluatedEpisode(
            seed=first_seed + n,
            play="world failed" if n in failed else "played",
            ended=None if n in failed else "esc",
            steps=0 if n in failed else 100 + n,
            success=bool(success) and n not in failed,
            harm={} if n in failed else {"deaths": harm},
        )
        for n, success in enumerate(successes)
    )
    facts = {
        "agent": {"name": "bc"}, "agent_hash": f"hash-{training}", "kind": "agent", "training_seed": training,
        "task": "find_cave", "world": "toy", "world_version": "1", "world_args": {}, "edit": None,
        "step_limit": 1800, "learns": training is not None,
    }  # fmt: skip
    return Evaluation(episodes=episodes, **(facts | changes))


def random_agent(successes, **changes):
    return evaluation(successes, **{"agent": {"name": "random"}, "agent_hash": "random", **changes})


def trainings(rate, seeds=100, n=3, **changes):
    rng = np.random.default_rng(0)
    return [evaluation(rng.random(seeds) < rate, training=k, **changes) for k in range(n)]


def test_more_success_on_enough_seeds_and_trainings_beats():
    found = compare(trainings(0.5), [random_agent([0] * 100)])
    assert found.verdict == "beats" and found.reasons == ()
    assert found.success.mean == pytest.approx(0.5, abs=0.1) and found.success.interval[0] > 0.3
    assert found.improvement == 1 and found.iqm[1] == 0
    assert found.lines("bc", "random")[0] == "bc beats random"


def test_equal_agents_are_not_shown_to_differ():
    found = compare(trainings(0.5), [random_agent([0, 1] * 50)])
    assert (
        found.verdict == "not shown" and found.success.interval[0] < 0 < found.success.interval[1]
    )


def test_a_few_failures_of_both_show_nothing():
    assert compare([random_agent([0] * 3)], [random_agent([0] * 3)]).verdict == "not shown"


def test_less_success_does_not_beat():
    assert compare(trainings(0.2), [random_agent([1] * 100)]).verdict == "does not beat"


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        (trainings(0.9, seeds=99), "paired seeds: expected 100 or more, got 99"),
        (trainings(0.9, n=2), "training runs of bc: expected 3 or more with known seeds, got 2"),
        (trainings(0.9, n=1), "training runs of bc: expected 3 or more with known seeds, got 1"),
        (trainings(0.9, harm=1.0), "harm: deaths got worse"),
    ],
)
def test_what_is_missing_for_a_victory_is_named(arm, reason):
    found = compare(arm, [random_agent([0] * len(arm[0].episodes))])
    assert found.verdict == "not shown" and reason in found.reasons


def test_a_seed_without_a_world_leaves_both_arms():
    found = compare(trainings(0.9, seeds=102, failed={0, 1}), [random_agent([0] * 102)])
    assert (found.success.seeds, found.missing, found.verdict) == (100, 2, "beats")


def test_too_many_missing_seeds_give_no_verdict():
    found = compare(trainings(0.9, seeds=110, failed=range(10)), [random_agent([0] * 110)])
    assert found.verdict == "no verdict" and "missing seeds: 10 of 110" in found.reasons[0]


def test_only_common_seeds_are_compared():
    found = compare(trainings(0.9, seeds=150), [random_agent([0] * 150, first_seed=230_050)])
    assert found.success.seeds == 100


@pytest.mark.parametrize(
    "change",
    [
        {"world_version": "2"},
        {"step_limit": 3600},
        {"task": "make_waterfall"},
        {"edit": {"item": "torch"}},
        {"world_args": {"size": [128, 72]}},
    ],
)
def test_unlike_tests_are_refused(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))}=.*cannot be compared"):
        compare(trainings(0.9), [random_agent([0] * 100, **change)])


def test_dev_seeds_show_nothing():
    found = compare(
        trainings(0.9, first_seed=200_000), [random_agent([0] * 100, first_seed=200_000)]
    )
    assert found.verdict == "not shown"
    assert found.reasons == ("seeds: expected held-out ones, got 100 others such as 200000",)


def test_the_same_training_run_twice_is_refused():
    one = evaluation([1, 0], training=0)
    with pytest.raises(ConfigError, match="got two with seed 0; merge evaluations of the same run"):
        compare([one, one], [random_agent([0, 0])])


def test_training_runs_of_different_settings_are_refused():
    one, other = (
        evaluation([1], training=0),
        evaluation([1], training=1, agent={"name": "bc", "temperature": 2}),
    )
    with pytest.raises(
        ConfigError, match="expected training runs of one agent with the same settings"
    ):
        compare([one, other], [random_agent([0])])


def test_training_runs_may_have_their_own_stopping_heads_but_not_one_of_them_alone():
    runs = [
        evaluation([1], training=k, agent={"name": "bc", "stop": f"runs/ending-{k}"})
        for k in (0, 1)
    ]
    assert compare(runs, [random_agent([0])]).success.mean == 1
    without = evaluation([1], training=2, agent={"name": "bc", "stop": None})
    with pytest.raises(ConfigError, match="expected training runs of one agent"):
        compare([*runs, without], [random_agent([0])])


def test_evaluations_without_a_common_seed_are_refused():
    with pytest.raises(ConfigError, match="no seed in common"):
        compare([evaluation([1])], [random_agent([0], first_seed=240_000)])


def test_a_figure_grows_by_merging():
    parts = [evaluation([1, 1]), evaluation([0], first_seed=240_000)]
    whole = merge(parts[::-1])
    assert [one.seed for one in whole.episodes] == [230_000, 230_001, 240_000]
    assert whole.success_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "change",
    [{"agent_hash": "other"}, {"world_version": "2"}, {"step_limit": 5}, {"training_seed": 1}],
)
def test_unlike_records_are_not_merged(change):
    with pytest.raises(ConfigError, match="cannot be merged"):
        merge([evaluation([1]), evaluation([0], first_seed=240_000, **change)])


def test_a_seed_is_not_merged_twice():
    with pytest.raises(ConfigError, match="230000 is in several"):
        merge([evaluation([1]), evaluation([0])])


def test_the_record_is_read_as_it_was_written(tmp_path):
    one = evaluation([1, 0], failed={1})
    one.write(tmp_path / "evaluation.json")
    assert Evaluation.read(tmp_path / "evaluation.json") == one
    assert one.missing == 1 and "missing: 1 seeds whose world failed" in one.lines()[-1]


def test_an_agent_that_learns_with_unknown_seeds_does_not_escape_the_rule():
    arm = [evaluation([1] * 100, learns=True)]
    found = compare(arm, [random_agent([0] * 100)])
    assert found.verdict == "not shown" and "with known seeds, got 0" in found.reasons[0]


def test_harm_that_one_episode_does_not_report_is_no_absence_of_harm():
    arm = trainings(0.9)
    episodes = (arm[0].episodes[0].model_copy(update={"harm": {}}), *arm[0].episodes[1:])
    arm[0] = arm[0].model_copy(update={"episodes": episodes})
    found = compare(arm, [random_agent([0] * 100)])
    assert found.verdict == "not shown"
    assert found.reasons == ("harm: deaths is not reported by every episode",)


def test_single_runs_have_an_exact_sign_test():
    found = compare([random_agent([1] * 6 + [0] * 5)], [random_agent([0] * 11, agent_hash="other")])
    assert found.decisive == (6, 0)
    assert "(exact sign test p = 0.0312)" in found.lines("a", "b")[2]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"harm": {"deaths": float("nan")}},
        {"harm": {"deaths": -1.0}},
        {"play": "bad action"},
        {"ended": None},
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path, change):
    one = evaluation([1]).to_json()
    one["episodes"][0] |= change
    (tmp_path / "evaluation.json").write_text(json.dumps(one))
    with pytest.raises(ConfigError, match=r"evaluation\.json: not a valid basalt-evaluation"):
        Evaluation.read(tmp_path / "evaluation.json")


def test_a_seed_twice_in_a_record_is_refused():
    content = evaluation([1, 0]).to_json()
    content["episodes"][1]["seed"] = content["episodes"][0]["seed"]
    with pytest.raises(ConfigError, match="expected one episode, got 2"):
        Evaluation.from_json(content, "a record")


def test_another_agents_evaluation_is_not_replaced(tmp_path):
    evaluation([1], training=0).keep(tmp_path)
    evaluation([1, 0], training=0).keep(tmp_path)
    with pytest.raises(ConfigError, match=r"agent_hash=.* cannot be kept in"):
        random_agent([0]).keep(tmp_path)
    assert len(Evaluation.read(tmp_path / "evaluation.json").episodes) == 2


def with_milestones(*episodes, first_seed=230_000):
    """Episodes with the milestones' values in order; a text is why one was not played."""
    names = ("mouth_seen", "under_roof_in_dark", "in_cave", "ended_there")
    found = evaluation([0] * len(episodes), first_seed=first_seed)
    return found.model_copy(
        update={
            "episodes": tuple(
                one.model_copy(update={"milestones": dict(zip(names, values, strict=True))})
                if isinstance(values, tuple)
                else EvaluatedEpisode(
                    seed=one.seed, play=values, ended=None, steps=0, success=False, harm={}
                )
                for one, values in zip(found.episodes, episodes, strict=True)
            )
        }
    )


def test_milestones_are_shares_of_the_episodes_of_which_they_are_known():
    far, near, unknown = (True,) * 4, (True, False, False, False), (None, True, False, False)
    lines = with_milestones(far, near, unknown, "bad action", "world failed").lines()
    assert "  milestones, share of episodes (95% interval):" in lines
    # An action that is not valid reaches nothing; a world that fails says nothing.
    assert "    mouth_seen 67% (21% to 94%), known in 3 of 4" in lines
    assert "    under_roof_in_dark 50% (15% to 85%)" in lines
    assert "    furthest: none 1, mouth_seen 1, under_roof_in_dark 1, ended_there 1" in lines


def test_differences_of_milestones_are_paired_and_decide_nothing():
    far, near, unknown = (True,) * 4, (True, False, False, False), (None, True, False, False)
    one = with_milestones(far, far, near, unknown, "bad action")
    other = with_milestones(near, near, near, far, near)
    found = compare([one], [other])
    assert list(found.milestones) == ["mouth_seen", "under_roof_in_dark", "in_cave"]
    # Without the fourth seed, of which it is not known; the bad action saw nothing.
    assert (found.milestones["mouth_seen"].mean, found.milestones["mouth_seen"].seeds) == (-0.25, 4)
    assert found.milestones["under_roof_in_dark"].mean == pytest.approx(2 / 5)
    assert found.verdict == "not shown"
    assert found.steps.mean == pytest.approx(-104 / 5)
    lines = found.lines("a", "b")
    assert any(
        line.startswith("  mouth_seen -25.0% (") and line.endswith("on 4 seeds") for line in lines
    )
    assert any(line.startswith("  steps an episode -21 (") for line in lines)


def test_a_record_of_before_milestones_does_not_know_them():
    old = evaluation([1, 0]).to_json() | {"version": 1}
    del old["finished"]
    for one in old["episodes"]:
        del one["milestones"]
    found = Evaluation.from_json(old, "an old record")
    assert {value for one in found.milestones.values() for value in one.values()} == {None}
    assert not any("milestones" in line for line in found.lines())


def test_a_merged_record_was_finished_with_its_last_part():
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    parts = [
        evaluation([1], finished=last),
        evaluation([1], first_seed=240_000, finished=first),
        evaluation([1], first_seed=250_000),
    ]
    assert merge(parts).finished == last
