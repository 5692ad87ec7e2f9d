"""Other Debian releases."""

import os
import shutil
import subprocess

import pytest

from tests.support import ROOT

SCRIPT = ROOT / "tools" / "try_debian.sh"
CANNOT = 77


def test_without_debootstrap_it_says_so(tmp_path):
    for program in ("bash", "git", "dirname", "id"):
        (tmp_path / program).symlink_to(shutil.which(program))
    variables = {"PATH": str(tmp_path), "TRY_DEBIAN_ROOT": str(tmp_path / "root")}
    tried = subprocess.run(
        ["bash", SCRIPT], env=variables, capture_output=True, text=True, check=False
    )
    assert tried.returncode == CANNOT
    wanted = "debootstrap is missing" if os.getuid() == 0 else "expected root"
    assert wanted in tried.stderr and tried.stderr.count("\n") == 1
    assert not (tmp_path / "root").exists()


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_the_demo_and_the_tests_pass_on_debian_13():
    tried = subprocess.run([SCRIPT, "trixie"], stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode == CANNOT:
        pytest.skip(tried.stderr.strip())
    assert tried.returncode == 0, tried.stderr[-4000:]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_what_the_doctor_says_fixes_what_is_missing(release):
    command = "make setup && .venv/bin/python tools/try_doctor.py"
    tried = subprocess.run([SCRIPT, release, command], stderr=subprocess.PIPE, text=True)
    if tried.returncode == CANNOT:
        pytest.skip(tried.stderr.strip())
    assert tried.returncode == 0, tried.stderr[-4000:]
