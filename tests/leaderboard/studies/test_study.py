"""Rules of studies, and their names."""

from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from basalt.core.tasks import TASKS
from basalt.io.errors import ConfigError, StudyError
from leaderboard.store.database import Store, open_store
from leaderboard.studies.rules import (
    StudyRules,
    create_study,
    demo_study,
    find_study,
    free_study_name,
    list_studies,
    official_study,
)
from leaderboard.studies.settings import open_official_study
from leaderboard.submissions.references import open_playable_study

RULES = demo_study({"FindCave": [100_001]}, "luanti", "5.6.1")


def test_the_demo_study_is_cut_at_400_steps() -> None:
    assert RULES.tasks["find_cave"].step_limit == 400
    assert RULES.tasks["find_cave"].seeds == (100_001,)


def test_the_official_study_asks_for_11_seeds_of_each_task_at_full_length() -> None:
    rules = official_study("luanti", "5.6.1")
    assert {name: (len(task.seeds), task.step_limit) for name, task in rules.tasks.items()} == {
        name: (11, task.step_limit) for name, task in TASKS.items()
    }
    assert rules.ask_questions


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": {}},
        {"tasks": {"find_diamond": {"seeds": [1], "step_limit": 5}}},
        {"tasks": {"find_cave": {"seeds": [1, 1], "step_limit": 5}}},
        {"tasks": {"find_cave": {"seeds": [-1], "step_limit": 5}}},
        {"tasks": {"find_cave": {"seeds": [2**63], "step_limit": 5}}},
        {"tasks": {"find_cave": {"seeds": [1], "step_limit": 0}}},
        {"sources": ["oracle"]},
        {"colour": "red"},
        {"version": 2},
    ],
)
def test_senseless_rules_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StudyRules.model_validate(RULES.model_dump(mode="json") | change)


def test_unknown_tasks_are_named() -> None:
    with pytest.raises(ConfigError, match="find_cav"):
        demo_study({"find_cav": [1]}, "luanti", "1")


def test_rules_come_back_as_they_were_stored(store: Store) -> None:
    official = official_study("luanti", "5.6.1")
    create_study(store, "official", official)
    create_study(store, "small", RULES)
    assert find_study(store, "official").rules == official
    assert find_study(store).name == "small"
    assert [study.name for study in list_studies(store)] == ["small", "official"]


def test_a_taken_name_is_refused_and_a_free_one_offered(store: Store) -> None:
    assert free_study_name(store, "demo") == "demo"
    create_study(store, "demo", RULES)
    with pytest.raises(StudyError, match="exists already"):
        create_study(store, "demo", RULES)
    assert free_study_name(store, "demo") == "demo 2"
    create_study(store, "demo 2", RULES)
    assert free_study_name(store, "demo") == "demo 3"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00b", "x" * 65, "‮evil"])
def test_names_that_cannot_be_shown_are_refused(store: Store, name: str) -> None:
    with pytest.raises(StudyError, match="study name"):
        create_study(store, name, RULES)


def test_unknown_and_missing_studies_are_explained(store: Store) -> None:
    with pytest.raises(StudyError, match="has no studies yet"):
        find_study(store)
    create_study(store, "small", RULES)
    with pytest.raises(StudyError, match=r"'big'.*there are: 'small'"):
        find_study(store, "big")


def test_the_official_study_takes_each_tasks_version_from_its_first_submission(
    store: Store,
) -> None:
    first = open_official_study(store, "luanti", {"find_cave": "a"})
    assert first.rules.version_of("find_cave") == "a"
    assert first.rules.version_of("make_waterfall") is None
    widened = open_official_study(store, "luanti", {"find_cave": "a", "make_waterfall": "b"})
    assert widened.id == first.id and widened.rules.version_of("make_waterfall") == "b"
    assert find_study(store, first.name).rules == widened.rules
    other = open_official_study(store, "luanti", {"make_waterfall": "c"})
    assert other.id != first.id and other.rules.version_of("find_cave") is None
    assert open_official_study(store, "luanti", {"find_cave": "a"}).id in (first.id, other.id)


def test_a_study_made_when_all_tasks_had_one_version_still_opens(store: Store) -> None:
    old = create_study(store, "official luanti 1", official_study("luanti", "1"))
    assert old.rules.version_of("find_cave") == old.rules.version_of("make_waterfall") == "1"
    assert open_official_study(store, "luanti", {"find_cave": "1"}).id == old.id
    new = open_official_study(store, "luanti", {"find_cave": "2"})
    assert new.id != old.id and new.rules.version_of("find_cave") == "2"


def test_an_official_study_under_other_rules_is_not_taken_for_the_official_one(
    store: Store,
) -> None:
    rules = demo_study({"find_cave": [1]}, "luanti", {"find_cave": "a"})
    other = create_study(store, "official luanti trial", rules)
    assert open_official_study(store, "luanti", {"find_cave": "a"}).id != other.id


def test_the_official_study_is_recognised_by_its_rules_whatever_its_name(store: Store) -> None:
    rules = official_study("luanti", {"find_cave": "a"})
    renamed = create_study(store, "spring round", rules)
    for name, changes in {
        "official luanti 1": {"ask_questions": False},
        "official luanti 2": {"sources": ("human", "bedd")},
        "official luanti 3": {"world": "minerl"},
    }.items():
        create_study(store, name, rules.model_copy(update=changes))
    assert open_official_study(store, "luanti", {"find_cave": "a"}) == renamed


def test_reference_players_enter_a_study_whose_tasks_have_no_version_yet(
    tmp_path: Path,
) -> None:
    rules = demo_study(
        {"find_cave": [1], "make_waterfall": [1]}, "luanti", {"find_cave": "find_cave-1"}
    )
    place = str(tmp_path / "board.sqlite")
    with closing(open_store(place)) as store:
        made = create_study(store, "two", rules)
    opened, study = open_playable_study("two", place, "luanti", lambda task: f"{task.name}-1")
    opened.close()
    assert study == made
