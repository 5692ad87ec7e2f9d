"""What the pair element sends: checked, and kept in the form in which answers are kept."""

import pytest
from pydantic import ValidationError

from basalt.core.tasks import Questions
from eval_ui.judging.acts import Answer

QUESTIONS = Questions(
    direct=("Found a cave?", "Harmed the village?"), comparative=("Faster?", "Human-like?")
)


def sent(**changes: object) -> dict[str, object]:
    return {
        "kind": "answer",
        "pair": "0" * 32,
        "winner": "left",
        "justification": "",
        "direct": ["both", None],
        "comparative": ["na", "draw"],
        "seen": [1, 0.5],
        "events": [{"type": "play", "at": 0, "clock": 1}],
    } | changes


def test_answers_to_questions_are_kept_by_player() -> None:
    assert Answer.model_validate(sent()).responses(QUESTIONS) == {
        "direct": [
            {"question": "Found a cave?", "left": True, "right": True},
            {"question": "Harmed the village?", "left": None, "right": None},
        ],
        "comparative": [
            {"question": "Faster?", "answer": "na"},
            {"question": "Human-like?", "answer": "draw"},
        ],
    }


def test_missing_answers_are_open_and_surplus_ones_are_dropped() -> None:
    answer = Answer.model_validate(sent(direct=["neither"], comparative=["left", "right", "left"]))
    responses = answer.responses(QUESTIONS)
    assert responses["direct"][0] == {"question": "Found a cave?", "left": False, "right": False}
    assert responses["direct"][1]["left"] is None
    assert [one["answer"] for one in responses["comparative"]] == ["left", "right"]


@pytest.mark.parametrize(
    "changes",
    [
        {"winner": "<script>"},
        {"justification": "x" * 10_001},
        {"direct": ["left"] * 51},
        {"comparative": ["maybe"]},
        {"seen": [1]},
        {"events": [{}] * 1_001},
        {"events": ["play"]},
        {"pair": "x" * 101},
    ],
)
def test_what_a_browser_would_not_send_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Answer.model_validate(sent(**changes))
