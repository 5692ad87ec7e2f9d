"""BEDD's analysis: figures of six hand-made answers, counted by hand."""

import json
from pathlib import Path

import pytest

from basalt.cli.leaderboard import leaderboard_main
from basalt.io.errors import StudyError
from leaderboard.bedd.analysis import AnswerAnalysis, analyse_answers
from leaderboard.bedd.study import import_bedd
from leaderboard.store.database import open_store
from leaderboard.studies.rules import find_study
from tests.leaderboard.bedd.test_bedd import CAVE, HISTORY, answer, write
from tests.support.filled_store import fill


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    import_bedd(store, write(tmp_path / "human_answers.json", HISTORY))
    store.close()
    return place


def test_the_figures_are_those_counted_by_hand(place: Path) -> None:
    store = open_store(place)
    (task,) = analyse_answers(store, find_study(store)).tasks
    assert (task.task, task.judgments, task.raters) == ("find_cave", 6, 3)
    assert (task.draws.share, task.left.share) == (1 / 6, 3 / 5)
    # W2 judged one pair twice, which says nothing about other raters: the first answer counts.
    assert (task.pairs_judged_twice, task.same_answer.share, task.same_answer.count) == (2, 0, 2)
    assert task.alpha is not None and task.alpha < 0 and task.ac1 is not None and task.ac1 < 0
    direct, fastest, human = task.questions
    assert (direct.question, direct.kind) == (CAVE, "direct")
    # The left player alone found a cave in each; it won 3 of the 5 decided pairs.
    assert (direct.winner.share, direct.winner.count, direct.draws.share) == (3 / 5, 5, 0)
    assert (fastest.kind, fastest.winner.share, fastest.answered.share) == ("comparative", 3 / 5, 1)
    assert (human.answered.share, human.winner.share) == (0, None)
    assert (task.seconds.count, task.seconds.median) == (6, 300)
    assert (task.justification_words.count, task.justification_words.median) == (6, 9)
    assert (task.judgments_per_rater.median, task.busiest_share) == (2, 2 / 6)
    store.close()


def test_raters_who_agree_have_full_agreement(tmp_path: Path) -> None:
    """The sides may be swapped: agreement is about the players."""
    history = [
        answer(0, "GoUp", "Random", "p1"),
        answer(1, "Random", "GoUp", "p2"),
        answer(2, "Human1", "Random", "draw"),
        answer(4, "Random", "Human1", "draw"),
    ]
    store = open_store(tmp_path / "leaderboard.sqlite")
    import_bedd(store, write(tmp_path / "human_answers.json", history))
    (task,) = analyse_answers(store, find_study(store)).tasks
    assert task.same_answer.share == task.alpha == task.ac1 == 1
    store.close()


def test_the_command_prints_text_and_a_record_that_reads_back(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["analyse-bedd", "--store", str(place)]
    assert leaderboard_main(argv) == 0
    shown = capsys.readouterr().out
    assert "judgments          6; draws 17% (3% to 56%); left 60% (23% to 88%)" in shown
    assert "2 pairs judged by two raters or more; same answer 0%" in shown
    assert f"{CAVE} (direct)" in shown
    assert leaderboard_main([*argv, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    header = {name: record.pop(name) for name in ("format", "version", "package_version")}
    assert header["format"] == "basalt-answer-analysis" and header["version"] == 1
    assert AnswerAnalysis.model_validate(record).tasks[0].judgments == 6


def test_a_study_without_answers_by_people_is_refused(place: Path) -> None:
    store = open_store(place)
    study = fill(store, 2, 1, name="empty")
    with pytest.raises(StudyError, match="no wins, losses or draws by people"):
        analyse_answers(store, study)
    store.close()
