"""What raters do on the pages for judging, as their browser sends it: checked, carried out, and answered by a reply.

It comes by HTTP (`eval_ui.judging.routes`), not through the page's session, which ends when the connection is lost or the
server is started again: the browser sends it until it is answered. So each act may come twice, and counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from basalt.core.comparisons import Strength, Winner
from basalt.core.tasks import Questions
from basalt.io.errors import BasaltError
from eval_ui.judging.pair_view import PairView, pair_view
from eval_ui.texts import Texts
from leaderboard.http.faults import FAULTS
from leaderboard.http.video_urls import pair_videos
from leaderboard.judging.assignments import renew, reserve_ahead
from leaderboard.judging.clip_answers import answer_clips, undo_clips
from leaderboard.judging.clip_queue import next_clips
from leaderboard.judging.judgments import answer_pair, task_of_pair, undo_last
from leaderboard.judging.rater_view import next_view
from leaderboard.judging.raters import require_present
from leaderboard.store.database import Store
from leaderboard.store.models import SkipReason
from leaderboard.studies.access import AccessDeniedError, TooManyRequestsError, store_secret
from leaderboard.studies.rules import StudyInfo, get_study
from leaderboard.studies.settings import asked_questions, get_settings

TICKET_DAYS = 30
"""Days after which what a page sends is no longer taken."""


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Answer(_Sent):
    """The browser's answer to a pair. It is untrusted: checked here, and by the store.

    Attributes:
        pair: Id of the pair.
        winner: Who did better overall.
        skip_reason: Why the pair is skipped; None for other answers.
        strength: How much better the winner is; None where the study does not ask.
        justification: The rater's reason.
        direct: An answer per direct question: who did it; None if left open.
        comparative: An answer per comparative question; `na` if it does not apply.
        seen: Shares of the left and right video that were played, 0 to 1.
        events: Player events: `type`, `at` (seconds), `clock` (milliseconds since 1970).
    """

    kind: Literal["answer"]
    pair: str = Field(max_length=100)
    winner: Winner
    skip_reason: SkipReason | None = None
    strength: Strength | None = None
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


class ClipAnswer(_Sent):
    """The browser's answer to a pair of clips. It is untrusted: checked here, and by the store.

    Attributes:
        pair: Id of the pair.
        winner: Which clip is better.
        skip_reason: Why the pair is skipped; None for other answers.
        seconds: Time from when the pair could be played to the answer.
        speed: Playback speed.
    """

    kind: Literal["clip_answer"]
    pair: str = Field(max_length=100)
    winner: Winner
    skip_reason: SkipReason | None = None
    seconds: float = Field(ge=0, allow_inf_nan=False)
    speed: float = Field(gt=0, allow_inf_nan=False)


class Undo(_Sent):
    """The rater withdraws the last answer.

    Attributes:
        answer: Id of that answer: sent twice, it does not withdraw the one before.
    """

    kind: Literal["undo"]
    answer: str = Field(max_length=100)


class Renewal(_Sent):
    """The page is still open.

    Attributes:
        pair: Id of the pair on screen.
        idle: Whether nobody has done anything there for some minutes.
    """

    kind: Literal["renew"]
    pair: str = Field(max_length=100)
    idle: bool = False


class Ahead(_Sent):
    """The videos of the pair on screen are loaded; the next ones can be.

    Attributes:
        pair: Id of the pair on screen.
    """

    kind: Literal["ahead"]
    pair: str = Field(max_length=100)


Act = Answer | ClipAnswer | Undo | Renewal | Ahead

ACTS: TypeAdapter[Act] = TypeAdapter(Annotated[Act, Field(discriminator="kind")])


@dataclass(frozen=True)
class Reply:
    """The result of an act, shown to the rater.

    Attributes:
        text: Message for the rater.
        ok: False shows the message as an error.
        stored: Whether the act was carried out; the page then continues with the next pair.
        hold: Whether the pair stays on screen with the message until the rater continues.
        next: The pair to show now; None if the page has to be drawn again to know.
        load: URLs of videos to load ahead, which the next pair will show.
    """

    text: str
    ok: bool = True
    stored: bool = True
    hold: bool = False
    next: PairView | None = None
    load: tuple[str, ...] = ()


def rater_ticket(store: Store, study: StudyInfo, rater_id: str) -> str:
    """What a page shows for its acts: signed, so that they are those of its rater, in its study, whatever comes between."""
    return str(_serializer(store).dumps([study.id, rater_id]))


def holder_of_ticket(store: Store, ticket: str) -> tuple[StudyInfo, str]:
    """The study and the rater of a page.

    Raises:
        AccessDeniedError: The ticket is forged or older than `TICKET_DAYS`, or the rater's personal data was erased.
    """
    try:
        study_id, rater_id = _serializer(store).loads(ticket, max_age=TICKET_DAYS * 86_400)
    except (BadData, ValueError, TypeError) as err:
        raise AccessDeniedError("this page is too old; reload it", "page_old") from err
    require_present(store, rater_id)
    return get_study(store, study_id), rater_id


def perform(store: Store, study: StudyInfo, rater_id: str, act: Act) -> Reply:
    """Carry out an act; what the rules refuse is a reply that says why.

    Raises:
        TooManyRequestsError: More answers in a minute than the study allows; the act can be sent again.
        BasaltError: The database or the disk failed; the act can be sent again.
    """
    say = Texts(get_settings(store, study).language)
    try:
        match act:
            case Answer():
                return _answer(store, study, rater_id, act, say)
            case ClipAnswer():
                return _answer_clips(store, study, rater_id, act, say)
            case Undo():
                undo = undo_clips if study.rules.clips else undo_last
                undo(store, study, rater_id, answer=act.answer)
                return Reply(
                    say("sending.withdrawn"),
                    next=_next(store, study, rater_id),
                )
            case Renewal() if study.rules.clips:
                next_clips(store, study, rater_id)  # which renews those that are reserved
                return Reply("")
            case Renewal():
                return Reply("", stored=renew(store, study, rater_id, act.pair, idle=act.idle))
            case Ahead():
                ahead = reserve_ahead(store, study, rater_id, act.pair)
                videos = None if ahead is None else pair_videos(store, ahead)
                return Reply("", load=(videos.left, videos.right) if videos else ())
    except (TooManyRequestsError, *FAULTS):
        raise
    except BasaltError as err:
        return Reply(say.refusal(err), ok=False, stored=False)


def _answer(store: Store, study: StudyInfo, rater_id: str, answer: Answer, say: Texts) -> Reply:
    task = task_of_pair(store, answer.pair)
    asked = Questions((), ())
    if task is not None:
        asked = asked_questions(study, get_settings(store, study), task)
    feedback = answer_pair(
        store,
        answer.pair,
        rater_id,
        answer.winner,
        justification=answer.justification,
        responses=answer.responses(asked) if asked.direct or asked.comparative else {},
        video_events=answer.events,
        watched=answer.seen,
        skip_reason=answer.skip_reason,
        strength=answer.strength,
    ).feedback
    if feedback is None:
        saved = "sending.skipped" if answer.winner == "skip" else "sending.saved"
        return Reply(say(saved), next=_next(store, study, rater_id))
    verdict = "correct" if feedback.right else f"expected_{feedback.expected}"
    text = say(f"sending.{verdict}")
    return Reply(f"{text} {feedback.explanation}".strip(), ok=feedback.right, hold=True)


def _next(store: Store, study: StudyInfo, rater_id: str) -> PairView | None:
    """The pair that follows, so that it is on screen without the page being drawn again; None after the last one."""
    if study.rules.clips:
        return None
    try:
        view, pair = next_view(store, study, rater_id)
    except BasaltError:  # the act was carried out, and what is wrong now is the page's to say
        return None
    if pair is None:
        return None
    return pair_view(store, study, view, pair, rater_ticket(store, study, rater_id))


def _answer_clips(
    store: Store, study: StudyInfo, rater_id: str, answer: ClipAnswer, say: Texts
) -> Reply:
    dropped = answer_clips(
        store,
        study,
        answer.pair,
        rater_id,
        answer.winner,
        seconds=answer.seconds,
        speed=answer.speed,
        skip_reason=answer.skip_reason,
    )
    if dropped:
        return Reply(say("sending.not_counted"), ok=False)
    return Reply(say("sending.saved"))


def _together(
    questions: Sequence[str], answers: Sequence[str | None]
) -> list[tuple[str, str | None]]:
    """Questions with their answers; missing answers count as left open."""
    padded = [*answers, *([None] * len(questions))]
    return list(zip(questions, padded, strict=False))


def _serializer(store: Store) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(store_secret(store, "rater page"), salt="rater page")
