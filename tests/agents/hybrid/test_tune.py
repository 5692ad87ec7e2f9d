"""The chosen threshold is the known best of a planted chain, and is counted as the machine would act."""

import numpy as np
import pytest

from agents.hybrid.machine import Condition, Machine, MachineRun
from agents.hybrid.tune import Scored, Watched, choose_threshold, measure, stretches

AT_MOST = 12


def condition(threshold: object = "tune", hold: int = 3, comparison: str = ">=") -> Condition:
    return Condition.model_validate(["rock", comparison, threshold, hold])


def chain(seed: int, n: int = 400) -> Scored:
    """Rock ahead for 10 to 30 frames now and then, where the head says 0.6 or more; elsewhere it says at most 0.3, but for
    spikes of one frame at 0.99."""
    rng = np.random.default_rng(seed)
    holds, at = np.zeros(n, bool), int(rng.integers(30, 60))
    while at < n - 40:
        length = int(rng.integers(10, 30))
        holds[at : at + length] = True
        at += length + int(rng.integers(40, 80))
    probability = np.where(holds, rng.uniform(0.6, 1.0, n), rng.uniform(0.0, 0.3, n))
    far = np.flatnonzero(~holds & (np.arange(n) % 7 == 0))
    probability[far] = 0.99
    return Scored(probability, holds, np.ones(n, bool))


EPISODES = [chain(seed) for seed in range(8)]


def test_the_known_best_threshold_of_a_planted_chain_is_found() -> None:
    chosen = choose_threshold(condition(), AT_MOST, EPISODES)
    surest = [Watched(condition(), AT_MOST, one) for one in EPISODES]
    assert 0.3 < chosen <= min(one.score[a:b].max() for one in surest for a, b in one.events)
    found = measure("dig", "enter", condition(chosen), AT_MOST, True, EPISODES)
    assert found.events == sum(len(stretches(one.holds)) for one in EPISODES) > 20
    assert (found.noticed, found.false_alarms, found.episodes) == (found.events, 0, 8)
    assert found.interval == (1.0, 1.0)
    # Without holding, spikes are as sure as rock: whatever the threshold, more is lost.
    hasty = condition(choose_threshold(condition(hold=1), AT_MOST, EPISODES), hold=1)
    worse = measure("dig", "enter", hasty, AT_MOST, True, EPISODES)
    assert worse.noticed - worse.false_alarms < found.noticed


def test_a_condition_of_the_other_direction_finds_the_same_place() -> None:
    turned = [Scored(1 - one.probability, ~one.holds, one.known) for one in EPISODES]
    chosen = choose_threshold(condition(comparison="<="), AT_MOST, turned)
    assert chosen == pytest.approx(1 - choose_threshold(condition(), AT_MOST, EPISODES))


def test_false_alarms_cost_what_is_said() -> None:
    """One event at 0.4; noise at 0.5 elsewhere: noticing the event costs a false alarm."""
    probability, holds = np.full(60, 0.1), np.zeros(60, bool)
    probability[10], probability[40], holds[40] = 0.5, 0.4, True
    episodes = [Scored(probability, holds, np.ones(60, bool))]
    cheap = choose_threshold(condition(hold=1), 5, episodes, false_alarm_cost=0.5)
    dear = choose_threshold(condition(hold=1), 5, episodes, false_alarm_cost=2.0)
    assert 0.1 < cheap <= 0.4 < dear


def test_frames_without_a_known_label_are_neither_event_nor_false_alarm() -> None:
    known = np.ones(40, bool)
    known[20:] = False
    one = Scored(np.where(np.arange(40) >= 20, 0.9, 0.1), np.arange(40) >= 20, known)
    found = measure("dig", "enter", condition(0.5), 5, False, [one])
    assert (found.events, found.noticed, found.false_alarms, found.interval) == (0, 0, 0, None)


@pytest.mark.parametrize("seed", range(20))
def test_alarms_are_the_frames_on_which_the_machine_enters_the_state(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hold, at_most, threshold = (
        int(rng.integers(1, 5)),
        int(rng.integers(1, 9)),
        float(rng.uniform(0.2, 0.8)),
    )
    comparison = str(rng.choice([">=", "<="]))
    probability = rng.random(300).repeat(2)[:300]
    one = condition(threshold, hold, comparison)
    machine = Machine.model_validate(
        {
            "states": {
                "walk": {"policy": "walker"},
                "dig": {"policy": "unstick", "enter": one, "at_most": at_most},
            }
        }
    )
    run, entered = MachineRun(machine), []
    for t, value in enumerate(probability.tolist()):
        if run.step({"rock": value}) == "dig" and run.steps == 1:
            entered.append(t)
    nothing = np.zeros(300, bool)
    watched = Watched(one, at_most, Scored(probability, nothing, ~nothing))
    least = threshold if comparison == ">=" else -threshold
    assert list(watched.alarms(least)) == entered != []
