"""A folder that cannot be written is one line, whichever command writes there, and nothing is left behind."""

from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.small_disk import on_a_read_only_disk

COMMAND = "from basalt.cli.main import main; main()"
SAMPLE = str(ROOT / "data" / "sample")


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "analyse", SAMPLE, "--quiet", "--out", "{}/stats"],
        ["train", "agent=bc", "task=find_cave", "data=sample", "steps=1", "progress=false", "out={}/run"],
        ["rollout", "agent=random", "task=find_cave", "seeds=100000", "out={}/rollout"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_read_only_folder_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    done = on_a_read_only_disk(folder, COMMAND, *(one.format(folder) for one in arguments))
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(f"basalt {arguments[0]}: ") and "Read-only" in lines[-1]
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
