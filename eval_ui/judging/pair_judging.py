"""The element for judging a pair: two videos in sync, the task's questions, the answer.

It is a single Streamlit component because its parts interact without the server: answers open once both
videos were watched, the keys control all of it, and the videos fill the height that the answers leave.
"""

from dataclasses import asdict, dataclass

from basalt.core.tasks import Questions
from eval_ui.components import component

_element = component(
    "basalt_pair", frame="pair.html", styles=["pair.css"], scripts=["outbox.js", "pair.js"]
)


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
        scale: Answers to the last question, see `leaderboard.studies.settings.JudgingSettings`.
        least: Minimum length of the reason in characters; 0 makes it optional.
        undo: Id of the last answer, if it can be withdrawn.
        undo_until: Time until which it can, milliseconds since 1970.
        earlier: Ids under which the pair was shown before its answer was withdrawn.
        ticket: What the page sends with the rater's acts, see `eval_ui.judging.acts.rater_ticket`.
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
    scale: str
    least: int
    undo: str | None
    undo_until: int | None
    earlier: tuple[str, ...]
    ticket: str


def judge_pair(view: PairView) -> None:
    """Show the element; what the rater does goes to `eval_ui.judging.routes`, and draws the page again."""
    # The same key for all pairs, so that the page does not jump when the next one comes.
    _element(key="pair", data=asdict(view), on_next_change=lambda: None)
