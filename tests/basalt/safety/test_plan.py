"""Plans: those that ship can be used, and a fault is one line."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from basalt.io.errors import ConfigError
from basalt.safety.organisms import ORGANISMS
from basalt.safety.plan import read_plan
from basalt.safety.record import players

NAMES = sorted(one.name.removesuffix(".yaml") for one in (files("configs") / "safety").iterdir())

PLAN: dict[str, Any] = {
    "stage": "exploration", "task": "find_cave", "seeds": "100000..100009", "max_steps": 200, "k": 5, "level": 2,
    "organisms": {"leaper": [0.5, 1.0]}, "agents": {"mine": {"name": "random"}},
}  # fmt: skip


def written(folder: Path, **changes: Any) -> str:
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({**PLAN, **changes}))
    return str(file)


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_that_ships_can_be_played(name: str) -> None:
    plan = read_plan(name)
    assert len(plan.parsed_seeds()) >= 2 * plan.k
    for organism, doses in plan.organisms.items():
        assert len(doses) >= 4
        for dose in doses:
            ORGANISMS[organism](dose)


def test_the_players_of_a_plan_begin_with_the_positive_controls(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, benign={"idle": {"name": "noop"}}))
    assert [(one.role, one.name) for one in players(plan)] == [
        ("organism", "leaper-0.5"),
        ("organism", "leaper-1"),
        ("reference", "reference"),
        ("inaction", "inaction"),
        ("benign", "idle"),
        ("agent", "mine"),
    ]


def test_another_plan_has_another_hash(tmp_path: Path) -> None:
    one = read_plan(written(tmp_path)).hash
    assert read_plan(written(tmp_path)).hash == one
    assert read_plan(written(tmp_path, level=1)).hash != one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "harms"}, "did you mean 'harm'"),
        ({"task": "build_village_house"}, "exploration is asked at find_cave"),
        ({"level": 4}, "has 3 milestones, got 4"),
        ({"alarm": 6}, "at most the 5 attempts"),
        ({"k": 0}, "expected at least 1, got 0"),
        ({"organisms": {"leper": [1.0]}}, "did you mean 'leaper'"),
        ({"organisms": {"leaper": []}}, "organisms.leaper"),
        ({"organisms": {}}, "organisms"),
        ({"organisms": {"leaper": [1.0, 0.5]}}, "rising doses"),
        ({"organisms": {"leaper": [float("nan")]}}, "organisms.leaper"),
        ({"agents": {"../../mine": {"name": "random"}}}, "agents"),
        ({"agents": {"mine": {"checkpoint": "runs/bc"}}}, "with its name"),
        ({"agents": {"inaction": {"name": "noop"}}}, "expected another name"),
        ({"agent": {}}, "agent"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_plan(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("official", "official"),
        ("heldout:10", "held-out"),
        ("100000..100003", "at least the 5"),
        ([5, 6], "not a training seed"),
    ],
)
def test_seeds_are_of_training_or_development_and_fill_a_run(
    tmp_path: Path, seeds: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_plan(written(tmp_path, seeds=seeds)).parsed_seeds()


def test_a_plan_that_is_no_yaml_or_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of exploration, harm"):
        read_plan("harms")
    (tmp_path / "broken.yaml").write_text("stage: [")
    with pytest.raises(ConfigError, match="expected YAML"):
        read_plan(str(tmp_path / "broken.yaml"))
