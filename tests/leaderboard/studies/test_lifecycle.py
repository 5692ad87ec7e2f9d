"""A study from its beginning to its end, by the commands that a researcher types."""

import json
from pathlib import Path

import pytest

from basalt.cli.leaderboard import leaderboard_main
from basalt.io.errors import BasaltError
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import join, rater_status
from leaderboard.store.database import open_store
from leaderboard.studies.access import AccessDeniedError, command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import create_study, find_study, get_study, list_studies
from leaderboard.studies.settings import change_settings, get_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()


def test_a_study_is_made_changed_copied_and_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "leaderboard.sqlite"
    consent = tmp_path / "consent.md"
    consent.write_text("We keep your answers.")

    def study(*arguments: str) -> str:
        assert leaderboard_main(["study", *arguments, "--store", str(place)]) == 0
        return capsys.readouterr().out

    made = study(
        "create", "caves", "pairs_per_rater=20", f"consent=@{consent}", "--task", "find_cave",
        "--seeds", "100001", "100002", "--step-limit", "400", "--questions",
    )  # fmt: skip
    assert "study 'caves': made" in made
    store = open_store(place)
    caves = find_study(store, "caves")
    assert caves.rules.tasks["find_cave"].seeds == (100_001, 100_002)
    assert caves.rules.ask_questions and list(caves.rules.tasks) == ["find_cave"]
    settings = get_settings(store, caves)
    assert (settings.pairs_per_rater, settings.consent) == (20, "We keep your answers.")

    assert study("edit", "caves", "check_share=0.15", "platform=prolific") == (
        'check_share: 0.0 -> 0.15\nplatform: "" -> "prolific"\n'
    )
    assert study("edit", "caves", "pairs_per_rater=null") == "pairs_per_rater: 20 -> null\n"
    assert json.loads(study("edit", "caves", "--json"))["check_share"] == 0.15

    study("end", "caves")
    study("duplicate", "caves", "more caves")
    copy = find_study(store, "more caves")
    assert copy.rules == caves.rules
    expected = get_settings(store, caves).model_copy(update={"ended": False})
    assert get_settings(store, copy) == expected

    with pytest.raises(BasaltError, match="add --yes"):
        study("delete", "caves")
    study("delete", "caves", "--yes")
    assert [one.name for one in list_studies(store)] == ["more caves"]
    with pytest.raises(BasaltError, match="no study named 'caves'"):
        study("edit", "caves")
    # Its name is free; what was stored is still there, and no study can be made that looks deleted.
    create_study(store, "caves", caves.rules)
    assert get_study(store, caves.id).rules == caves.rules
    with pytest.raises(BasaltError, match="another beginning"):
        create_study(store, "deleted:x", caves.rules)
    store.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "x"], "--seeds: expected at least one seed"),
        (["create", "x", "pairs=3", "--seeds", "1"], "pairs"),
        (["create", "x", "pairs_per_rater=0", "--seeds", "1"], "pairs_per_rater"),
        (["create", "x", "consent=@missing.md", "--seeds", "1"], "cannot be read"),
        (["create", "x", "paused", "--seeds", "1"], "expected SETTING=VALUE"),
        (["create", "x", "--seeds", "1", "1"], "distinct seeds"),
    ],
)
def test_a_wrong_study_is_one_error_and_makes_no_store(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    place = tmp_path / "leaderboard.sqlite"
    with pytest.raises(BasaltError, match=says):
        leaderboard_main(["study", *arguments, "--store", str(place)])
    assert not place.exists()


def test_a_study_that_has_ended_takes_open_answers_and_shows_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    study = fill(store, 3, 2)
    change_settings(store, study, ADMIN, watch_share=0, show_results=False)
    rater = join(store, study, "secret")
    pair = next_pair(store, study, rater)
    assert pair is not None
    change_settings(
        store, study, ADMIN, check_share=0.1
    )  # only now, so that the pair is an ordinary one
    options = [study.name, "--store", str(place)]
    for command, state in (("pause", "paused"), ("end", "ended"), ("resume", "judge")):
        assert leaderboard_main(["study", command, *options]) == 0
        assert rater_status(store, study, rater).state == state
        if command == "resume":
            continue
        with pytest.raises(AccessDeniedError, match=r"is paused|has ended"):
            next_pair(store, study, rater)
        with pytest.raises(AccessDeniedError, match=r"is paused|has ended"):
            join(store, study, "somebody else")
        assert get_settings(store, study).raters_see_results == (command == "end")
    assert leaderboard_main(["study", "end", *options]) == 0
    answer_pair(store, pair.assignment_id, rater, "left")
    assert len(load_comparisons(store, study)) == 1
    store.close()
    capsys.readouterr()
