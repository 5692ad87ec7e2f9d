"""What a rater is shown of a pair, on the page and in the reply to the answer before it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from basalt.core.tasks import Questions, get_task
from eval_ui.texts import Texts
from leaderboard.http.video_urls import pair_videos
from leaderboard.judging.assignments import ServedPair
from leaderboard.judging.rater_view import RaterView
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import asked_questions


@dataclass(frozen=True)
class PairView:
    """What the element shows.

    Attributes:
        pair: Opaque id of the pair; a new id loads new videos.
        left: URL of the left video.
        right: URL of the right video.
        language: Language of the texts, see `eval_ui.texts`.
        title: Title of the page.
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
    language: str
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


def pair_view(
    store: Store, study: StudyInfo, view: RaterView, pair: ServedPair, ticket: str
) -> PairView:
    """What the rater sees of a served pair.

    Args:
        store: Leaderboard.
        study: Study of the pair.
        view: The rater's place in the study.
        pair: The pair.
        ticket: The rater's, see `eval_ui.judging.acts.rater_ticket`.
    """
    task = get_task(pair.task)
    settings = view.settings
    videos = pair_videos(store, pair)
    done = view.status.answered
    # Attention checks may come on top; the count of pairs does not reveal which ones they are.
    total = max(view.total, done + 1)
    if pair.qualification:
        done, total = view.status.qualification.answered, view.status.qualification.pairs
    say = Texts(settings.language)
    standing = "pair.practised" if pair.qualification else "pair.judged"
    return PairView(
        pair=pair.assignment_id,
        left=videos.left,
        right=videos.right,
        language=say.language,
        title=say("pair.title", task=task.title),
        instruction=task.instruction,
        badge=say("pair.practice_badge") if pair.qualification else None,
        standing=say(standing, done=done, total=total),
        share=done / max(total, 1),
        questions=asked_questions(study, settings, pair.task),
        required=settings.watch_share,
        scale=settings.scale,
        least=settings.reason_characters,
        undo=view.undoable,
        undo_until=undo_time(view.undoable_until),
        earlier=pair.earlier,
        ticket=ticket,
    )


def undo_time(until: datetime | None) -> int | None:
    """Time until which the last answer can be withdrawn, milliseconds since 1970; None if it no longer can."""
    return (
        int(until.timestamp() * 1000) if until is not None and until > datetime.now(UTC) else None
    )
