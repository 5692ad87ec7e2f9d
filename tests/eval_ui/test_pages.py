"""The pages, run by Streamlit without a browser; an action of the pair element is passed on as the browser sends it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

import eval_ui
from basalt.core.comparisons import Comparison
from eval_ui import session
from eval_ui.judging.acts import Reply
from eval_ui.judging.pair_view import PairView
from eval_ui.study_admin import raters
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.participants import allow_browser, browser_requests
from leaderboard.judging.quality import rater_reports
from leaderboard.judging.raters import new_rater_secret, register_rater
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.models import RATING_MODELS, RatingModel, Ratings
from leaderboard.ratings.planning import Plan, Planned
from leaderboard.store.database import Store
from leaderboard.store.models import AttentionCheck, Episode, Judgment, Membership, Rater
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import ban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import (
    StudyInfo,
    create_study,
    demo_study,
    find_study,
    list_studies,
)
from leaderboard.studies.settings import change_settings, get_settings
from leaderboard.submissions.register import submit_recordings
from tests.support.element import Element
from tests.support.filled_store import fill
from tests.support.three_players import SEEDS, record, unwatched_study

MAIN = Path(eval_ui.__file__).with_name("main.py")
PLAYERS = ("good", "middling", "poor")
ADMIN = command_line_admin()
HOSTILE = '<img src=x onerror="alert(1)">'

pytestmark = pytest.mark.usefixtures("cookies")


class PairJudging(Element[PairView]):
    def answer(self, winner: str = "left", **changes: object) -> Reply:
        return self.do(
            **{
                "kind": "answer", "pair": self.shown.pair, "winner": winner,
                "skip_reason": "no_opinion" if winner == "skip" else None,
                "justification": "", "direct": [], "comparative": [], "seen": [1, 1], "events": [],
            }
            | changes
        )  # fmt: skip

    def undo(self) -> Reply:
        return self.do(kind="undo", answer=self.shown.undo)


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> PairJudging:
    stand_in = PairJudging()
    monkeypatch.setattr("eval_ui.judging.pair_judging.judge_pair", stand_in)
    return stand_in


def opened(*, begin: bool = True, **query: str) -> AppTest:
    """The Judge page by a link, past the instructions where they need no consent."""
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    run(app)
    open_buttons = [one for one in app.button if one.label == "Begin" and not one.disabled]
    return press(app, "Begin") if begin and open_buttons else app


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def show(app: AppTest, page: str) -> AppTest:
    app.switch_page(f"views/{page}.py")
    return run(app)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return run(app)


def text(app: AppTest) -> str:
    """All that is written on the page; the HTML elements as they go out."""
    written = [
        str(element.value)
        for kind in ("markdown", "caption", "info", "warning", "error", "success", "toast", "code")
        for element in app.get(kind)
        if hasattr(element, "value")
    ]
    return "\n".join([*written, *(element.proto.body for element in app.get("html"))])


def judgments(store: Store) -> list[Judgment]:
    with store.read() as session_:
        return list(session_.scalars(sa.select(Judgment).order_by(Judgment.number)))


def gold_pairs(store: Store, study: StudyInfo) -> None:
    with store.read() as session_:
        episodes = list(session_.scalars(sa.select(Episode).order_by(Episode.seed, Episode.id)))
    for seed in SEEDS:
        one, other, _ = (episode.id for episode in episodes if episode.seed == seed)
        add_gold_pair(store, study, ADMIN, one, other, "left", "it found the cave")


def test_judging_is_blind(study: StudyInfo, judging: PairJudging) -> None:
    app = opened()
    assert judging.shown.title == "Find Cave: which player did better?"
    assert "end the episode by pressing ESC" in judging.shown.instruction
    assert judging.shown.left != judging.shown.right
    everything = repr(app.main) + repr(judging.shown)
    assert not [player for player in PLAYERS if f"'{player}'" in everything]
    assert not [seed for seed in SEEDS if str(seed) in repr(judging.shown)]


def test_the_page_shows_the_same_progress_for_attention_checks(
    empty_store: Store, judging: PairJudging
) -> None:
    study = fill(empty_store, 4, 4)
    change_settings(empty_store, study, ADMIN, check_share=0.5, answers_per_minute=10_000)
    app = opened()
    kinds = set()
    for answered in range(16):
        view = judging.shown
        with empty_store.read() as session_:
            kinds.add(session_.get(AttentionCheck, view.pair) is not None)
        assert (view.standing, view.share) == (f"{answered} of 24 pairs judged", answered / 24)
        assert (view.badge, view.undo_until is None) == (None, answered == 0)
        assert judging.answer("left").text == "Saved."
        run(app)
    assert kinds == {True, False}
    # The counts of the tables would show which answers were checks.
    assert "agent 000" not in text(show(app, "leaderboard"))


def test_pictures_in_an_admins_texts_are_not_loaded(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    picture = "![x](http://127.0.0.1:9/pix.png)"
    texts = (picture, f"\\{picture}", "[a]: http://x.example\n\n![b][a]", f"!{picture}")
    for said in texts:
        change_settings(empty_store, study, ADMIN, consent=said, instructions=said)
        shown = text(opened())
        assert "pix.png" in shown or "x.example" in shown
        assert "![" not in shown


def test_instructions_come_first_and_the_ids_of_the_link_are_kept_in_an_open_study(
    empty_store: Store, study: StudyInfo, judging: PairJudging, cookies: dict[str, str]
) -> None:
    cookies[session.RATER_COOKIE] = new_rater_secret(empty_store)
    ids = {"PROLIFIC_PID": "p1", "STUDY_ID": "s1", "SESSION_ID": "a1"}
    app = opened(begin=False, **ids)
    assert "two videos side by side" in text(app)
    assert judging.view is None and not app.query_params
    press(app, "Begin")
    assert judging.shown.standing == "0 of 6 pairs judged"
    with empty_store.read() as session_:
        (member,) = session_.scalars(sa.select(Membership))
    kept = (member.participant, member.platform_study, member.platform_session)
    assert kept == tuple(ids.values())
    # Once is enough.
    judging.view = None
    opened(begin=False)
    assert judging.view is not None


def test_an_answer_is_stored_whole_and_the_next_pair_shown(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = opened()
    first = judging.shown
    events = [{"type": "play", "at": 0.0, "clock": 1_700_000_000_000}]
    reply = judging.answer("right", justification="straight in", seen=[1, 0.75], events=events)
    assert (reply.text, reply.ok) == ("Saved.", True)
    (stored,) = judgments(empty_store)
    assert (stored.winner, stored.source, stored.justification) == ("right", "human", "straight in")
    assert (stored.watched_left, stored.watched_right) == (1, 0.75)
    assert stored.video_events == events
    run(app)
    assert judging.shown.pair != first.pair
    assert judging.shown.standing == "1 of 6 pairs judged"
    assert judging.shown.undo_until is not None


def test_the_answer_is_taken_back_and_its_pair_shown_again(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = opened()
    first = judging.shown
    judging.answer("left")
    run(app)
    # Sent twice, it withdraws one answer.
    for _ in range(2):
        assert "Answer withdrawn" in judging.undo().text
    run(app)
    assert judging.shown.standing == "0 of 6 pairs judged"
    # The browser finds what it kept under the pair's earlier id.
    assert judging.shown.earlier == (first.pair,)
    assert judging.shown.undo is None and judging.shown.undo_until is None
    assert load_comparisons(empty_store, study) == []
    assert not judging.do(kind="undo", answer="0" * 32).ok


def test_an_answer_before_both_videos_were_seen_is_refused_here_too(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    change_settings(empty_store, study, ADMIN, watch_share=0.9)
    opened()
    assert judging.shown.required == 0.9
    reply = judging.answer("left", seen=[1, 0.5])
    assert not reply.ok
    assert "of both videos first" in reply.text
    assert judgments(empty_store) == []
    assert judging.answer("skip", seen=[0, 0]).ok


def test_the_end_is_a_thank_you_with_an_undo(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = opened()
    for winner in ("skip", "left", "draw", "right", "both_bad", "skip"):
        reply = judging.answer(winner)
        assert reply.ok and ("do not count" in reply.text) == (winner == "skip")
        run(app)
    assert "Thank you" in text(app)
    assert "judged **4 pairs**" in text(app) and "skipped 2 pairs" in text(app)
    press(app, "Undo the last answer")
    assert judging.shown.standing == "4 of 6 pairs judged"


def test_who_only_skips_gets_no_code(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    change_settings(empty_store, study, ADMIN, completion_code="C0DE")
    app = opened(PROLIFIC_PID="p1")
    for _ in range(6):
        judging.answer("skip")
        run(app)
    assert "judged **0 pairs**" in text(app) and "skipped 6 pairs" in text(app)
    assert "no completion code" in text(app) and "C0DE" not in text(app)


def test_an_answer_after_the_pairs_time_is_taken_while_no_other_stands(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    opened()
    with empty_store.write() as session_:
        session_.execute(sa.text("UPDATE assignment SET expires = '2000-01-01 00:00:00'"))
    assert judging.answer("left", justification="after lunch").ok
    (stored,) = judgments(empty_store)
    assert stored.justification == "after lunch"


def test_a_name_is_kept_and_forgotten_on_wish(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = opened()
    judging.answer("left", justification="my words")
    next(field for field in app.text_input if field.label.startswith("Your name")).set_value("Ada")
    run(app)

    def names() -> set[str | None]:
        with empty_store.read() as session_:
            return set(session_.scalars(sa.select(Rater.name)))

    assert "Ada" in names()
    next(box for box in app.checkbox if box.label == "Delete my personal data").check()
    run(app)
    press(app, "Forget me")
    assert "Your personal data has been deleted" in text(app)
    # Nor is the name in its field for the rater who begins now.
    run(app)
    assert "Your personal data has been deleted" not in text(app)
    assert "Ada" not in names()
    (kept,) = judgments(empty_store)
    assert (kept.winner, kept.justification) == ("left", "")


def test_the_tasks_questions_are_asked_where_the_study_asks_them(
    empty_store: Store, players: dict[str, Path], judging: PairJudging
) -> None:
    rules = demo_study({"find_cave": SEEDS}, "test", "1").model_copy(update={"ask_questions": True})
    asking = unwatched_study(empty_store, "asking", rules)
    for folder in players.values():
        submit_recordings(empty_store, asking, folder)
    opened()
    assert judging.shown.questions is not None
    assert judging.shown.questions.direct == ("Did this player find and enter a cave?",)
    judging.answer("left", direct=["right"], comparative=["draw"])
    (stored,) = judgments(empty_store)
    assert stored.responses["direct"] == [
        {"question": "Did this player find and enter a cave?", "left": False, "right": True}
    ]
    assert stored.responses["comparative"][0]["answer"] == "draw"
    assert {one["answer"] for one in stored.responses["comparative"][1:]} == {None}


def test_without_studies_or_pairs_the_page_says_so(
    empty_store: Store, players: dict[str, Path]
) -> None:
    assert "no studies yet" in text(opened())
    lonely = create_study(empty_store, "lonely", demo_study({"find_cave": SEEDS}, "test", "1"))
    submit_recordings(empty_store, lonely, players["good"])
    assert "needs submissions from at least two agents" in text(opened())


def test_a_closed_study_asks_for_an_invitation(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    change_settings(empty_store, study, ADMIN, open_signup=False)
    app = opened()
    assert "by invitation" in text(app)
    assert judging.view is None
    # A link that lets nobody in says so before anybody reads on and agrees, in a store with an open study, too.
    create_study(empty_store, "open", demo_study({"find_cave": SEEDS}, "test", "1"))
    app = opened(invite="forged")
    assert "This invitation is not known" in text(app)
    assert not [button for button in app.button if button.label == "Begin"]
    assert judging.view is None


def test_an_invited_rater_agrees_then_judges(
    empty_store: Store, study: StudyInfo, judging: PairJudging, cookies: dict[str, str]
) -> None:
    change_settings(empty_store, study, ADMIN, open_signup=False, consent="We keep your answers.")
    token = create_invite(empty_store, study, ADMIN, "lab")
    laptop, phone = new_rater_secret(empty_store), new_rater_secret(empty_store)
    cookies[session.RATER_COOKIE] = laptop
    app = opened(invite=token, PROLIFIC_PID="p1")
    assert "We keep your answers." in text(app)
    assert "invite" not in app.query_params
    begin = next(button for button in app.button if button.label == "Begin")
    assert begin.disabled
    next(box for box in app.checkbox if "agree" in box.label).check()
    run(app)
    press(app, "Begin")
    assert judging.shown.standing == "0 of 6 pairs judged"
    with empty_store.read() as session_:
        (member,) = session_.scalars(sa.select(Membership))
    assert (member.platform, member.participant) == ("prolific", "p1")
    judging.answer("left")
    # The same participant continues in another browser once an admin agrees, and need not read and agree again.
    cookies[session.RATER_COOKIE] = phone
    waiting = opened(begin=False, invite=token, PROLIFIC_PID="p1")
    assert "open in another of your browsers" in text(waiting)
    (request,) = browser_requests(empty_store, study, ADMIN)
    allow_browser(empty_store, study, ADMIN, request)
    opened(begin=False, invite=token, PROLIFIC_PID="p1")
    assert judging.shown.standing == "1 of 6 pairs judged"
    # Another participant in the first browser is somebody else, who has.
    cookies[session.RATER_COOKIE] = laptop
    other = opened(begin=False, invite=token, PROLIFIC_PID="p2")
    assert "We keep your answers." in text(other)
    assert next(one for one in other.button if one.label == "Begin").disabled


def test_who_does_not_agree_gets_the_way_back_and_leaves_nothing(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    change_settings(
        empty_store, study, ADMIN, consent="We keep your answers.", platform="prolific",
        completion_code="DONE", endings={"no_consent": {"code": "NO"}, "closed": {"code": "LATER"}},
    )  # fmt: skip
    app = press(opened(PROLIFIC_PID="p1"), "I do not agree")
    assert "You did not agree" in text(app) and "NO" in text(app)
    (link,) = app.get("link_button")
    assert link.proto.url == "https://app.prolific.com/submissions/complete?cc=NO"
    with empty_store.read() as session_:
        assert not [*session_.scalars(sa.select(Membership)), *session_.scalars(sa.select(Rater))]
    assert "We keep your answers." in text(press(app, "Back to the consent form"))
    change_settings(empty_store, study, ADMIN, paused=True)
    paused = run(app)
    assert "paused" in text(paused) and "LATER" in text(paused)
    assert judging.view is None


def test_a_preview_on_mturk_cannot_begin(empty_store: Store, study: StudyInfo) -> None:
    change_settings(empty_store, study, ADMIN, open_signup=False)
    token = create_invite(empty_store, study, ADMIN, "lab")
    app = opened(invite=token, assignmentId="ASSIGNMENT_ID_NOT_AVAILABLE")
    assert "preview" in text(app)
    assert "Begin" not in [button.label for button in app.button]


def test_the_qualification_tells_what_was_expected_and_decides(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    gold_pairs(empty_store, study)
    change_settings(empty_store, study, ADMIN, qualification_pairs=2, qualification_right=2)
    app = opened()
    assert judging.shown.badge == "practice"
    assert judging.shown.standing == "0 of 2 practice pairs"

    def expected() -> str:
        with empty_store.read() as session_:
            return session_.get_one(AttentionCheck, judging.shown.pair).expected

    reply = judging.answer(expected())
    assert reply.ok
    assert "it found the cave" in reply.text
    run(app)
    assert judging.shown.undo_until is None  # the right answer was shown
    reply = judging.answer("draw")
    assert not reply.ok
    assert "expected answer was" in reply.text
    run(app)
    assert "1 of your 2 practice answers" in text(app)
    assert judgments(empty_store) == []


def test_who_is_done_gets_the_code_and_the_way_back(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    change_settings(
        empty_store, study, ADMIN, pairs_per_rater=1, completion_code="C0DE",
        completion_url="https://crowd.example/done?cc={code}",
    )  # fmt: skip
    app = opened(PROLIFIC_PID="p1")
    judging.answer("left")
    run(app)
    assert "C0DE" in text(app)
    (link,) = app.get("link_button")
    assert link.proto.url == "https://crowd.example/done?cc=C0DE"


def test_a_banned_rater_is_told(empty_store: Store, study: StudyInfo, judging: PairJudging) -> None:
    app = opened()
    judging.answer("left")
    run(app)
    (stored,) = judgments(empty_store)
    assert stored.rater_id is not None
    ban(empty_store, study, ADMIN, stored.rater_id, "clicks at random")
    assert not judging.answer("left").ok  # the pair that is still shown
    run(app)
    assert "no longer judge" in text(app)
    assert "clicks at random" not in text(app)
    assert len(judgments(empty_store)) == 1


def test_the_study_is_chosen_where_there_are_several(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    create_study(empty_store, "later", demo_study({"find_cave": SEEDS}, "test", "1"))
    app = opened()
    assert app.selectbox[0].options == ["later", "small"]
    assert "no pairs yet" in text(app)
    app.selectbox[0].select("small")
    press(run(app), "Begin")
    assert judging.shown.title == "Find Cave: which player did better?"
    assert app.query_params["study"] == "small"
    show(app, "leaderboard")
    assert app.selectbox[0].value == "small"
    # Another session of the same address, as after a reload: the same study.
    judging.view = None
    opened(study="small")
    assert judging.shown.title == "Find Cave: which player did better?"


def boards(app: AppTest) -> list[str]:
    return [one.proto.body for one in app.get("html") if 'class="board"' in one.proto.body]


def judge_once(store: Store, study: StudyInfo, secret: str = "another") -> str:
    person = register_rater(store, secret)
    pair = next_pair(store, study, person)
    assert pair is not None
    answer_pair(store, pair.assignment_id, person, "left", justification=HOSTILE)
    return person


def test_the_leaderboard_keeps_sources_apart_unless_asked(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = show(opened(), "leaderboard")
    assert "No judgments yet" in text(app)
    judge_by_telemetry(empty_store, study)
    app = show(opened(), "leaderboard")
    (table,) = boards(app)
    assert 'data-source="telemetry"' in table
    assert "No person has judged" in text(app)
    order = [table.index(f">{player}<") for player in PLAYERS]
    assert order == sorted(order)
    judge_once(empty_store, study)
    app = show(opened(), "leaderboard")
    (table,) = boards(app)
    assert 'data-source="human"' in table  # people first
    app.button_group[0].set_value("telemetry")
    (table,) = boards(run(app))
    assert 'data-source="telemetry"' in table
    app.toggle[0].set_value(True)
    (table,) = boards(run(app))
    assert 'data-source="human+telemetry"' in table
    assert "no single group of judges" in text(app)


def test_all_tasks_come_first_and_each_has_its_table(
    empty_store: Store, tmp_path: Path, judging: PairJudging
) -> None:
    tasks = ("find_cave", "make_waterfall")
    study = unwatched_study(
        empty_store, "two tasks", demo_study(dict.fromkeys(tasks, SEEDS[:1]), "test", "1")
    )
    for player in ("first", "second"):
        for task in tasks:
            record(tmp_path / player, SEEDS[0], player=player, task=task)
        submit_recordings(empty_store, study, tmp_path / player)
    for _ in tasks:
        judge_once(empty_store, study)
    app = show(opened(), "leaderboard")
    (table,) = boards(app)
    assert 'data-task="overall"' in table
    assert "Make Waterfall" in table
    app.button_group[1].set_value("make_waterfall")
    (table,) = boards(run(app))
    assert 'data-task="make_waterfall"' in table


class Upside(RatingModel):
    """A model of another package: few wins rate high."""

    name = "upside"
    title = "Upside down"

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """See `RatingModel.fit`."""
        wins = np.array(
            [sum(one.winner_loser[0] == name for one in comparisons) for name in agents]
        )
        return Ratings(-1.0 * wins, np.ones(len(agents)), -1.0 * wins)


def test_the_leaderboard_is_rated_by_any_registered_model(
    empty_store: Store, study: StudyInfo, judging: PairJudging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATING_MODELS._entries, "upside", Upside())
    judge_by_telemetry(empty_store, study)
    app = show(opened(), "leaderboard")
    assert "Bradley–Terry; rows in order of" in boards(app)[0]
    for model, order in {"trueskill": PLAYERS, "bt": PLAYERS, "upside": PLAYERS[::-1]}.items():
        next(box for box in app.selectbox if box.label == "Rated by").select(model)
        (table,) = boards(run(app))
        assert f"{RATING_MODELS.get(model).title}; rows in order of" in table
        places = [table.index(f">{player}<") for player in order]
        assert places == sorted(places)


def test_hidden_results_are_hidden_from_raters_and_shown_to_admins(
    empty_store: Store, study: StudyInfo, judging: PairJudging, request: pytest.FixtureRequest
) -> None:
    judge_once(empty_store, study)
    change_settings(empty_store, study, ADMIN, show_results=False)
    for page in ("leaderboard", "episodes"):
        app = show(opened(), page)
        assert "when the study has ended" in text(app)
        # The one name that no element's hexadecimal id can hold by chance.
        assert "middling" not in repr(app.main)
    request.getfixturevalue("as_admin")
    assert len(boards(show(opened(), "leaderboard"))) == 1
    assert "middling" in repr(show(opened(), "episodes").main)


def test_the_study_page_is_for_admins(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    judge_once(empty_store, study)
    app = show(opened(), "study")
    assert "Log in as an admin" in text(app)
    assert not app.tabs
    assert "Judgments by people" not in text(app)


SECTIONS = (
    "Progress",
    "Raters",
    "Gold pairs",
    "Invites",
    "Settings",
    "Export",
    "History",
    "Studies",
)


def section(app: AppTest, name: str) -> AppTest:
    app.session_state["section"] = name
    return run(app)


@pytest.mark.usefixtures("as_admin")
def test_every_section_of_the_study_page_is_drawn_empty_and_filled(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    app = show(opened(), "study")
    for name in SECTIONS:
        section(app, name)
    judge_once(empty_store, study)
    gold_pairs(empty_store, study)
    create_invite(empty_store, study, ADMIN, HOSTILE)
    change_settings(empty_store, study, ADMIN, pairs_per_rater=7)
    for name in SECTIONS:
        section(app, name)
        assert HOSTILE not in text(app)
        if name == "History":
            changed = app.dataframe[0].value["Why, or what changed"]
            assert changed[0] == "pairs_per_rater: null → 7"


def field(app: AppTest, kind: str, label: str) -> Any:
    return next(one for one in app.get(kind) if one.label == label)


@pytest.mark.usefixtures("as_admin")
def test_changed_settings_are_marked_previewed_and_kept_until_they_are_saved_or_discarded(
    empty_store: Store, study: StudyInfo
) -> None:
    change_settings(empty_store, study, ADMIN, watch_share=0.873)
    app = section(show(opened(), "study"), "Settings")
    assert "No unsaved changes" in text(app)
    assert field(app, "number_input", "Skips per rater").help.endswith("Default: 10.")
    field(app, "number_input", "Pairs per rater").set_value(12)
    field(app, "text_input", "Pay").set_value("3 <b>euros</b>")
    field(app, "text_area", "Own questions: who did it?").set_value("Who dug?\n\n Who fell? ")
    run(app)
    assert "3 unsaved changes" in text(app)
    # What raters will see of it, with nothing stored yet.
    assert "3 &lt;b&gt;euros" in text(app) and "Who fell?" in list(
        app.dataframe[0].value["Question"]
    )
    assert get_settings(empty_store, study).pay == ""
    # Another section in between, and another admin's change of another setting.
    section(app, "History")
    change_settings(empty_store, study, ADMIN, undo_seconds=7)
    section(app, "Settings")
    assert "3 unsaved changes" in text(app)
    press(app, "Save")
    saved = get_settings(empty_store, study)
    assert (saved.pairs_per_rater, saved.pay, saved.undo_seconds) == (12, "3 <b>euros</b>", 7)
    assert saved.questions is not None and saved.questions.direct == ("Who dug?", "Who fell?")
    assert saved.watch_share == 0.873, "it is between two steps of its slider"
    assert "No unsaved changes" in text(app)
    field(app, "number_input", "Correct answers needed").set_value(3)
    press(app, "Save")
    assert "at most qualification_pairs" in "".join(one.value for one in app.error)
    assert "1 unsaved change" in text(app)
    press(app, "Discard changes")
    assert "No unsaved changes" in text(app) and get_settings(empty_store, study) == saved


@pytest.mark.usefixtures("as_admin")
def test_a_simulated_width_becomes_the_stop_rule(
    empty_store: Store, study: StudyInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float, str]] = []

    def simulated(agents: int, width: float, *, model: RatingModel) -> Plan:
        asked.append((agents, width, model.name))
        return Plan(agents, width, 1.0, 0.1, 0, (Planned(60, 1.4, 0.1),), 60, model.name)

    monkeypatch.setattr("leaderboard.judging.targets.plan", simulated)
    app = section(show(opened(), "study"), "Settings")
    field(app, "number_input", "Width of the 95% intervals").set_value(1.5)
    press(app, "Simulate")
    assert asked == [(3, 1.5, "bt")]
    assert "About 60 comparisons are needed" in text(app)
    press(app, "Stop at 1.5")
    assert get_settings(empty_store, study).stop_width is None
    press(app, "Save")
    assert get_settings(empty_store, study).stop_width == 1.5


@pytest.mark.usefixtures("as_admin")
def test_codes_of_outcomes_are_kept_and_missing_ones_are_named(
    empty_store: Store, study: StudyInfo
) -> None:
    change_settings(
        empty_store, study, ADMIN, consent="Agree?", endings={"closed": {"code": "FULL"}}
    )
    app = section(show(opened(), "study"), "Settings")
    field(app, "selectbox", "Platform").set_value("prolific")
    field(app, "text_input", "Code: completed").set_value("DONE")
    run(app)
    assert "the code for no consent" in "".join(one.value for one in app.warning)
    field(app, "text_input", "Code: no consent").set_value("NO")
    run(app)
    assert not app.warning
    press(app, "Save")
    saved = get_settings(empty_store, study)
    assert [saved.ending(one).code for one in ("completed", "no_consent", "closed")] == [
        "DONE", "NO", "FULL",
    ]  # fmt: skip
    assert "No unsaved changes" in text(app)


@pytest.mark.usefixtures("as_admin")
def test_a_click_on_a_row_chooses_the_rater(
    empty_store: Store, study: StudyInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        judge_once(empty_store, study)
    app = section(show(opened(), "study"), "Raters")
    rows = list(app.dataframe[0].value["Rater"])
    chosen = next(one for one in app.selectbox if one.label == "Rater")
    assert chosen.value[:8] == rows[0]
    state = {"selected rater": {"selection": {"cells": [(1, "State")]}}}
    monkeypatch.setattr(raters.st, "session_state", state)
    ids = [one.rater_id for one in rater_reports(empty_store, study, ADMIN)]
    raters.choose_row(ids)
    assert state["chosen rater"] == ids[1]
    raters.choose_row(ids[:1])  # the rater is gone meanwhile
    assert state["chosen rater"] == ids[1]


def test_raters_read_the_facts_that_the_study_gives(empty_store: Store, study: StudyInfo) -> None:
    assert "Expected time" not in text(opened(begin=False))
    change_settings(
        empty_store, study, ADMIN, title="Caves", organiser="A university", contact="a@b.example",
        minutes=20, pay=HOSTILE, pairs_per_rater=14,
    )  # fmt: skip
    written = text(opened(begin=False))
    for fact in ("Caves", "A university", "a@b.example", "about 20 minutes", ">14<"):
        assert fact in written
    assert HOSTILE not in written


@pytest.mark.usefixtures("as_admin")
def test_an_admin_ends_copies_makes_and_deletes_studies(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    def write(label: str, value: str) -> None:
        next(one for one in app.text_input if one.label == label).set_value(value)

    app = section(show(opened(), "study"), "Studies")
    assert "small is running" in text(app)
    press(app, "End")
    assert "small has ended" in text(app) and get_settings(empty_store, study).ended
    press(app, "Resume")
    write("Name of the copy", "copy")
    press(app, "Duplicate")
    assert find_study(empty_store, "copy").rules == study.rules
    # The new study is shown at once.
    assert "copy is running" in text(app)
    write("Name", "caves")
    press(app, "Make study")
    assert "choose at least one task" in "".join(one.value for one in app.error)
    app.multiselect[0].set_value(["find_cave"])
    write("Seeds of each task", "100001, 100002")
    field(app, "number_input", "Minutes that a pair stays reserved").set_value(5)
    press(app, "Make study")
    made = find_study(empty_store, "caves").rules
    assert made.tasks["find_cave"].seeds == (100_001, 100_002) and made.world == "test"
    assert made.reserve_minutes == 5
    next(one for one in app.checkbox if one.label.startswith("I want to delete")).check()
    press(run(app), "Delete study")
    assert {one.name for one in list_studies(empty_store)} == {"small", "copy"}


@pytest.mark.usefixtures("as_admin")
def test_an_admin_bans_and_the_table_follows(
    empty_store: Store, study: StudyInfo, judging: PairJudging
) -> None:
    person = judge_once(empty_store, study)
    app = section(show(opened(), "study"), "Raters")
    # What is to be banned can be looked at.
    (answer,) = [box for box in app.selectbox if box.label == "Answer"]
    assert answer.options[0].startswith("Find Cave, seed 10000")
    next(field for field in app.text_input if field.label == "Reason").set_value("at random")
    press(app, "Ban")
    assert load_comparisons(empty_store, study) == []
    assert "No judgments yet" in text(show(opened(), "leaderboard"))
    app = section(show(opened(), "study"), "Raters")
    press(app, "Lift ban")
    next(box for box in app.multiselect if box.label == "Raters").set_value([person])
    press(app, "Ban them")
    assert load_comparisons(empty_store, study) == []
    press(section(show(opened(), "study"), "Raters"), "Lift ban")
    (back,) = load_comparisons(empty_store, study)
    assert back.rater == person
