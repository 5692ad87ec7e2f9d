"""The filter and the rule on sequences whose answer is known."""

import numpy as np
import pytest

from agents.ending.rule import Scored, averages, choose_rule, judge, stop_step
from basalt.policies.ending import StopFilter, StopRule


def filtered(values: list[float], rule: StopRule, screens: list[bool] | None = None) -> list[bool]:
    one = StopFilter(rule)
    return [
        one.stops(value, screen)
        for value, screen in zip(values, screens or [False] * len(values), strict=True)
    ]


def scored(values: list[float], success: list[int], screens: list[int] | None = None) -> Scored:
    return Scored(
        np.array(values, float),
        np.array(screens or [0] * len(values), bool),
        np.array(success, bool),
    )


def test_the_average_of_a_constant_rises_as_one_minus_the_power() -> None:
    one = StopFilter(StopRule(weight=0.05, threshold=99))
    for step in range(1, 60):
        one.stops(2.0, False)
        assert one.average == pytest.approx(2 * (1 - 0.95**step))


@pytest.mark.parametrize(
    ("weight", "first"),
    [(1.0, 0), (0.5, 0), (0.05, 13)],  # 1 - .95^14 = .512 is the first above a half
)
def test_a_constant_stops_when_its_average_reaches_the_threshold(weight: float, first: int) -> None:
    stops = filtered([2.0] * 40, StopRule(weight=weight, threshold=1.0))
    assert stops.index(True) == first


def test_one_bright_frame_does_not_stop_a_filtered_head() -> None:
    values = [-1.0] * 20 + [5.0] + [-1.0] * 20
    assert any(filtered(values, StopRule(weight=1.0, threshold=1.0)))
    assert not any(filtered(values, StopRule(weight=0.1, threshold=1.0)))


def test_not_before_the_first_step_and_at_even_odds_from_the_last() -> None:
    always = StopRule(weight=1, threshold=1.0, min_step=7)
    assert filtered([3.0] * 20, always).index(True) == 7
    unsure = StopRule(weight=1, threshold=1.0, max_step=12)
    assert filtered([0.5] * 20, unsure).index(True) == 12
    assert not any(filtered([-0.5] * 20, unsure))
    # A threshold below even odds is not raised by the last step.
    assert filtered([-0.5] * 20, StopRule(weight=1, threshold=-1.0, max_step=12)).index(True) == 0


def test_a_screen_is_no_evidence_and_never_ends_the_episode() -> None:
    rule = StopRule(weight=0.5, threshold=1.0)
    screens = [False, True, True, True, False, False]
    one = StopFilter(rule)
    assert not one.stops(1.8, False)
    before = one.average
    assert not any(one.stops(9.0, True) for _ in range(3))
    assert one.average == before
    assert one.stops(1.8, False)
    late = StopRule(weight=1, threshold=1.0, max_step=0)
    assert filtered([9.0] * 6, late, screens) == [not one for one in screens]


def test_the_simulation_stops_where_the_filter_does() -> None:
    rng = np.random.default_rng(0)
    stopped = 0
    for case in range(200):
        one = Scored(rng.normal(0, 2, 60), rng.random(60) < 0.2, rng.random(60) < 0.5)
        rule = StopRule(
            weight=float(rng.choice([1.0, 0.3, 0.05])),
            threshold=float(rng.normal(0, 0.7)),
            min_step=int(rng.integers(0, 30)),
            max_step=None if case % 2 else int(rng.integers(20, 60)),
        )
        stops = filtered(one.done.tolist(), rule, one.screen.tolist())
        expected = stops.index(True) if any(stops) else None
        assert stop_step(one, rule, averages(one, rule.weight)) == expected
        stopped += expected is not None
    assert 20 < stopped < 190


def test_outcomes_are_counted() -> None:
    episodes = [
        scored([0, 3], [0, 1]),  # right
        scored([3, 0], [0, 1]),  # wrong
        scored([0, 0], [0, 1]),  # never
        scored([0, 0], [0, 0]),  # never, and impossible
    ]
    found = judge(episodes, StopRule(weight=1, threshold=2))
    assert (found.right, found.wrong, found.never, found.possible) == (1, 1, 2, 3)


def planted(count: int, seed: int) -> list[Scored]:
    """Hidden inside or outside (in with .004, out with .006 a step), seen by an autocorrelated score."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        inside, noise, states, scores = False, 0.0, [], []
        for _ in range(800):
            inside = rng.random() >= 0.006 if inside else rng.random() < 0.004
            noise = 0.8 * noise + 0.6 * rng.normal(0, 2.0)
            states.append(inside)
            scores.append((1.5 if inside else -1.5) + noise)
        episodes.append(scored(scores, [int(one) for one in states]))
    return episodes


def test_on_a_planted_chain_the_filter_beats_single_frames_and_sampling() -> None:
    chosen_on, tested_on = planted(120, 0), planted(120, 1)
    rule, _ = choose_rule(chosen_on)
    assert rule.weight < 1
    found = judge(tested_on, rule)
    frame, _ = max(
        (
            (one, judge(chosen_on, one).right)
            for one in (StopRule(weight=1, threshold=t) for t in np.arange(-4, 8, 0.25).tolist())
        ),
        key=lambda pair: pair[1],
    )
    assert found.right > judge(tested_on, frame).right
    rng = np.random.default_rng(2)
    sampled = 0
    for one in tested_on:
        press = rng.random(len(one.done)) < 0.05 / (1 + np.exp(-one.done))
        sampled += bool(press.any() and one.success[press.argmax()])
    assert found.right > 0.85 * found.possible > 1.5 * sampled


def test_the_middle_of_the_widest_plateau_is_chosen() -> None:
    episodes = [scored([-5] * 20 + [5] * 20, [0] * 20 + [1] * 20)] * 3
    rule, found = choose_rule(episodes)
    assert (found.right, found.wrong, found.never) == (3, 0, 0)
    stops = filtered([-5.0] * 20 + [5.0] * 20, rule)
    assert 20 <= stops.index(True) < 39


def test_no_threshold_is_below_even_odds() -> None:
    """Demonstrations that end as soon as they succeed would be ended best by a slow filter that is still unsure."""
    episodes = [scored([-5] * 40 + [5] * 4, [0] * 38 + [1] * 6)] * 3
    rule, found = choose_rule(episodes)
    assert rule.threshold >= 0 and found.right == 3
    assert choose_rule([scored([-5] * 9, [0] * 9)] * 3)[0].threshold == 0
