"""The commands a user types, on a store of their own."""

import csv
import io
import json
import socket
from pathlib import Path

import pytest

from basalt.cli import main as cli
from basalt.cli.leaderboard import leaderboard_main
from basalt.cli.submit import submit_main
from basalt.core.comparisons import read_comparisons
from basalt.core.tasks import get_task
from basalt.io.errors import StudyError
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.ranking import digest, rate
from leaderboard.store.database import Store, open_store
from leaderboard.studies.access import admin_names, admin_of_email, admin_of_session, log_in
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study, list_studies
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, record, unwatched_study


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An SQLite store with an empty study."""
    path = tmp_path / "leaderboard.sqlite"
    store = open_store(path)
    unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    store.close()
    return path


def test_submit_judge_and_show(
    place: Path, agents: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(place)]
    assert submit_main([str(agents["good"]), "--name", "my agent", *store]) == 0
    assert "registered 'my agent' in study 'small': 2 episodes" in capsys.readouterr().out
    assert leaderboard_main(["show", *store]) == 0
    shown = capsys.readouterr().out
    assert "no judgments yet" in shown and "0 comparisons: my agent;" in shown
    assert submit_main([str(agents["poor"]), *store]) == 0
    assert leaderboard_main(["judge-by-telemetry", *store]) == 0
    assert "2 pairs newly judged" in capsys.readouterr().out
    assert leaderboard_main(["show", "--study", "small", *store]) == 0
    shown = capsys.readouterr().out
    assert "Find Cave, test 1 (judged by telemetry: a stand-in" in shown
    assert "0 comparisons" not in shown
    assert shown.index("1  my agent") < shown.index("2  poor ")
    assert leaderboard_main(["show", "--json", *store]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(one["agent"], one["comparisons"], one["source"]) for one in records] == [
        ("my agent", 2, "telemetry"),
        ("poor", 2, "telemetry"),
    ]
    assert {one["interval"] for one in records} == {"95%"}
    assert leaderboard_main(["show", "--json", "--model", "trueskill", *store]) == 0
    by_trueskill = json.loads(capsys.readouterr().out)
    assert {one["interval"] for one in by_trueskill} == {"2 sigma"}
    assert leaderboard_main(["show", "--model", "bt", "--replicates", "0", *store]) == 0
    shown = capsys.readouterr().out
    assert "Bradley-Terry; rows in order of strength" in shown
    assert shown.index("1  my agent") < shown.index("2  poor ")
    assert leaderboard_main(["show", "--source", "human", *store]) == 0
    assert "no judgments yet" in capsys.readouterr().out


def test_a_users_mistake_is_one_message_and_status_1(
    place: Path, agents: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    store, missing = ["--store", str(place)], ["--store", str(tmp_path / "no")]
    for argv, message in (
        (["submit", str(empty), *store], "holds no recordings"),
        (["submit", str(agents["good"]), *missing], "`basalt references --study official`"),
        (["leaderboard", "show", *missing], "`basalt references --study official`"),
        (["leaderboard", "show", *store, "--study", "x"], "there are: 'small'"),
        (["leaderboard", "export", "a.txt", *store], "ends in .parquet"),
        (["ui", "--headless", *missing], "`basalt references --study official`"),
    ):
        assert cli.run(argv) == 1
        errors = capsys.readouterr().err
        assert errors.startswith(f"basalt {argv[0]}: ")
        assert message in errors
    assert not (tmp_path / "no").exists()


def test_an_address_that_cannot_be_served_on_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve = ["leaderboard", "serve", "--store", str(place)]
    open_store(place).close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for argv in (["--port", port], ["--address", "256.1.1.1"], ["--address", "192.0.2.1"]):
            assert cli.run([*serve, *argv]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("basalt leaderboard: --port: cannot serve on port")
    with pytest.raises(SystemExit) as ended:
        cli.run([*serve, "--port", "70000"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for run, argv in (
        (submit_main, []),
        (leaderboard_main, []),
        (leaderboard_main, ["nonsense"]),
        (leaderboard_main, ["show", "--replicates", "-1"]),
        (leaderboard_main, ["show", "--model", "elo"]),
    ):
        with pytest.raises(SystemExit) as ended:
            run(argv)
        assert ended.value.code == 2


def test_the_default_store_is_the_demos_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, study in (("runs", "own"), ("runs/demo", "from the demo")):
        store = open_store(Path(path) / "leaderboard.sqlite")
        create_study(store, study, demo_study({"find_cave": SEEDS}, "test", "1"))
        store.close()
        assert leaderboard_main(["show"]) == 0
        assert f"Study '{study}'" in capsys.readouterr().out


def test_the_official_study_is_made_for_the_recordings_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "official.sqlite"
    arguments = [str(tmp_path / "one"), "--study", "official", "--store", str(place)]
    first, *others = get_task("find_cave").official_seeds
    record(tmp_path / "one", first, step_limit=3600)
    assert cli.run(["submit", *arguments]) == 1
    assert "find_cave: no recording with seed 65101, 78472" in capsys.readouterr().err
    store = open_store(place)
    assert list_studies(store) == [], "refused recordings make no study"
    for seed in others:
        record(tmp_path / "one", seed, step_limit=3600)
    assert cli.run(["submit", *arguments]) == 0
    assert find_study(store).name == "official test 1"
    assert len(find_study(store).rules.tasks) == 4
    store.close()


def judged(store: Store, study: StudyInfo, agents: dict[str, Path]) -> None:
    for folder in agents.values():
        submit_recordings(store, study, folder)
    judge_by_telemetry(store, study)
    rater = register_rater(store, "secret")
    for winner in ("left", "draw", "both_bad", "skip", "right"):
        pair = next_pair(store, study, rater)
        assert pair is not None
        answer_pair(
            store, pair.assignment_id, rater, winner, justification='said "x";\nand y',
            skip_reason="broken" if winner == "skip" else None,
        )  # fmt: skip


def test_exports_hold_every_judgment(
    place: Path, agents: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(place)
    study = find_study(store)
    judged(store, study, agents)
    for suffix in ("parquet", "csv", "json"):
        file = tmp_path / f"out.{suffix}"
        assert leaderboard_main(["export", str(file), "--store", str(place)]) == 0
        assert "wrote 11 comparisons" in capsys.readouterr().out
    stored = load_comparisons(store, study)
    back = read_comparisons(tmp_path / "out.parquet")
    assert back == stored
    assert rate(back) == rate(stored)
    with (tmp_path / "out.csv").open(newline="") as file_:
        rows = list(csv.DictReader(file_))
    records = json.loads((tmp_path / "out.json").read_text())
    for row, one, comparison in zip(rows, records, stored, strict=True):
        assert row["winner"] == one["winner"] == comparison.winner
        assert row["justification"] == one["justification"] == comparison.justification
        assert int(row["seed"]) == one["seed"] == comparison.seed
        assert row["created"] == comparison.created.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert leaderboard_main(["recompute", "--store", str(place)]) == 0
    assert f"sha256 {digest(rate(back))}" in capsys.readouterr().out
    page = tmp_path / "board.html"
    assert leaderboard_main(["export", str(page), "--store", str(place)]) == 0
    assert page.read_text().count("<table") == len(rate(stored)) == 2
    assert page.read_text().count("Bradley–Terry; rows in order of strength.") == 2
    argv = ["export", str(page), "--model", "trueskill", "--store", str(place)]
    assert leaderboard_main(argv) == 0
    assert page.read_text().count("TrueSkill; rows in order of") == 2
    only = tmp_path / "human.parquet"
    assert leaderboard_main(["export", str(only), "--source", "human", "--store", str(place)]) == 0
    assert len(read_comparisons(only)) == 5
    store.close()


def test_an_admin_is_made_and_removed_from_the_terminal(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(place)]
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert leaderboard_main(["admin", "grace", *store]) == 0
    opened = open_store(place)
    assert (
        admin_of_session(opened, log_in(opened, "grace", "correct horse battery")).name == "grace"
    )
    assert leaderboard_main(["admin", "grace", "--email", "Grace@lab.example", *store]) == 0
    assert admin_of_email(opened, "grace@lab.example", verified=True).name == "grace"
    assert leaderboard_main(["admin", "grace", "--remove", *store]) == 0
    assert admin_names(opened) == []
    opened.close()
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(StudyError, match="at least 12 characters"):
        leaderboard_main(["admin", "grace", *store])
    assert "correct horse" not in capsys.readouterr().out
