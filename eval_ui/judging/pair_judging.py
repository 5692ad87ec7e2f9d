"""The element for judging a pair: two videos in sync, the task's questions, the answer.

It is a single Streamlit component because its parts interact without the server: answers open once both
videos were watched, the keys control all of it, and the videos fill the height that the answers leave.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from basalt.core.comparisons import Winner
from basalt.core.tasks import Questions
from eval_ui.components import component
from eval_ui.judging.acts import Reply as Reply
from eval_ui.judging.acts import Undo as Undo
from eval_ui.judging.acts import show_element
from leaderboard.store.models import SkipReason

_KEY = "pair"

_element = component("basalt_pair", frame="pair.html", styles=["pair.css"], scripts=["pair.js"])


class Answer(BaseModel):
    """The browser's answer to a pair. It is untrusted: checked here, and by the store.

    Attributes:
        pair: Id of the pair.
        winner: Who did better overall.
        skip_reason: Why the pair is skipped; None for other answers.
        justification: The rater's reason.
        direct: An answer per direct question: who did it; None if left open.
        comparative: An answer per comparative question; `na` if it does not apply.
        seen: Shares of the left and right video that were played, 0 to 1.
        events: Player events: `type`, `at` (seconds), `clock` (milliseconds since 1970).
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["answer"]
    nonce: str = Field(max_length=100)
    pair: str = Field(max_length=100)
    winner: Winner
    skip_reason: SkipReason | None = None
    justification: str = Field(max_length=10_000)
    direct: tuple[Literal["left", "both", "right", "neither"] | None, ...] = Field(max_length=50)
    comparative: tuple[Literal["left", "draw", "right", "na"] | None, ...] = Field(max_length=50)
    seen: tuple[float, float]
    events: list[dict[str, Any]] = Field(max_length=1_000)

    def responses(self, questions: Questions) -> dict[str, Any]:
        """The answers to a task's questions in stored form.

        A direct question has True or False for each player, None for both if left open; a comparative
        question has `left`, `draw`, `right`, `na` or None.
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


Act = Answer | Undo

_ACT: TypeAdapter[Act] = TypeAdapter(Act)


@dataclass(frozen=True)
class PairView:
    """What the element shows.

    Attributes:
        pair: Opaque id of the pair; a new id loads new videos.
        left: URL of the left video.
        right: URL of the right video.
        title: Title of the task.
        instruction: Instruction that the players had.
        badge: Word beside the title, e.g. "practice".
        standing: Progress in words.
        share: Progress from 0 to 1.
        questions: Questions of the task that the study asks.
        required: Share of each video that must be watched, 0 to 1.
        least: Minimum length of the reason in characters; 0 makes it optional.
        undo_until: Time until which the last answer can be withdrawn, milliseconds since 1970.
    """

    pair: str
    left: str
    right: str
    title: str
    instruction: str
    badge: str | None
    standing: str
    share: float
    questions: Questions
    required: float
    least: int
    undo_until: int | None


def judge_pair(view: PairView, handle: Callable[[Act], Reply]) -> None:
    """Show the element.

    Args:
        view: What it shows.
        handle: Called with the rater's action, before the page is redrawn.
    """
    show_element(_element, _KEY, asdict(view), _ACT, handle)


def _together(
    questions: Sequence[str], answers: Sequence[str | None]
) -> list[tuple[str, str | None]]:
    """Questions with their answers; missing answers count as left open."""
    padded = [*answers, *([None] * len(questions))]
    return list(zip(questions, padded, strict=False))
