"""A machine changes its state as its file says, and a file that is wrong is one clear line."""

from pathlib import Path

import pytest

from agents.hybrid.machine import Condition, Machine, MachineRun, read_machine
from agents.hybrid.scripts import SCRIPTS
from basalt.io.errors import ConfigError

FILE = """
states:
  walk:
    policy: walker
  dig:
    policy: unstick
    enter: [rock, ">=", 0.5, 3]
    leave: [rock, "<=", 0.2, 2]
    at_most: 5
    then: rest
    else: walk
  flee:
    policy: turn_around
    enter: [lava, ">=", 0.9, 1]
    at_most: 2
  rest:
    policy: walker
    at_most: 2
    then: walk
"""


def machine(tmp_path: Path, text: str = FILE) -> Machine:
    file = tmp_path / "machine.yaml"
    file.write_text(text)
    return read_machine(file, "find_cave")


def played(machine: Machine, rock: list[float], lava: list[float] | None = None) -> list[str]:
    run, lava = MachineRun(machine), lava or [0.0] * len(rock)
    return [run.step({"rock": a, "lava": b}) for a, b in zip(rock, lava, strict=True)]


def test_a_state_is_entered_after_its_condition_has_held_for_as_many_frames(tmp_path: Path) -> None:
    found = played(machine(tmp_path), [0.6, 0.6, 0.4, 0.5, 0.7, 0.9, 0.9])
    assert found == ["walk"] * 5 + ["dig"] * 2


def test_it_is_left_by_its_condition_or_after_at_most_so_many_steps(tmp_path: Path) -> None:
    left = played(machine(tmp_path), [1, 1, 1, 0.1, 0.3, 0.1, 0.1, 0, 0, 0])
    assert left == ["walk"] * 2 + ["dig"] * 4 + ["rest"] * 2 + ["walk"] * 2
    timed_out = played(machine(tmp_path), [1] * 12)
    # Conditions are counted from the beginning in each state.
    assert timed_out == ["walk"] * 2 + ["dig"] * 5 + ["walk"] * 3 + ["dig"] * 2


def test_the_first_condition_of_the_file_wins_and_only_the_first_state_watches(
    tmp_path: Path,
) -> None:
    both = played(machine(tmp_path), [1] * 5, [0, 0, 1, 1, 1])
    assert both == ["walk", "walk", "dig", "dig", "dig"]
    fled = played(machine(tmp_path), [0] * 5, [1, 0, 0, 0, 1])
    assert fled == ["flee", "flee", "walk", "walk", "flee"]


def test_a_finished_script_leads_to_the_state_that_follows(tmp_path: Path) -> None:
    run = MachineRun(machine(tmp_path))
    for _ in range(3):
        run.step({"rock": 1})
    run.finish()
    assert (run.state, run.steps) == ("rest", 1)
    # It has acted on this frame, so one more is left.
    assert [run.step({}) for _ in range(2)] == ["rest", "walk"]


def test_a_head_without_a_probability_meets_no_condition(tmp_path: Path) -> None:
    run = MachineRun(machine(tmp_path))
    assert {run.step({}) for _ in range(9)} == {"walk"}
    low = Condition.model_validate(["rock", "<=", 0.5, 1])
    assert low.holds({"rock": 0.5}) and not low.holds({})


def test_thresholds_are_filled_in_and_the_result_reads_back(tmp_path: Path) -> None:
    given = machine(tmp_path, FILE.replace("0.9, 1", "tune, 1"))
    filled = given.with_thresholds({("flee", "enter"): 0.75})
    assert [(n, w, c.threshold) for n, w, c in filled.conditions()] == [
        ("dig", "enter", 0.5), ("dig", "leave", 0.2), ("flee", "enter", 0.75),
    ]  # fmt: skip
    assert Machine.model_validate_json(filled.model_dump_json(by_alias=True)) == filled
    assert Machine.model_validate_json(filled.model_dump_json()) == filled


@pytest.mark.parametrize(
    ("task", "first", "heads"),
    [("find_cave", "walker", ()), ("make_waterfall", "patrol", ("drop_ahead",))],
)
def test_tasks_have_a_default(task: str, first: str, heads: tuple[str, ...]) -> None:
    found = read_machine("", task)
    assert (found.states[found.first].policy, found.heads) == (first, heads)
    assert {state.policy for state in found.states.values()} <= {"walker", *SCRIPTS}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("policy: walker\n  dig", "polcy: walker\n  dig"), r"polcy: unknown setting; did you mean"),
        (("0.5, 3", "0.5"), r"states\.dig\.enter: expected \[head, comparison, threshold, hold\]"),
        (("0.5, 3", "1.5, 3"), r"states\.dig\.enter\.threshold: expected a probability from 0 to 1, or tune, got 1\.5"),
        (("0.5, 3", "chosen, 3"), r"states\.dig\.enter\.threshold: expected a probability .*got 'chosen'"),
        (("0.5, 3", "0.5, 0"), r"states\.dig\.enter\.hold: expected at least 1, got 0"),
        (('">=", 0.5', '">", 0.5'), r"states\.dig\.enter\.comparison: unknown option '>'.*>=, <="),
        (("at_most: 5", "at_most: true"), r"states\.dig\.at_most: expected an integer, got True"),
        (("    at_most: 5\n", ""), r"states\.dig\.at_most: expected a number of steps"),
        (("then: rest", "then: sleep"), r"states\.dig\.then: expected one of walk, dig, flee, rest, got 'sleep'"),
        (("then: rest", "then: walk"), r"states\.rest\.enter: expected a condition, since no other state leads"),
        (("policy: walker\n  dig", "policy: walker\n    at_most: 3\n  dig"), r"states\.walk\.then: expected the state"),
        (("policy: walker\n  dig", "policy: walker\n    enter: [a, '>=', 1, 1]\n  dig"), r"states\.walk\.enter: expected none"),
        (("policy: walker\n  dig", "policy: walker\n    without: [usr]\n  dig"), r"states\.walk\.without: unknown button 'usr'; did you mean 'use'"),
        ((FILE, "states: {}"), r"states: expected at least 1"),
        ((FILE, "states: [1"), r"expected YAML"),
        ((FILE, "walk"), r"machine\.yaml: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in FILE
    with pytest.raises(ConfigError, match=message) as caught:
        machine(tmp_path, FILE.replace(*change))
    assert "\n" not in str(caught.value) and "machine.yaml" in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml is not a file"):
        read_machine(tmp_path / "gone.yaml", "find_cave")
    with pytest.raises(ConfigError, match="build_village_house has no default; give machine=FILE"):
        read_machine("", "build_village_house")
