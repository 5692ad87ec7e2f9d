"""A newcomer's opponents by one command, and claims about the world put to the test, on the real engine."""

import json
import shutil
from pathlib import Path

import pytest

from basalt.cli import main as cli
from basalt.core.actions import FrameSize
from basalt.core.recording import Recording, find_recordings, sha256_of
from basalt.core.tasks import get_task
from basalt.worlds.luanti.version import world_version
from leaderboard.store.database import open_store
from leaderboard.studies.rules import create_study, demo_study, find_study
from leaderboard.submissions.register import submitted_agents
from tests.support.bedd_files import write_video

pytestmark = pytest.mark.engine

SEED = 200_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tiny study, and beside it what the reference players played for it."""
    folder = tmp_path_factory.mktemp("references")
    store = open_store(folder / "board.sqlite")
    rules = demo_study(
        {"find_cave": (SEED,)}, "luanti", world_version(get_task("find_cave")), step_limit=20
    )
    create_study(store, "tiny study", rules)
    store.close()
    return folder


def references(place: Path, *more: str) -> int:
    where = ["--store", str(place / "board.sqlite"), "--out", str(place / "played")]
    return cli.run(["references", *where, "--train-steps", "2", *more])


def played(place: Path, player: str) -> Path:
    return place / "played" / "tiny-study" / player


@pytest.mark.long
def test_one_command_enters_the_opponents_and_goes_on_where_it_stopped(
    place: Path, capsys: pytest.CaptureFixture
) -> None:
    assert references(place, "--players", "random") == 0
    first = Recording.open(played(place, "random") / "find_cave" / f"seed_{SEED}")
    written = first.video_path.stat().st_mtime_ns
    assert references(place) == 0
    assert "random: in study 'tiny study' already" in capsys.readouterr().out
    assert first.video_path.stat().st_mtime_ns == written
    store = open_store(place / "board.sqlite")
    assert submitted_agents(store, find_study(store)) == {"random", "demonstrator", "bc"}
    store.close()
    board = ["--store", str(place / "board.sqlite")]
    assert cli.run(["leaderboard", "judge-by-telemetry", *board]) == 0
    assert "3 pairs newly judged" in capsys.readouterr().out


def test_a_persons_recordings_are_opponents_too_and_only_a_persons(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert references(place, "--players", "random") == 0
    arguments = ("--players", "random", "--person", str(tmp_path / "played"))
    shutil.copytree(played(place, "random"), tmp_path / "played")
    assert references(place, *arguments) == 1
    assert "random was not played by a person" in capsys.readouterr().err
    (recording,) = find_recordings(tmp_path / "played")
    # Another play: the study knows random's.
    assert recording.meta is not None
    size = FrameSize(recording.meta.width, recording.meta.height)
    write_video(recording.video_path, recording.meta.frames, size)
    video = sha256_of(recording.video_path)
    restate(recording, player="Ada", player_kind="human", video_sha256=video)
    for said in ("Ada: entered study 'tiny study'", "Ada: in study 'tiny study' already"):
        assert references(place, *arguments) == 0
        assert said in capsys.readouterr().out


def test_a_study_of_another_world_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = open_store(tmp_path / "board.sqlite")
    create_study(store, "old", demo_study({"find_cave": (SEED,)}, "luanti", "luanti-0"))
    store.close()
    assert references(tmp_path) == 1
    assert "worlds are never mixed" in capsys.readouterr().err
    assert not (tmp_path / "played").exists()


def test_a_replay_confirms_what_happened_and_finds_what_did_not(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert references(place, "--players", "demonstrator") == 0
    shutil.copytree(played(place, "demonstrator"), tmp_path / "claim")
    study = ("--study", "tiny study", "--store", str(place / "board.sqlite"))
    check = ["submit", str(tmp_path / "claim"), *study, "--check", "--replay", "1"]
    assert cli.run(check) == 0
    assert f"seed {SEED}: 20 steps, replayed: the same places" in capsys.readouterr().out
    # The same play, said to have happened three nodes further on from the tenth step.
    (recording,) = find_recordings(tmp_path / "claim")
    rows = [json.loads(line) for line in recording.lines_path.read_text().splitlines()]
    for row in rows[10:]:
        row["xpos"] += 3
        row["telemetry"]["xpos"] += 3
    recording.lines_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    restate(recording, lines_sha256=sha256_of(recording.lines_path))
    assert cli.run([*check[:-2]]) == 0, "nothing in the file itself gives it away"
    assert cli.run(check) == 1
    assert "replay verification failed" in capsys.readouterr().err


def restate(recording: Recording, **claims: object) -> None:
    """Change what a recording says of itself."""
    assert recording.meta is not None
    meta = recording.meta.model_copy(update=claims)
    recording.meta_path.write_text(meta.model_dump_json())
