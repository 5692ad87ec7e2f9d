"""The pages, run by Streamlit without a browser."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest
from three_players import SEEDS

import eval_ui
from eval_ui import rater
from leaderboard.judgments import answer_pair
from leaderboard.models import Judgment, Rater
from leaderboard.raters import register_rater
from leaderboard.serving import next_pair
from leaderboard.store import Store
from leaderboard.study import StudyInfo, create_study, demo_study
from leaderboard.submissions import submit_recordings
from leaderboard.telemetry_judge import judge_by_telemetry

MAIN = Path(eval_ui.__file__).with_name("main.py")
PLAYERS = ("good", "middling", "bad")


@pytest.fixture(autouse=True)
def _one_rater(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a browser there are no cookies.
    monkeypatch.setattr(rater, "rater_secret", lambda: "the tests' secret")


def opened() -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(
        str(element.value)
        for kind in ("markdown", "caption", "info", "html", "toast")
        for element in app.get(kind)
        if hasattr(element, "value")
    )


def judgments(store: Store) -> list[Judgment]:
    with store.read() as session:
        return list(session.scalars(sa.select(Judgment).order_by(Judgment.number)))


def test_judging_is_blind_and_closed_until_the_pair_was_played(study: StudyInfo) -> None:
    app = opened()
    assert "Find Cave: which player did better?" in text(app)
    assert "end the episode by pressing ESC" in text(app)
    everything = repr(app.main)
    assert not [player for player in PLAYERS if f"'{player}'" in everything]
    assert {button.label: button.disabled for button in app.button} == {
        "Left did better": True,
        "Draw": True,
        "Right did better": True,
        "Both bad": True,
        "Skip": False,
    }


def test_an_answer_is_stored_with_its_reason_and_the_next_pair_shown(
    empty_store: Store, study: StudyInfo
) -> None:
    app = opened()
    first = app.button[0].key
    reason = next(field for field in app.text_input if field.label.startswith("Why"))
    reason.set_value("its video did not play")
    press(app, "Skip")
    (stored,) = judgments(empty_store)
    assert (stored.winner, stored.source) == ("skip", "human")
    assert stored.justification == "its video did not play"
    assert "Saved" in text(app)
    assert app.button[0].key != first
    reason = next(field for field in app.text_input if field.label.startswith("Why"))
    assert reason.value in ("", None)


def test_the_end_is_a_thank_you(empty_store: Store, study: StudyInfo) -> None:
    app = opened()
    for _ in range(6):
        press(app, "Skip")
    assert "Thank you" in text(app)
    assert "all 6 pairs" in text(app)
    assert len(judgments(empty_store)) == 6


def test_an_answer_after_the_pairs_time_is_refused_with_the_reason(
    empty_store: Store, study: StudyInfo
) -> None:
    app = opened()
    with empty_store.write() as session:
        session.execute(sa.text("UPDATE assignment SET expires = '2000-01-01 00:00:00'"))
    press(app, "Skip")
    assert not judgments(empty_store)
    assert "came later and was not stored" in text(app)


def test_a_name_is_kept_with_the_rater(empty_store: Store, study: StudyInfo) -> None:
    app = opened()
    next(field for field in app.text_input if field.label.startswith("Your name")).set_value("Ada")
    app.run()
    with empty_store.read() as session:
        assert session.scalars(sa.select(Rater.name)).all() == ["Ada"]


def test_the_tasks_questions_are_asked_where_the_study_asks_them(
    empty_store: Store, players: dict[str, Path]
) -> None:
    rules = demo_study({"find_cave": SEEDS}, "test", "1").model_copy(update={"ask_questions": True})
    asking = create_study(empty_store, "asking", rules)
    for folder in players.values():
        submit_recordings(empty_store, asking, folder)
    app = opened()
    first = app.button_group[0]
    assert first.label == "Did this player find and enter a cave?"
    first.set_value(["right"])
    app.button_group[1].set_value("draw")
    press(app, "Skip")
    (stored,) = judgments(empty_store)
    assert stored.responses["direct"] == [
        {"question": "Did this player find and enter a cave?", "left": False, "right": True}
    ]
    assert stored.responses["comparative"][0]["answer"] == "draw"
    assert {one["answer"] for one in stored.responses["comparative"][1:]} == {None}


def test_without_studies_or_pairs_the_page_says_so(
    empty_store: Store, players: dict[str, Path]
) -> None:
    assert "no study yet" in text(opened())
    lonely = create_study(empty_store, "lonely", demo_study({"find_cave": SEEDS}, "test", "1"))
    submit_recordings(empty_store, lonely, players["good"])
    assert "needs submissions of at least two agents" in text(opened())


def test_the_study_is_chosen_where_there_are_several(empty_store: Store, study: StudyInfo) -> None:
    create_study(empty_store, "later", demo_study({"find_cave": SEEDS}, "test", "1"))
    app = opened()
    assert app.selectbox[0].options == ["later", "small"]
    assert "no pairs yet" in text(app)
    app.selectbox[0].select("small").run()
    assert "which player did better?" in text(app)
    app.switch_page("views/leaderboard.py").run()
    assert app.selectbox[0].value == "small"


def board(app: AppTest) -> AppTest:
    app.switch_page("views/leaderboard.py").run()
    assert not app.exception
    return app


def test_the_leaderboard_keeps_sources_apart_and_names_them(
    empty_store: Store, study: StudyInfo
) -> None:
    app = board(opened())
    assert "No judgments yet" in text(app)
    judge_by_telemetry(empty_store, study)
    app = board(opened())
    assert "Telemetry stand-in" in text(app)
    assert "No person has judged" in text(app)
    person = register_rater(empty_store, "another")
    pair = next_pair(empty_store, study, person)
    assert pair is not None
    answer_pair(empty_store, pair.assignment_id, person, "left")
    app = board(opened())
    tables = [element for element in app.get("html") if 'class="board"' in element.proto.body]
    assert ['data-source="human"' in table.proto.body for table in tables] == [True, False]
    app.button_group[0].set_value(["telemetry"]).run()
    tables = [element for element in app.get("html") if 'class="board"' in element.proto.body]
    assert ['data-source="telemetry"' in table.proto.body for table in tables] == [True]
    order = [tables[0].proto.body.index(f">{player}<") for player in PLAYERS]
    assert order == sorted(order)
