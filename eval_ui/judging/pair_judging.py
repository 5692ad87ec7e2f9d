"""The judge's desk: two videos in step, the task's questions, the answer; one Streamlit component.

It is one element because its parts hang together while nobody asks the server: answers open once both
videos were seen, keys serve all of it, and the videos take what height the answers leave.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from basalt.core.comparisons import Winner
from basalt.core.tasks import Questions
from eval_ui.components import component

_KEY = "desk"

_desk = component("basalt_desk", frame="desk.html", styles=["desk.css"], scripts=["desk.js"])


class Answer(BaseModel):
    """What came from the desk for a pair; the browser sent it, so it is checked here and by the store.

    Attributes:
        pair: id of the pair.
        winner: who did better.
        justification: why.
        direct: one answer a direct question: who did it, None where it was left open.
        comparative: one answer a comparative question; ``na`` where it does not apply.
        seen: share of the left and of the right video that was played.
        events: what was done with the videos: ``type``, ``at`` (seconds), ``clock`` (ms since 1970).
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["answer"]
    nonce: str = Field(max_length=100)
    pair: str = Field(max_length=100)
    winner: Winner
    justification: str = Field(max_length=10_000)
    direct: tuple[Literal["left", "both", "right", "neither"] | None, ...] = Field(max_length=50)
    comparative: tuple[Literal["left", "draw", "right", "na"] | None, ...] = Field(max_length=50)
    seen: tuple[float, float]
    events: list[dict[str, Any]] = Field(max_length=1_000)

    def responses(self, questions: Questions) -> dict[str, Any]:
        """The answers to a task's questions in the form in which they are kept.

        Each direct question with True or False for either player, None for both where it was left
        open; each comparative one with ``left``, ``draw``, ``right``, ``na`` or None.
        """
        return {
            "direct": [
                {
                    "question": question,
                    "left": None if answer is None else answer in ("left", "both"),
                    "right": None if answer is None else answer in ("right", "both"),
                }
                for question, answer in _together(questions.direct, self.direct)
            ],
            "comparative": [
                {"question": question, "answer": answer}
                for question, answer in _together(questions.comparative, self.comparative)
            ],
        }


class Undo(BaseModel):
    """The rater takes the last answer back."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["undo"]
    nonce: str = Field(max_length=100)


Act = Answer | Undo

_ACT: TypeAdapter[Act] = TypeAdapter(Act)


@dataclass(frozen=True)
class Reply:
    """What came of an act, shown on the desk.

    Attributes:
        nonce: of the act.
        text: for the rater.
        ok: False shows it as trouble.
    """

    nonce: str
    text: str
    ok: bool = True


@dataclass(frozen=True)
class DeskView:
    """What stands on the desk.

    Attributes:
        pair: opaque id of the pair; another one loads other videos.
        left, right: addresses of the videos.
        title, instruction: of the task.
        badge: a word beside the title, e.g. that this is practice.
        standing: progress in words.
        share: progress from 0 to 1.
        questions: the task's questions, or None where the study does not ask them.
        required: share of each video that must be seen.
        least: characters of the reason; 0 leaves it optional.
        undo_until: until when the last answer can be taken back, milliseconds since 1970.
    """

    pair: str
    left: str
    right: str
    title: str
    instruction: str
    badge: str | None
    standing: str
    share: float
    questions: Questions | None
    required: float
    least: int
    undo_until: int | None


def desk(view: DeskView, handle: Callable[[Act], Reply]) -> None:
    """Show the desk.

    Args:
        view: what stands on it.
        handle: called with what the rater did, before the page is drawn anew.
    """

    def on_act() -> None:
        sent = (st.session_state.get(_KEY) or {}).get("act")
        if not isinstance(sent, Mapping):
            return
        try:
            reply = handle(_ACT.validate_python(dict(sent)))
        except ValidationError as err:
            field = ".".join(str(part) for part in err.errors()[0]["loc"])
            reply = Reply(str(sent.get("nonce"))[:100], f"not stored: {field} is malformed", False)
        st.session_state["reply"] = reply

    reply: Reply | None = st.session_state.get("reply")
    questions = view.questions or Questions((), ())
    _desk(
        # One element for all pairs: the page does not jump when the next one comes.
        key=_KEY,
        data={
            "pair": view.pair,
            "left": view.left,
            "right": view.right,
            "title": f"{view.title}: which player did better?",
            "instruction": view.instruction,
            "badge": view.badge,
            "progress": {"text": view.standing, "share": view.share},
            "direct": list(questions.direct),
            "comparative": list(questions.comparative),
            "required": view.required,
            "reason": {
                "least": view.least,
                "placeholder": "Why? In your own words (W)"
                if view.least
                else "Why? Optional, in your own words (W)",
            },
            "undo": {"until": view.undo_until} if view.undo_until else None,
            "reply": {"nonce": reply.nonce, "text": reply.text, "ok": reply.ok} if reply else None,
        },
        on_act_change=on_act,
    )


def _together(
    questions: Sequence[str], answers: Sequence[str | None]
) -> list[tuple[str, str | None]]:
    """Questions with their answers; what was not sent counts as left open."""
    padded = [*answers, *([None] * len(questions))]
    return list(zip(questions, padded, strict=False))
