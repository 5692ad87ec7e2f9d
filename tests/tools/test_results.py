"""The page of results is what its records say: nothing else, nothing of it by hand, and no two worlds in one table."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from basalt.core.scoring import ENDED_THERE
from basalt.core.tasks import get_task, parse_seeds
from basalt.io.errors import ConfigError
from basalt.rollouts.evaluation import FILE, EvaluatedEpisode, Evaluation
from tests.support.command_lines import fault
from tools.results import BEGIN, END, PAGE, RECORDS, TABLES, add, load, tables, with_tables

CAVE = get_task("find_cave")
NAMES = [*(one.name for one in CAVE.milestones), ENDED_THERE]


def record(successes: int, seeds: str = "heldout:100", **changes: Any) -> Evaluation:
    """An evaluation with successes at the first seeds; who succeeds has reached every milestone."""
    episodes = tuple(
        EvaluatedEpisode(
            seed=seed, play="played", ended="esc", steps=100, success=n < successes, harm={"deaths": 0},
            milestones=dict.fromkeys(NAMES, n < successes),
        )
        for n, seed in enumerate(parse_seeds(seeds, CAVE))
    )  # fmt: skip
    facts: dict[str, Any] = {
        "agent": {"name": "random", "seed": 0, "steps": 200}, "agent_hash": "a" * 64, "kind": "random", "learns": False,
        "training_seed": None, "task": "find_cave", "world": "luanti", "world_version": "luanti-1",
        "world_args": {}, "edit": None, "step_limit": 1800, "finished": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Evaluation(episodes=episodes, **(facts | changes))


def learner(
    successes: int, training: int, seeds: str = "heldout:100", **changes: Any
) -> Evaluation:
    own = {
        "agent": {"name": "bc", "checkpoint": f"runs/bc-{training}", "stop": "runs/ending"}, "agent_hash": str(training) * 64,
        "kind": "agent", "learns": True, "training_seed": training,
    }  # fmt: skip
    return record(successes, seeds, **(own | changes))


def put(folder: Path, table: str, row: str, *records: Evaluation) -> None:
    for n, one in enumerate(records):
        source = folder.parent / f"source-{n}"
        one.write(source / FILE)
        add(folder, table, row, [source])


def page(folder: Path) -> str:
    return tables(load(folder))


def section(text: str, title: str) -> str:
    return text.split(f"### {title}\n")[1].split("\n### ")[0]


def test_the_page_is_what_its_records_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text, load(RECORDS)) == text, "write it: python -m tools.results"


def test_a_figure_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "explored", "random", record(3, "dev:30"))
    text = with_tables(f"# Results\n\n{BEGIN}\n{END}\n\nMore.\n", load(folder))
    assert text.startswith("# Results\n\n") and text.endswith(f"{END}\n\nMore.\n")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    for digit in re.finditer(r"\d", text[begin:end]):
        at = begin + digit.start()
        edited = text[:at] + str(9 - int(digit[0])) + text[at + 1 :]
        assert with_tables(edited, load(folder)) == text != edited


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected once, in this order"):
        with_tables(text, {})


def test_without_records_every_row_is_missing(tmp_path: Path) -> None:
    text = page(tmp_path)
    for table in TABLES:
        for task in table.tasks:
            rows = ", ".join(row.title for row in table.rows)
            assert f"**{get_task(task).env_id}** is not finished; missing: {rows}." in section(
                text, table.title
            )


def test_a_row_shows_its_figures_and_the_command_that_plays_them(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "confirmed", "random", record(30))
    text = section(page(folder), "Confirmed")
    assert "**FindCave**, world version `luanti-1`, at most 1,800 steps an episode:" in text
    assert "| random | 100 | 30% (22% to 40%) | 30% (22% to 40%) |" in text
    assert "| [`aaaaaaaa`](results/luanti-1/confirmed-find_cave-random.json) |" in text
    (command,) = re.findall(r"^basalt .*$", text, re.MULTILINE)
    assert command == "basalt evaluate agent=random task=find_cave seeds=heldout:100 max_steps=1800"
    assert fault(command) is None
    assert "missing: demonstrator, bc with a stopping head, the best other learner." in text


def test_settings_that_are_not_the_defaults_are_in_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    mine = record(
        3,
        "200000..200009",
        agent={"name": "random", "seed": 4, "steps": 200},
        world_args={"size": [128, 72]},
    )
    put(folder, "explored", "random", mine)
    (command,) = re.findall(r"^basalt .*$", page(folder), re.MULTILINE)
    assert command == (
        "basalt evaluate agent=random agent.seed=4 task=find_cave +world.args.size=[128,72] seeds=dev:10 max_steps=1800"
    )
    assert fault(command) is None


def test_an_unfinished_row_says_what_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "confirmed", "random", record(3, "230000..230009"))
    put(folder, "confirmed", "bc_ending", learner(50, 0), learner(60, 1))
    text = section(page(folder), "Confirmed")
    assert (
        "missing: random (10 of 100 seeds), demonstrator, bc with a stopping head (2 of 3 training runs)"
        in text
    )


def test_several_training_runs_are_one_row_and_are_judged_by_the_rule(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "confirmed", "random", record(5))
    put(folder, "confirmed", "bc_ending", *(learner(n, k) for k, n in enumerate((40, 50, 60))))
    text = section(page(folder), "Confirmed")
    assert "| bc with a stopping head | 100 x 3 runs | 50% (40% to 60%) |" in text
    assert (
        "- **bc with a stopping head beats random**: difference of success +45.0% (95% interval"
        in text
    )
    assert "agent=bc checkpoint=runs/bc-2 agent.stop=runs/ending task=find_cave" in text


def test_what_is_explored_claims_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "explored", "random", record(0, "dev:30"))
    put(folder, "explored", "bc_ending", learner(30, 0, "dev:30"))
    text = section(page(folder), "Explored")
    assert text.startswith("\nExplored, no claim: ") and "100% (89% to 100%)" in text
    assert "beat" not in text


def test_two_sizes_are_compared_seed_by_seed_without_a_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    put(folder, "sizes", "at_640x360", learner(30, 0, "dev:50"))
    put(folder, "sizes", "at_128x72", learner(20, 0, "dev:50", world_args={"size": [128, 72]}))
    text = section(page(folder), "Sizes of frames")
    assert (
        "- bc at 128x72 minus bc at 640x360: -20.0% (95% interval" in text
        and "50 paired seeds" in text
    )


def test_world_versions_are_never_mixed(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    later = {"world_version": "luanti-0", "finished": datetime(2026, 2, 1, tzinfo=UTC)}
    put(folder, "confirmed", "random", record(5))
    put(folder, "confirmed", "bc_ending", *(learner(90, k, **later) for k in range(3)))
    text = page(folder)
    now = section(text, "Confirmed")
    assert "`luanti-0`" in now and "`luanti-1`" not in now and "beats" not in text
    assert "missing: random, demonstrator, the best other learner." in now
    before = section(text, "Earlier world versions")
    assert "`luanti-1`" in before and "| random | 100 |" in before and "missing" not in before


@pytest.mark.parametrize(
    ("table", "row", "one", "expected"),
    [
        ("confirmed", "random", record(1, "dev:30"), "heldout seeds"),
        ("explored", "random", record(1, "heldout:30"), "dev seeds"),
        ("explored", "random", record(1, "dev:30", step_limit=3600), "step limit 1800"),
        ("explored", "noop", record(1, "dev:30"), "agent noop"),
        ("explored", "random", record(1, "dev:30", learns=True), "an agent that does not learn"),
        ("explored", "bc_ending", learner(1, 0, "dev:30", learns=False), "an agent that learns"),
        ("explored", "random", record(1, "dev:30", edit={"item": "torch"}), "no change of the world"),
        (
            "explored", "bc_ending", learner(1, 0, "dev:30", agent={"name": "bc", "checkpoint": "/home/me/bc"}),
            "paths inside the folder of the command",
        ),
        (
            "explored", "knowing", record(1, "dev:30", agent={"name": "demonstrator", "knowing": False}),
            "agent.knowing=true",
        ),
        (
            "explored", "demonstrator",
            record(1, "dev:30", agent={"name": "demonstrator", "knowing": True, "noise": False}), "agent.knowing=false",
        ),
        (
            "explored", "bc_ending", learner(1, 0, "dev:30", agent={"name": "bc", "stop": None}), "a setting agent.stop",
        ),
        ("explored", "bc_sampled", learner(1, 0, "dev:30"), "agent.esc=hazard"),
        ("explored", "nobody", record(1, "dev:30"), "a table and one of its rows"),
        ("villages", "random", record(1, "dev:30"), "task create_village_animal_pen or build_village_house"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_its_place_is_refused(
    tmp_path: Path, table: str, row: str, one: Evaluation, expected: str
) -> None:
    with pytest.raises(ConfigError, match=f"expected .*{re.escape(expected)}"):
        put(tmp_path / "records", table, row, one)
    assert not (tmp_path / "records").exists()


def test_a_file_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    record(1, "dev:30").write(folder / "luanti-2" / "explored-find_cave-random.json")
    with pytest.raises(
        ConfigError, match=r"expected as .*luanti-1/explored-find_cave-random\.json; move it"
    ):
        load(folder)
    (folder / "luanti-2" / "explored-find_cave-random.json").rename(folder / "notes.txt")
    with pytest.raises(ConfigError, match="expected a table and one of its rows"):
        load(folder)


def test_another_agents_record_is_not_replaced_and_more_seeds_of_the_same_are(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "records"
    put(folder, "explored", "random", record(1, "dev:30"))
    with pytest.raises(ConfigError, match="has another agent; remove that, or leave this out"):
        put(folder, "explored", "random", record(1, "dev:30", agent_hash="b" * 64))
    put(folder, "explored", "random", record(1, "dev:50"))
    for n, one in enumerate(
        (learner(1, 0, "dev:30"), learner(1, 0, "dev:30", agent_hash="b" * 64))
    ):
        one.write(tmp_path / f"same-{n}" / FILE)
    with pytest.raises(ConfigError, match=r"different training runs, got several for .*-0\.json"):
        add(folder, "explored", "bc_ending", [tmp_path / "same-0", tmp_path / "same-1"])
    assert "| random | 50 |" in page(folder)
