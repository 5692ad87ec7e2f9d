"""A study may ask how much better the winner is: the answer is stored, exported and rated."""

import zipfile
from pathlib import Path

import pytest

from leaderboard.judging.archive import write_archive
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import AnswerRefusedError, answer_pair, undo_last
from leaderboard.judging.raters import join
from leaderboard.ratings.models import default_model
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings

ADMIN = command_line_admin()


def test_how_much_better_is_stored_where_the_study_asks(
    store: Store, full_study: StudyInfo, tmp_path: Path
) -> None:
    rater = join(store, full_study, "ada")

    def answer(winner: str, strength: str | None, pair: str = "") -> str:
        served = next_pair(store, full_study, rater)
        assert served is not None
        answer_pair(store, pair or served.assignment_id, rater, winner, strength=strength)
        return served.assignment_id

    with pytest.raises(AnswerRefusedError, match="does not ask how much better"):
        answer("left", "much")
    plain = answer("left", None)
    assert default_model(load_comparisons(store, full_study)) == "bt"
    change_settings(store, full_study, ADMIN, scale="strength")
    answer("left", None, plain)  # sent twice, it counts once
    for winner, strength in (("left", None), ("right", "a little"), ("draw", "much")):
        with pytest.raises(AnswerRefusedError, match="strength: "):
            answer(winner, strength)
    slight = answer("right", "slightly")
    answer("right", "slightly", slight)
    with pytest.raises(AnswerRefusedError, match="the first answer stands"):
        answer("right", "much", slight)
    answer("draw", None)
    answer("left", "much")
    undo_last(store, full_study, rater)
    answer("left", "slightly")

    comparisons = load_comparisons(store, full_study)
    assert [(one.winner, one.strength) for one in comparisons] == [
        ("left", None), ("right", "slightly"), ("draw", None), ("left", "slightly"),
    ]  # fmt: skip
    assert default_model(comparisons) == "ordinal"
    write_archive(tmp_path / "study.zip", store, full_study, ADMIN)
    with zipfile.ZipFile(tmp_path / "study.zip") as file:
        judgments = file.read("judgments.csv").decode()
        dictionary = file.read("README.md").decode()
    assert judgments.count(",slightly,") == 2 and judgments.count(",much,") == 1
    assert "how much better the winner is" in dictionary
