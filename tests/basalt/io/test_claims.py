"""A folder belongs to the work it was made for."""

import json
from pathlib import Path

import pytest

import basalt
from basalt.io.atomic import write_json
from basalt.io.claims import claim, make_folder
from basalt.io.errors import ConfigError, WriteError
from basalt.io.locks import sole_writer
from basalt.io.paths import sample_dir


def test_the_same_work_resumes_and_other_work_is_refused(tmp_path):
    file = tmp_path / "out" / "rollout.json"
    first = claim(file, "rollout", {"task": "find_cave", "seeds": (1, 2)}, header={"version": 1})
    assert first == {"version": 1, "task": "find_cave", "seeds": [1, 2]}
    before = file.stat().st_mtime_ns
    assert claim(file, "rollout", {"task": "find_cave", "seeds": [1, 2]}) == first
    assert file.stat().st_mtime_ns == before
    with pytest.raises(
        ConfigError, match=r"this rollout was made with task='find_cave', not task=3"
    ):
        claim(file, "rollout", {"task": 3, "seeds": [1, 2]})
    with pytest.raises(ConfigError, match=r"made with job='find_cave', not job=3"):
        claim(file, "rollout", {"task": 3}, settings={"task": "job"})
    assert json.loads(file.read_text()) == first


def test_what_may_change_is_kept_up_to_date(tmp_path):
    file = tmp_path / "config.json"
    claim(file, "training run", {"lr": 1.0, "steps": 10})
    assert (
        claim(file, "training run", {"lr": 1.0, "steps": 20}, may_change={"steps"})["steps"] == 20
    )
    with pytest.raises(ConfigError, match=r"steps=20, not steps=10"):
        claim(file, "training run", {"lr": 1.0, "steps": 10})


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
def test_a_damaged_claim_is_one_line(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"expected .*JSON.*use another out=FOLDER") as err:
        claim(file, "training run", {"lr": 1.0})
    assert "\n" not in str(err.value)


@pytest.mark.parametrize("content", ['{"model_type": "vit"}', "{", "[1]"])
def test_the_config_of_another_program_claims_nothing(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    make_folder(tmp_path, "rollout")


def test_a_link_to_nothing_is_named_and_not_the_folder_above(tmp_path):
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "missing" / "folder")
    with pytest.raises(WriteError, match=r"out: expected a folder, got a broken link; remove it"):
        make_folder(link, "rollout")


CLAIMS = {
    "rollout": "rollout.json",
    "training run": "config.json",
    "suite": "config.json",
    "activation store": "store.json",
    "folder of embeddings": "embeddings.json",
}


@pytest.mark.parametrize("other", [*CLAIMS, "download"])
@pytest.mark.parametrize("kind", CLAIMS)
def test_a_folder_of_one_kind_takes_no_other(tmp_path, kind, other):
    facts = {"training_frames": 1} if kind == "suite" else {"out": "runs/bc", "data": "sample"}
    claim(tmp_path / CLAIMS[kind], kind, facts)
    before = sorted(tmp_path.iterdir())
    if kind == other:
        with sole_writer(tmp_path, kind):
            return
    with (
        pytest.raises(ConfigError, match=rf"{other}, got a {kind}; use another out=FOLDER") as err,
        sole_writer(tmp_path, other),
    ):
        pass
    assert "\n" not in str(err.value) and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("below", ["", "deep/down"])
def test_a_file_where_a_folder_is_expected_is_one_line_that_says_what_to_do(tmp_path, below):
    (tmp_path / "out").write_text("mine")
    folder = tmp_path / "out" / below
    writers = (
        lambda: claim(folder / "config.json", "training run", {}),
        lambda: make_folder(folder, "download"),
        lambda: sole_writer(folder, "rollout").__enter__(),
        lambda: write_json(folder / "report.json", {}),
    )
    for write in writers:
        with pytest.raises(
            WriteError,
            match=rf"^{tmp_path / 'out'}: expected a folder, got a file; remove it, or use another",
        ):
            write()
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    "folder", [sample_dir(), sample_dir() / "new", Path(basalt.__file__).parent]
)
def test_nothing_is_written_into_the_package(folder):
    before = sorted(folder.parent.iterdir())
    with pytest.raises(ConfigError, match=r"one of the package; use another out=FOLDER"):
        make_folder(folder, "rollout")
    assert sorted(folder.parent.iterdir()) == before
