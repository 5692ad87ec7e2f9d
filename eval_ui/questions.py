"""The tasks' own questions about a pair, all optional."""

from typing import Any

import streamlit as st

from basalt.tasks import Task

_SIDES = {"left": "Left", "right": "Right"}
_ANSWERS = {"left": "Left", "draw": "Draw", "right": "Right"}


def ask_questions(task: Task, pair: str) -> None:
    """Show the questions of a task, folded."""
    with st.expander("More questions about this pair (optional; answer them before you decide)"):
        for number, question in enumerate(task.questions.direct):
            st.pills(
                question,
                list(_SIDES),
                selection_mode="multi",
                format_func=_SIDES.__getitem__,
                key=_key(pair, "direct", number),
            )
        for number, question in enumerate(task.questions.comparative):
            st.segmented_control(
                question,
                list(_ANSWERS),
                format_func=_ANSWERS.__getitem__,
                key=_key(pair, "comparative", number),
            )


def responses(task: Task, pair: str) -> dict[str, Any]:
    """What was answered: each direct question for both players, each comparative one or None."""
    state = st.session_state
    return {
        "direct": [
            {"question": question}
            | {side: side in (state.get(_key(pair, "direct", number)) or ()) for side in _SIDES}
            for number, question in enumerate(task.questions.direct)
        ],
        "comparative": [
            {"question": question, "answer": state.get(_key(pair, "comparative", number))}
            for number, question in enumerate(task.questions.comparative)
        ],
    }


def _key(pair: str, kind: str, number: int) -> str:
    return f"{kind}-{number}-{pair}"
