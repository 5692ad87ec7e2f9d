"""The Compare clips page, run by Streamlit without a browser; an action of the element is passed on as the browser sends it."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

import eval_ui
from basalt.feedback.ask import AskConfig, ask
from eval_ui import session
from eval_ui.judging.acts import Reply
from eval_ui.judging.clip_comparing import ClipsView
from leaderboard.judging.clip_queue import next_clips, queue_state
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import Store
from leaderboard.store.models import ClipAnswer as StoredAnswer
from leaderboard.store.models import ClipShowing
from leaderboard.studies.access import add_admin, command_line_admin, log_in
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings
from tests.support.clip_recordings import record_cave
from tests.support.clip_study import put, questions
from tests.support.element import Element

MAIN = Path(eval_ui.__file__).with_name("main.py")
ADMIN = command_line_admin()
PASSWORD = "correct horse battery"


class Comparing(Element[ClipsView]):
    def answer(self, winner: str = "left", pair: str | None = None) -> Reply:
        return self.do(
            kind="clip_answer", winner=winner, seconds=9, speed=1,
            skip_reason="no_opinion" if winner == "skip" else None,
            pair=pair or self.shown.pairs[0].pair,
        )  # fmt: skip


@pytest.fixture
def comparing(monkeypatch: pytest.MonkeyPatch) -> Comparing:
    stand_in = Comparing()
    monkeypatch.setattr("eval_ui.judging.clip_comparing.compare_clips", stand_in)
    return stand_in


@pytest.fixture(autouse=True)
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cookies of the browser; without one there are none."""
    kept = {session.RATER_COOKIE: "the tests' secret"}
    monkeypatch.setattr(session, "browser_cookie", kept.get)
    return kept


@pytest.fixture
def clips(empty_store: Store, tmp_path: Path) -> StudyInfo:
    """A study of four pairs of clips, without checks, whose answers are never too fast."""
    for player in ("Quartzwalker", "Zamioculcas"):
        record_cave(tmp_path / "played", 100_001, player=player, cave_from=30)
    ask(
        AskConfig(
            task="find_cave", recordings=(str(tmp_path / "played"),), n=4, clip=2,
            store=str(empty_store.engine.url.database), progress=False,
        )
    )  # fmt: skip
    study = find_study(empty_store)
    change_settings(empty_store, study, ADMIN, check_share=0.0, overlap_share=0.0)
    return study


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests answer at once."""
    monkeypatch.setattr("leaderboard.judging.clip_answers.FLOOR_SPEED", float("inf"))


def opened() -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    show(run(app), "compare")
    for button in app.button:
        if button.label == "Begin" and not button.disabled:
            button.click()
            return run(app)
    return app


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def show(app: AppTest, page: str) -> AppTest:
    app.switch_page(f"views/{page}.py")
    return run(app)


def text(app: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "success")
    written = [str(one.value) for kind in kinds for one in app.get(kind) if hasattr(one, "value")]
    return "\n".join([*written, *(one.proto.body for one in app.get("html"))])


def answers(store: Store) -> list[StoredAnswer]:
    with store.read() as session_:
        return list(session_.scalars(sa.select(StoredAnswer).order_by(StoredAnswer.number)))


def test_the_pair_and_the_next_one_are_shown_blind(clips: StudyInfo, comparing: Comparing) -> None:
    app = opened()
    view = comparing.shown
    assert view.title == "Find Cave: which clip is better?"
    assert (
        len(view.pairs) == 2
        and len({link for one in view.pairs for link in (one.left, one.right)}) == 4
    )
    assert view.standing == "0 answered, 4 open"
    everything = repr(app.main) + repr(view)
    for secret in ("Quartzwalker", "Zamioculcas", "100001", "uniform", "event"):
        assert secret not in everything


def test_an_answer_moves_on_to_the_pair_that_was_loaded(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    app = opened()
    first = comparing.shown
    assert comparing.answer("right").text == "Saved."
    run(app)
    assert comparing.shown.pairs[0].pair == first.pairs[1].pair
    assert comparing.shown.standing == "1 answered, 3 open"
    assert comparing.shown.undo_until is not None
    # The browser may be a pair ahead of the page.
    assert comparing.answer("draw", comparing.shown.pairs[1].pair).ok
    assert [one.winner for one in answers(empty_store)] == ["right", "draw"]
    assert not comparing.answer("left", first.pairs[0].pair).ok


def test_the_last_answer_is_taken_back(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    app = opened()
    comparing.answer("left")
    run(app)
    # Sent twice, it withdraws one answer.
    for _ in range(2):
        reply = comparing.do(kind="undo", answer=comparing.shown.undo)
        assert "Answer withdrawn" in reply.text
    run(app)
    assert comparing.shown.standing == "0 answered, 4 open"
    assert not comparing.do(kind="undo", answer="0" * 32).ok
    assert queue_state(empty_store, clips).missing == 4


def test_an_answer_that_does_not_count_says_why(
    empty_store: Store, clips: StudyInfo, comparing: Comparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.judging.clip_answers.FLOOR_SPEED", 0.001)
    opened()
    reply = comparing.answer("left")
    assert not reply.ok
    assert reply.text.startswith("Not counted: you answered in less than half")
    assert answers(empty_store)[0].dropped


def test_the_end_waits_for_new_pairs(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    app = opened()
    for _ in range(4):
        comparing.answer("draw")
        run(app)
    assert "No pair is open now" in text(app)
    assert "You have answered **4**" in text(app)
    put(empty_store, clips, questions(1))
    run(app)
    assert comparing.shown.standing == "4 answered, 1 open"
    comparing.answer("left")
    run(app)
    next(one for one in app.button if one.label == "Undo the last answer").click()
    run(app)
    assert comparing.shown.standing == "4 answered, 1 open"


def test_a_rater_who_is_done_is_thanked(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    change_settings(
        empty_store, clips, ADMIN, pairs_per_rater=1, completion_url="https://x.example/{code}"
    )
    app = opened()
    comparing.answer()
    run(app)
    assert "Thank you" in text(app) and "**1 pair**" in text(app)


def test_invited_raters_agree_first(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    change_settings(empty_store, clips, ADMIN, consent="We keep your answers.")
    app = opened()
    assert comparing.view is None
    assert "Which clip is better?" in text(app) and "two short clips" in text(app)
    app.checkbox[0].check()
    run(app)
    next(one for one in app.button if one.label == "Begin").click()
    run(app)
    assert comparing.shown.pairs
    change_settings(empty_store, clips, ADMIN, open_signup=False, consent="")
    assert "by invitation only" not in text(run(app))  # has joined


def test_there_may_be_nothing_to_compare(
    empty_store: Store, study: StudyInfo, comparing: Comparing
) -> None:
    assert "There are no clips to compare" in text(opened())


def test_studies_of_clips_are_on_their_own_page(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    # Nothing else to judge: the first page is this one.
    assert "Which clip is better?" in text(run(AppTest.from_file(str(MAIN), default_timeout=60)))
    create_study(empty_store, "episodes", demo_study({"find_cave": [100_001]}, "test", "1"))
    app = run(AppTest.from_file(str(MAIN), default_timeout=60))
    assert "Which player did better?" in text(app)
    for page in ("leaderboard", "episodes"):
        assert "find_cave clips" not in text(show(app, page))


def test_the_page_shows_the_same_progress_for_attention_checks(
    empty_store: Store, clips: StudyInfo, comparing: Comparing
) -> None:
    change_settings(
        empty_store,
        clips,
        ADMIN,
        check_share=0.5,
        check_kinds=["repeat"],
        answers_per_minute=10_000,
    )
    put(empty_store, clips, questions(30))
    app = opened()
    for answered in range(20):
        assert comparing.shown.standing == f"{answered} answered, 34 questions in the study"
        assert len(comparing.shown.pairs) == 2
        assert comparing.answer("left").text == "Saved."
        run(app)
    with empty_store.read() as session_:
        shown = session_.scalars(sa.select(ClipShowing.repeats)).all()
    assert None in shown and len(set(shown)) > 1


def test_the_owner_sees_the_queue_self_agreement_and_side_bias(
    empty_store: Store, clips: StudyInfo, comparing: Comparing, cookies: dict[str, str]
) -> None:
    change_settings(empty_store, clips, ADMIN, check_share=0.5, check_kinds=["repeat"])
    put(empty_store, clips, questions(30))
    app = opened()
    for _ in range(20):
        comparing.answer("left")
        run(app)
    add_admin(empty_store, "ada", password=PASSWORD)
    cookies[session.ADMIN_COOKIE] = log_in(empty_store, "ada", PASSWORD)
    app = show(app, "study")
    shown = text(app)
    assert "Pairs asked" in shown and "Open" in shown
    assert "Left chosen" in shown and "100%  (" in shown
    assert "Same answer to a repeated pair" in shown and "0%  (0%" in shown
    assert "Raters prefer one side more often" in shown
    assert len(next_clips(empty_store, clips, register_rater(empty_store, "other"))) == 2
