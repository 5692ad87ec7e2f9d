"""What one person publishes, another one loads by its address."""

import json
from pathlib import Path

import pytest

from agents.common.identity import identify
from basalt.cli import main as cli
from basalt.core.comparisons import read_comparisons, write_comparisons
from basalt.core.published import CARD, MANIFEST, data_folder, local_copy
from basalt.core.recording import find_recordings
from basalt.data.episodes import load_episodes
from basalt.data.lerobot import export_lerobot
from basalt.hub.cards import card
from basalt.hub.contents import look_into
from basalt.io.errors import BasaltError, ConfigError
from basalt.policies.checkpoint import find_checkpoint
from basalt.policies.source import open_policy
from basalt.probes.records import SuiteSettings
from tests.support.hub_server import TOKEN, Hub, running
from tests.support.synthetic import write_episode
from tests.support.synthetic_comparisons import one_comparison
from tests.support.three_players import record
from tests.support.tiny_policy import tiny_run


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))


def publish(source: Path, address: str, *more: str) -> int:
    return cli.run(["hub", "publish", str(source), address, "--quiet", *more])


def recordings(folder: Path) -> Path:
    write_episode(folder, 100_001, steps=6)
    record(folder, 100_002, cave_steps=1)
    return folder


def test_recordings_are_learned_from_by_their_address(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "plays")
    (folder / "note.txt").write_text("private")
    address = f"file://{tmp_path}/there"
    assert publish(folder, address, "--licence", "cc-by-4.0") == 0
    mine = [one.lines_path.read_bytes() for one in find_recordings(folder)]
    assert [one.lines_path.read_bytes() for one in find_recordings(data_folder(address))] == mine
    assert len(load_episodes(address)) == 2
    assert not (tmp_path / "there/note.txt").exists()
    text = (tmp_path / "there" / CARD).read_text()
    assert text.startswith("---\nlicense: cc-by-4.0\n")
    for told in (
        "2, 10 steps",
        "100001 to 100002",
        "1 of 1 (21% to 100%",
        f"data.source={address}",
    ):
        assert told in text, told


def test_a_run_is_published_without_what_only_training_needs(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text("{}")
    (run / "config.json").write_text('{"seed": 5}')
    address = f"file://{tmp_path}/there"
    assert publish(run, address) == 0
    sent = {path.name for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert sent == {"config.json", "checkpoint.json", "model.safetensors", CARD, MANIFEST}
    import torch

    theirs, mine = (open_policy(one, torch.device("cpu")) for one in (address, run))
    for one, other in zip(theirs.parameters(), mine.parameters(), strict=True):
        assert torch.equal(one, other)
    played = {"name": "bc", "seed": 0}
    assert identify(played | {"checkpoint": address}) == identify(played | {"checkpoint": str(run)})
    assert "No licence was given" in (tmp_path / "there" / CARD).read_text()


def test_boards_suites_and_datasets_are_known(tmp_path: Path) -> None:
    board = tmp_path / "judgments.parquet"
    write_comparisons(board, [one_comparison("a", "b", "left", minute) for minute in range(3)])
    suite = SuiteSettings(
        checkpoint="runs/bc", fingerprint="0" * 64, data="sample", task="find_cave", steps=1, batch=1, lr=0.1, seed=0,
        dtype="float32", training_frames=7, held_out_frames=3, training_episodes=2, held_out_episodes=1,
    )  # fmt: skip
    suite.write(tmp_path / "suite/config.json")
    (tmp_path / "suite/.cache").mkdir()
    (tmp_path / "suite/.cache/x.json").write_text("{}")
    export_lerobot([recordings(tmp_path / "plays")], tmp_path / "dataset", progress=False)
    kinds = {
        "judgments.parquet": "board",
        "suite": "suite",
        "dataset": "lerobot",
        "plays": "recordings",
    }
    for name, kind in kinds.items():
        address = f"file://{tmp_path}/there-{kind}"
        assert publish(tmp_path / name, address) == 0
        assert json.loads((tmp_path / f"there-{kind}" / MANIFEST).read_text())["kind"] == kind
    assert len(read_comparisons(local_copy(f"file://{tmp_path}/there-board") / board.name)) == 3
    assert not (tmp_path / "there-suite/.cache").exists()
    (tmp_path / "nothing").mkdir()
    for wrong, message in {
        "nothing": "expected recordings, a policy",
        "missing": "check the path",
    }.items():
        with pytest.raises(ConfigError, match=message):
            look_into(tmp_path / wrong)


def test_names_of_strangers_stay_in_their_cells(tmp_path: Path) -> None:
    board = tmp_path / "judgments.json"
    name = "x|y](http://evil) <b>\n# head"
    write_comparisons(board, [one_comparison(name, "b", "left")])
    lines = card(look_into(board), "hf://a/b", None).splitlines()
    (row,) = [line for line in lines if "evil" in line]
    assert row == r"| agents | b, x\|y\](http://evil) \<b\> # head |"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Hub":  # type: ignore[misc]
    from huggingface_hub import constants
    from huggingface_hub.hf_file_system import HfFileSystem

    with running() as hub:
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        HfFileSystem.clear_instance_cache()
        yield hub


def test_a_hub_keeps_a_policy_that_is_played_by_its_address(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path / "run")
    assert publish(run, "hf://ada/walker") == 0
    assert hub.commits == 1 and set(hub.repositories) == {"models/ada/walker"}
    assert find_checkpoint("hf://ada/walker").joinpath("model.safetensors").is_file()
    assert publish(run, "hf://ada/walker") == 0
    assert publish(tiny_run(tmp_path / "other", seed=1), "hf://ada/walker") == 1
    assert "choose another, or give --replace" in capsys.readouterr().err
    assert publish(tmp_path / "other", "hf://ada/walker", "--replace") == 0
    assert publish(recordings(tmp_path / "plays"), "hf://datasets/ada/plays") == 0
    assert set(hub.repositories) == {"models/ada/walker", "datasets/ada/plays"}
    assert len(find_recordings(data_folder("hf://datasets/ada/plays"))) == 2
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    capsys.readouterr()
    assert publish(run, "hf://ada/secret") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not [line for line in hub.unknown if line.startswith("POST")]


@pytest.mark.parametrize("address", ["hf://ada", "hf://datasets/ada", "hf://ada/x@main", "runs/x"])
def test_an_address_without_a_repository_is_one_error(
    hub: Hub, tmp_path: Path, address: str
) -> None:
    with pytest.raises(BasaltError, match=r"expected (hf://USER/NAME|an address)|cannot be read"):
        from basalt.hub.publish import publish as publish_there

        publish_there(tiny_run(tmp_path / "run"), address, progress=False)
    assert hub.repositories == {}
