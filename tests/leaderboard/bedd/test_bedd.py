"""BEDD's answers: read strictly where ratings depend on it, imported once, exported without loss."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import trueskill

from basalt.cli import main as cli
from basalt.core.comparisons import read_comparisons, write_comparisons
from basalt.core.video import VideoWriter
from leaderboard.bedd.answers import BeddError, read_answers, read_banned
from leaderboard.bedd.study import export_bedd, import_bedd
from leaderboard.bedd.videos import add_videos
from leaderboard.http.video_urls import pair_videos
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Episode, Judgment, Rater
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyError, StudyInfo, find_study
from leaderboard.studies.settings import change_settings

CAVE = "Did this player find and enter a cave?"


def answer(number: int, left: str, right: str, winner: str, **changes: Any) -> dict[str, Any]:
    """An element with every field that the published schema names; `number` counts up in time."""
    left_hash, right_hash = f"{left}-hash", f"{right}-hash"
    metadata = {
        "win_player": winner,
        "responses": {
            "direct_question": [{"question": CAVE, "player_1": "true", "player_2": "false"}],
            "comparisons": [
                {"question": "Which player found a cave the fastest?", "answer": "p1"},
                {"question": "Which player seemed more human-like?", "answer": "na"},
            ],
            "justificationText": "The left player walked into a cave at once.",
        },
        "start_time": 1_670_000_000_000 + number * 600_000,
        "end_time": 1_670_000_300_000 + number * 600_000,
        "VIDEO_EVENTS": [{"type": "play", "source": "playerA", "time": 1, "player_id": "a"}],
        "is_draw": winner == "draw",
        "mturk_workerId": "N/A",
    }
    return {
        "worker_id": f"W{number % 3}",
        "task": "FindCave",
        "hash": f"match-{number}",
        "created_at": f"2022-12-02T{number // 60:02}:{number % 60:02}:00",
        "updated_at": f"2022-12-03T{number // 60:02}:{number % 60:02}:00",
        "expiry_at": "2022-12-02T18:00:00",
        "episodes": [
            {"agent_name": left, "seed": "14169", "hash": left_hash, "meta": {}},
            {"agent_name": right, "seed": "14169", "hash": right_hash, "meta": {}},
        ],
        "result": {
            "is_draw": winner == "draw",
            "ranks": [left_hash, right_hash],
            "hash": f"result-{number}",
            "eval_metadata": metadata,
        },
    } | changes


HISTORY = [
    answer(0, "GoUp", "Random", "p1"),
    answer(1, "Human1", "GoUp", "p1"),
    answer(2, "Random", "Human1", "p2"),
    answer(3, "GoUp", "Human1", "draw"),
    answer(4, "Random", "GoUp", "p1"),
    answer(5, "Human1", "Random", "p2"),
]
"""In order of time; the files hold it newest first."""


def write(path: Path, newest_last: list[Any]) -> Path:
    path.write_text(json.dumps(newest_last[::-1]))
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return write(tmp_path / "human_answers.json", HISTORY)


@pytest.fixture
def lite(tmp_path: Path) -> Store:
    return open_store(tmp_path / "leaderboard.sqlite")


def ratings(store: Store, study: str) -> dict[str, tuple[float, float]]:
    (table,) = rate(load_comparisons(store, find_study(store, study)))
    return {row.agent: (row.value, row.error) for row in table.rows}


def replayed(history: list[tuple[str, str, bool]]) -> dict[str, Any]:
    """Ratings by the `trueskill` package, to compare with ours to 1e-9; winner first."""
    found: dict[str, trueskill.Rating] = {}
    for first, second, drawn in history:
        a, b = found.get(first, trueskill.Rating()), found.get(second, trueskill.Rating())
        found[first], found[second] = trueskill.rate_1vs1(a, b, drawn)
    return {
        name: pytest.approx((rating.mu, rating.sigma), abs=1e-9) for name, rating in found.items()
    }


def test_ratings_are_a_replay_of_the_reversed_list(store: Store, answers: Path) -> None:
    done = import_bedd(store, answers)
    assert (done.added, done.present, done.banned) == (6, 0, 0)
    assert ratings(store, "BEDD") == replayed(
        [
            ("GoUp", "Random", False),
            ("Human1", "GoUp", False),
            ("Human1", "Random", False),
            ("GoUp", "Human1", True),
            ("Random", "GoUp", False),
            ("Random", "Human1", False),
        ]
    )
    (table,) = rate(load_comparisons(store, find_study(store, "BEDD")))
    assert (table.source, table.world, table.task) == ("bedd", "minerl", "find_cave")


def test_everything_an_answer_says_is_kept(lite: Store, answers: Path) -> None:
    import_bedd(lite, answers)
    with lite.read() as session:
        first = session.scalars(sa.select(Judgment).order_by(Judgment.created)).first()
        workers = session.scalars(sa.select(Rater.token_sha256)).all()
    assert first is not None
    assert first.responses == {
        "direct": [{"question": CAVE, "left": True, "right": False}],
        "comparative": [
            {"question": "Which player found a cave the fastest?", "answer": "left"},
            {"question": "Which player seemed more human-like?", "answer": None},
        ],
    }
    assert first.justification.startswith("The left player")
    assert first.seconds == 300
    assert len(first.video_events) == 1
    assert f"{first.created:%Y-%m-%d %H:%M}" == "2022-12-03 00:00"
    assert len(workers) == 3
    # Workers are known by a hash, which no secret shown to the app can match.
    assert all(worker.startswith("bedd:") and "W0" not in worker for worker in workers)


def test_the_same_files_again_add_nothing_and_newer_ones_only_what_is_new(
    store: Store, tmp_path: Path, answers: Path
) -> None:
    older = write(tmp_path / "older.json", HISTORY[:4])
    import_bedd(store, older)
    done = import_bedd(store, answers)
    assert (done.added, done.present) == (2, 4)
    done = import_bedd(store, answers)
    assert (done.added, done.present) == (0, 6)
    other = import_bedd(store, answers, name="at once")
    assert other.added == 6
    assert ratings(store, "at once") == ratings(store, "BEDD")


def test_answers_of_banned_workers_are_left_out(lite: Store, tmp_path: Path, answers: Path) -> None:
    banned = tmp_path / "banned_workers.json"
    banned.write_text(json.dumps([{"workerId": "W1", "why": "x"}, {"workerId": "stranger"}]))
    done = import_bedd(lite, answers, banned)
    assert (done.added, done.banned) == (4, 2)
    assert ratings(lite, "BEDD") == replayed(
        [
            ("GoUp", "Random", False),
            ("Human1", "Random", False),
            ("GoUp", "Human1", True),
            ("Random", "Human1", False),
        ]
    )
    banned.write_text(json.dumps([{"workerId": f"W{i}"} for i in range(3)]))
    with pytest.raises(BeddError, match="all 6 answers are by banned workers"):
        import_bedd(lite, answers, banned, "another")


def test_a_worker_banned_later_leaves_the_ratings_at_once(
    lite: Store, tmp_path: Path, answers: Path
) -> None:
    import_bedd(lite, answers)
    banned = tmp_path / "banned_workers.json"
    banned.write_text(json.dumps([{"workerId": "W1"}]))
    done = import_bedd(lite, answers, banned)
    assert (done.added, done.present, done.banned, done.taken_out) == (0, 4, 2, 1)
    assert import_bedd(lite, answers, banned).taken_out == 0
    import_bedd(lite, answers, banned, "from the beginning")
    assert ratings(lite, "BEDD") == ratings(lite, "from the beginning")
    with lite.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Judgment)) == 6 + 4


def the_videos(folder: Path, *agents: str, seed: int = 14169, shade: int = 0) -> Path:
    """The published folder's layout, invented; the pictures tell the agents apart."""
    for number, agent in enumerate(agents):
        task = folder / agent / ("FindCave" if number % 2 else "MineRLBasaltFindCave-v0")
        task.mkdir(parents=True)
        writer = VideoWriter(task / f"seed_{seed}.mp4")
        for step in range(7 + number):
            writer.write(np.full((360, 640, 3), shade + 40 * number + step, np.uint8))
        writer.close()
    return folder


def test_a_new_agent_is_judged_against_the_published_ones(
    lite: Store, tmp_path: Path, answers: Path
) -> None:
    import_bedd(lite, answers)
    before = ratings(lite, "BEDD")
    videos = the_videos(tmp_path / "agent_videos", "GoUp", "Human1")
    assert add_videos(lite, find_study(lite, "BEDD"), videos) == 2
    assert add_videos(lite, find_study(lite, "BEDD"), videos) == 0
    assert import_bedd(lite, answers).present == 6
    assert ratings(lite, "BEDD") == before

    mine = the_videos(tmp_path / "mine", "Newcomer", shade=90) / "Newcomer"
    place = ["--study", "BEDD", "--store", str(tmp_path / "leaderboard.sqlite")]
    assert cli.run(["submit", str(mine), *place]) == 0
    study = find_study(lite, "BEDD")
    change_settings(lite, study, command_line_admin(), watch_share=0)
    rater = register_rater(lite, "secret")
    shown = set()
    while pair := next_pair(lite, study, rater):
        shown.add(pair.steps)
        assert pair_videos(lite, pair).left
        answer_pair(lite, pair.assignment_id, rater, "left")
    # Random has no video here: nobody is asked about it.
    assert {frozenset(steps) for steps in shown} == {frozenset({6, 7}), frozenset({6})}
    people = rate(load_comparisons(lite, study, ["human"]))
    assert {row.agent for row in people[0].rows} == {"GoUp", "Human1", "Newcomer"}
    bedd = rate(load_comparisons(lite, study, ["bedd"]))
    assert {row.agent: (row.value, row.error) for row in bedd[0].rows} == before
    (together,) = rate(load_comparisons(lite, study), mix_sources=True)
    assert {row.agent for row in together.rows} == {"GoUp", "Human1", "Newcomer", "Random"}


def test_videos_that_no_answer_is_about_are_all_named_and_none_is_added(
    lite: Store, tmp_path: Path, answers: Path
) -> None:
    import_bedd(lite, answers)
    study = find_study(lite, "BEDD")
    videos = the_videos(tmp_path / "agent_videos", "GoUp", "Stranger")
    the_videos(tmp_path / "other", "GoUp", "Human1", seed=7)
    shutil.copytree(tmp_path / "other" / "Human1", videos / "Human1")
    shutil.copytree(videos / "GoUp" / "MineRLBasaltFindCave-v0", videos / "GoUp" / "find_cave")
    with pytest.raises(BeddError) as told:
        add_videos(lite, study, videos)
    for fault in (
        "Stranger: there are no answers about an agent",
        "Human1/find_cave/seed_7.mp4: has seed 7",
        "is the second video of find_cave with seed 14169",
    ):
        assert fault in str(told.value)
    with lite.read() as session:
        assert set(session.scalars(sa.select(Episode.steps))) == {0}
    assert not list(lite.media.iterdir())
    with pytest.raises(BeddError, match="expected folders of agents"):
        add_videos(lite, study, tmp_path / "other" / "GoUp" / "MineRLBasaltFindCave-v0")


def test_the_lists_order_wins_over_its_times(lite: Store, tmp_path: Path, answers: Path) -> None:
    import_bedd(lite, answers)
    backwards = [
        one | {"updated_at": f"2022-12-03T00:{30 - number:02}:00"}
        for number, one in enumerate(HISTORY)
    ]
    import_bedd(lite, write(tmp_path / "backwards.json", backwards), name="backwards")
    assert ratings(lite, "backwards") == ratings(lite, "BEDD")


def test_absent_optional_fields_are_no_matter(lite: Store, tmp_path: Path, answers: Path) -> None:
    import_bedd(lite, answers)
    bare = [
        {
            "worker_id": one["worker_id"],
            "task": one["task"],
            "episodes": [
                {"agent_name": one["episodes"][0]["agent_name"], "seed": "14169"},
                {"agent_name": one["episodes"][1]["agent_name"]},
            ],
            "result": {
                "is_draw": one["result"]["is_draw"],
                "eval_metadata": {"win_player": one["result"]["eval_metadata"]["win_player"]},
            },
        }
        for one in HISTORY
    ]
    # Without hashes, equal answers differ in their number.
    path = write(tmp_path / "bare.json", [*bare, bare[-1]])
    assert import_bedd(lite, path, name="bare").added == 7
    assert import_bedd(lite, path, name="bare").added == 0
    path = write(tmp_path / "six.json", bare)
    import_bedd(lite, path, name="six")
    assert ratings(lite, "six") == ratings(lite, "BEDD")


def test_the_servers_doubly_packed_metadata_is_read(tmp_path: Path) -> None:
    one = answer(0, "GoUp", "Random", "p2")
    metadata = one["result"]["eval_metadata"]
    for packed in (json.dumps(metadata), json.dumps(json.dumps(metadata))):
        one["result"]["eval_metadata"] = packed
        (read,) = read_answers(write(tmp_path / "packed.json", [one]))
        assert read.winner == "right"
        assert read.seconds == 300


def test_a_draw_wins_over_the_named_player(tmp_path: Path) -> None:
    one = answer(0, "GoUp", "Random", "p1")
    one["result"]["is_draw"] = True
    (read,) = read_answers(write(tmp_path / "draw.json", [one]))
    assert read.winner == "draw"


Change = Callable[[dict[str, Any]], Any]

FAULTS: list[tuple[Change, str]] = [
    (lambda one: one.pop("worker_id"), "answer 2: worker_id: Field required"),
    (lambda one: one.update(task="BuildCastle"), "expected one of FindCave, MakeWaterfall"),
    (lambda one: one["episodes"].pop(), "answer 2: episodes"),
    (lambda one: one["episodes"][1].pop("agent_name"), "episodes.1.agent_name: Field required"),
    (lambda one: one["episodes"][0].pop("seed"), "episodes.0.seed is missing"),
    (lambda one: one["episodes"][0].update(seed="x; drop"), "episodes.0.seed"),
    (lambda one: one["episodes"][1].update(seed="65101"), "expected episodes of one seed"),
    (lambda one: one["episodes"][1].update(agent_name="Human1"), "both episodes are by 'Human1'"),
    (lambda one: one["result"].pop("is_draw"), "result.is_draw: Field required"),
    (lambda one: one["result"].update(is_draw="no"), "result.is_draw"),
    (lambda one: one["result"]["eval_metadata"].update(win_player="p3"), "win_player"),
    (lambda one: one["result"]["eval_metadata"].update(win_player="na"), "though is_draw is false"),
    (lambda one: one["result"].update(eval_metadata="{"), "result.eval_metadata"),
    (lambda one: one.update(updated_at="yesterday"), "updated_at"),
    (lambda one: one.update(hash="match-0"), "2 answers have the hash match-0"),
    (lambda one: one.update(world="luanti", world_version="5"), "several worlds"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_wrong_answer_is_named_and_nothing_is_imported(
    lite: Store, tmp_path: Path, change: Change, message: str
) -> None:
    one = answer(1, "Human1", "GoUp", "p1")
    change(one)
    # Newest first: the wrong one is the second element of the file.
    path = write(tmp_path / "wrong.json", [HISTORY[0], one, HISTORY[2]])
    with pytest.raises(BeddError) as err:
        import_bedd(lite, path)
    assert message in str(err.value)
    assert str(path) in str(err.value)
    with pytest.raises(StudyError, match="has no studies"):
        find_study(lite)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "expected a JSON file"),
        ("[NaN]", "NaN is not valid JSON"),
        ("{}", "expected a JSON list"),
        ("[]", "holds no answers"),
        ('["\\u0000"]', "NUL character"),
        ("[3]", "answer 1: "),
    ],
)
def test_a_file_that_is_no_list_of_answers(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(content)
    with pytest.raises(BeddError, match=r"answers\.json") as err:
        read_answers(path)
    assert message in str(err.value)
    with pytest.raises(BeddError, match="cannot be read"):
        read_answers(tmp_path / "absent.json")


def test_many_faults_are_counted(tmp_path: Path) -> None:
    with pytest.raises(BeddError, match="and 80 more"):
        read_answers(write(tmp_path / "many.json", [{}] * 25))
    banned = tmp_path / "banned.json"
    banned.write_text('[{"workerId": "a"}, {"worker": "b"}]')
    with pytest.raises(BeddError, match="element 2 has no workerId"):
        read_banned(banned)


def test_a_changed_answer_or_another_evaluation_is_refused(
    lite: Store, tmp_path: Path, answers: Path
) -> None:
    import_bedd(lite, answers)
    changed = [answer(0, "GoUp", "Random", "p2"), *HISTORY[1:]]
    with pytest.raises(BeddError, match="match-0 was imported before with another winner"):
        import_bedd(lite, write(tmp_path / "changed.json", changed))
    other = [answer(9, "GoUp", "Random", "p2", task="MakeWaterfall")]
    with pytest.raises(BeddError, match="imported from other answers"):
        import_bedd(lite, write(tmp_path / "other.json", other))
    twins = [answer(9, "GoUp", "random", "p2")]
    with pytest.raises(BeddError, match="differs only in case"):
        import_bedd(lite, write(tmp_path / "twins.json", twins))
    assert len(load_comparisons(lite, find_study(lite, "BEDD"))) == 6


def test_nothing_of_the_study_is_served_and_none_is_imported_into_ones_own(
    full_study: StudyInfo, store: Store, answers: Path
) -> None:
    import_bedd(store, answers)
    rater = register_rater(store, "secret")
    with pytest.raises(StudyError, match="does not accept judgments from source 'human'"):
        next_pair(store, find_study(store, "BEDD"), rater)
    with pytest.raises(BeddError, match="'small' was not imported from BEDD"):
        import_bedd(store, answers, name="small")


def test_an_export_imported_again_gives_the_same_ratings(
    lite: Store, tmp_path: Path, answers: Path
) -> None:
    import_bedd(lite, answers)
    file = tmp_path / "out" / "human_answers.json"
    assert export_bedd(file, lite, find_study(lite, "BEDD")) == 6
    assert "W0" not in file.read_text()
    import_bedd(lite, file, name="again")
    assert ratings(lite, "again") == ratings(lite, "BEDD")
    before, after = (load_comparisons(lite, find_study(lite, name)) for name in ("BEDD", "again"))
    for one, other in zip(before, after, strict=True):
        assert (one.winner, one.created, one.seconds, one.justification, one.left_agent) == (
            other.winner, other.created, other.seconds, other.justification, other.left_agent,
        )  # fmt: skip
    with lite.read() as session:
        responses = session.scalars(sa.select(Judgment.responses)).all()
    assert all(one == responses[0] for one in responses)


def test_ones_own_study_is_exported_too(
    store: Store, full_study: StudyInfo, tmp_path: Path
) -> None:
    judge_by_telemetry(store, full_study)
    file = tmp_path / "own.json"
    count = export_bedd(file, store, full_study, "telemetry")
    done = import_bedd(store, file, name="back")
    assert done.added == count == 6
    assert ratings(store, "back") == ratings(store, "small")
    assert find_study(store, "back").rules.world == "test"


def test_tasks_of_different_world_versions_survive_an_export(lite: Store, tmp_path: Path) -> None:
    versions = {"find_cave": "a", "make_waterfall": "b"}
    played = [
        answer(number, "A", "B", "p1", task=task, world="luanti", world_version=version)
        for number, (task, version) in enumerate(
            zip(("FindCave", "MakeWaterfall"), versions.values(), strict=True)
        )
    ]
    import_bedd(lite, write(tmp_path / "own.json", played))
    file = tmp_path / "out.json"
    assert export_bedd(file, lite, find_study(lite, "BEDD")) == 2
    import_bedd(lite, file, name="again")
    assert find_study(lite, "again").rules.world_version == versions
    assert import_bedd(lite, file, name="again").present == 2
    two = [played[0], answer(2, "A", "B", "p1", world="luanti", world_version="b")]
    with pytest.raises(BeddError, match="several versions of a task's world"):
        import_bedd(lite, write(tmp_path / "two.json", two), name="two")


def test_the_commands(tmp_path: Path, answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--store", str(tmp_path / "board.sqlite")]
    assert cli.run(["leaderboard", "import-bedd", str(tmp_path / "no.json"), *place]) == 1
    assert "no.json: cannot be read" in capsys.readouterr().err
    missing = ["leaderboard", "import-bedd", str(answers), str(tmp_path / "banned.json"), *place]
    assert cli.run(missing) == 1
    assert "banned.json: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "board.sqlite").exists()
    assert cli.run(["leaderboard", "import-bedd", str(answers), *place]) == 0
    assert "study 'BEDD': 6 answers added" in capsys.readouterr().out
    assert cli.run(["leaderboard", "show", "--study", "BEDD", *place]) == 0
    assert "judged by people, BEDD data set" in capsys.readouterr().out
    out = str(tmp_path / "out.json")
    assert cli.run(["leaderboard", "export", out, "--bedd", *place]) == 0
    assert "wrote 6 answers of study 'BEDD'" in capsys.readouterr().out


def test_answers_are_comparisons_with_their_questions(
    lite: Store, answers: Path, tmp_path: Path
) -> None:
    import_bedd(lite, answers)
    study = find_study(lite, "BEDD")
    path = tmp_path / "bedd.parquet"
    write_comparisons(path, load_comparisons(lite, study, questions=True))
    found = read_comparisons(path)
    overall, *rest = [one for one in found if one.created == found[0].created]
    assert (overall.question, overall.winner, overall.source) == ("", "left", "bedd")
    assert [(one.question, one.winner) for one in rest] == [
        (CAVE, "left"),
        ("Which player found a cave the fastest?", "left"),
    ]
    assert all((one.left, one.right) == (overall.left, overall.right) for one in rest)
    assert len(found) == 3 * len(HISTORY)
    assert rate(found) == rate(load_comparisons(lite, study))  # questions rate nobody
