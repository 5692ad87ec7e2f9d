"""`make test` keeps the tests of a group on one worker: one engine at a time, and each fixture made once."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

TESTS = """
import os
import time
import pytest

@pytest.mark.xdist_group({group!r})
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    time.sleep(0.05)  # long enough for a free worker to take the next test
    with open({workers!r}, "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_the_tests_of_a_group_run_on_one_worker_as_make_test_runs_them(tmp_path: Path) -> None:
    """Nothing fails where groups are lost: the tests only take longer, and engines compete."""
    for group in ("first", "second"):
        text = TESTS.format(group=group, workers=str(tmp_path / group))
        (tmp_path / f"test_{group}.py").write_text(text)
    (recipe,) = (
        line.split("pytest", 1)[1].replace("$(TEST_JOBS)", "2").split()
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "--dist" in line
    )
    outside = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *recipe, "."],
        cwd=tmp_path, env=outside, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    workers = [(tmp_path / group).read_text().split() for group in ("first", "second")]
    assert [len(one) for one in workers] == [4, 4]
    assert [len({*one}) for one in workers] == [1, 1], workers
