"""Every question has its row in the table, and every fact in it is one that the task reports."""

import pytest

from basalt.core.relevance import ENDED_BY_PLAYER, OVERALL, RELEVANT, presence, relevant_facts
from basalt.core.tasks import TASKS
from basalt.core.telemetry import Telemetry


def test_every_task_is_in_the_table() -> None:
    assert RELEVANT.keys() == TASKS.keys()


@pytest.mark.parametrize("name", TASKS)
def test_every_question_has_its_facts(name: str) -> None:
    task = TASKS[name]
    asked = (OVERALL, *task.questions.direct, *task.questions.comparative)
    assert list(RELEVANT[name]) == list(asked)
    for facts in RELEVANT[name].values():
        known = {*task.facts, *Telemetry.model_fields, ENDED_BY_PLAYER}
        assert not facts.keys() - known
        assert set(facts.values()) <= {1, -1}


@pytest.mark.parametrize("name", TASKS)
def test_success_is_relevant_to_which_did_better(name: str) -> None:
    task = TASKS[name]
    needed = task.success.needed_fact if task.success else None
    assert relevant_facts(name, OVERALL)[ENDED_BY_PLAYER] == 1
    # The pen's needed fact is text about what `pen_most_of_a_kind` counts.
    assert needed in relevant_facts(name, OVERALL) or needed == "pen_animals"


def test_nothing_is_relevant_to_an_unknown_question() -> None:
    assert relevant_facts("find_cave", "Which player was taller?") == {}
    assert relevant_facts("theirs", OVERALL) == {}


def test_a_value_says_whether_there_is_something() -> None:
    assert [presence(value) for value in (True, 2, 0.5, False, 0, "", "cow 2")] == [1, 1, 1, -1, -1, 0, 0]  # fmt: skip
