"""What is missing or broken is found, called by its name, and comes with the command that fixes it."""

import os
import shutil
import subprocess
import sys

import pytest

from basalt import demo, machine_checks
from basalt.cli import main as cli
from basalt.io.errors import BasaltError
from basalt.io.paths import sample_dir
from basalt.worlds.luanti import game
from tests.support import ROOT


def found(name):
    needs = machine_checks.WORLD + machine_checks.OTHERS
    return next(need for need in needs if need.name == name).check()


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """A machine without any program, and without a compiled shim."""
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """An engine that knows only the games given to it."""

    def make(*games):
        program = tmp_path / "engine"
        program.write_text("#!/bin/sh\n" + "".join(f"echo {name}\n" for name in games))
        program.chmod(0o755)
        monkeypatch.setattr(game, "find_game", lambda: str(program))

    return make


RELEASES = [
    ("bookworm", "minetest minetest-data", "minetest-data"),
    ("trixie", "luanti luanti-game-minetest", "luanti-game-minetest"),
]


@pytest.mark.parametrize(("release", "both", "data"), RELEASES)
def test_packages_have_the_names_of_the_release(release, both, data, engine, monkeypatch):
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": release})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda *args, **kwargs: None)
        assert found("Luanti engine").fix.endswith(both)
    engine("devtest")
    check = found("Minetest Game")
    assert (check.state, check.fix) == ("missing", f"apt-get install -y {data}")


@pytest.mark.parametrize("name", ["minetest", "minetest_game", "minetest >&2"])
def test_the_engine_is_asked_for_its_game(name, engine):
    engine("devtest", name)
    assert found("Minetest Game").state == "ok"


def test_a_script_is_not_taken_for_the_engine(engine, monkeypatch, tmp_path):
    (tmp_path / "luanti").write_text("#!/bin/sh\nexec /usr/libexec/luanti/luanti\n")
    (tmp_path / "luanti").chmod(0o755)
    monkeypatch.setattr(game, "_PROGRAMS", (str(tmp_path / "luanti"),))
    check = found("Luanti engine")
    assert check.state == "missing" and "was not found" in check.found


def test_missing_compiler_and_missing_headers_have_the_same_fix(
    nothing_installed, monkeypatch, tmp_path
):
    fix = "apt-get install -y gcc libc6-dev"
    assert found("C compiler").fix == fix
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'fatal error: stdio.h: No such file' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: str(compiler))
    check = found("C compiler")
    assert "stdio.h" in check.found and check.fix == fix


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("OSError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("AttributeError('module')", "AttributeError"),
    ],
)
def test_broken_torch_is_one_line(error, shown, tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(f"raise {error}\n")
    done = subprocess.run(
        [sys.executable, "-c", "from basalt.cli.main import run; run(['doctor'])"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("-        torch")]
    assert "is broken" in line and shown in line
    assert done.stderr == ""


def test_the_demo_reports_all_that_is_missing_before_it_begins(
    nothing_installed, monkeypatch, tmp_path, capsys
):
    out = tmp_path / "demo"
    assert cli.run(["demo", "--out", str(out)]) == cli.USER_ERROR
    *lines, last = capsys.readouterr().err.splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert {"Luanti engine", "Xvfb", "C compiler"} <= set(names)
    assert all("; fix: " in line for line in lines)
    assert len(set(names)) == len({line.partition(": ")[2] for line in lines}) == len(lines)
    assert last.startswith("basalt demo: the embedded world cannot run")
    assert not out.exists()


def test_the_demo_wants_free_space_where_it_writes(monkeypatch, tmp_path, capsys):
    def usage(folder):
        return shutil._ntuple_diskusage(1, 1, 10**9 if folder == tmp_path else 10**12)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert cli.run(["demo", "--out", str(tmp_path / "new" / "demo")]) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert f"disk: 1.0 GB free at {tmp_path}" in error and "fix: basalt demo --out FOLDER" in error


@pytest.mark.parametrize("ready", [False, True])
def test_a_finished_demo_is_set_aside_once_the_machine_can_run_another(
    monkeypatch, tmp_path, capsys, ready
):
    out = tmp_path / "demo"
    shutil.copytree(sample_dir(), out / "rollouts" / "bc")
    (out / "summary.json").write_text("{}")

    def stopped(config):
        raise BasaltError("stopped at the training")

    missing = [] if ready else [machine_checks.Check("disk", "missing", "full")]
    monkeypatch.setattr(demo, "missing_for_the_world", lambda *folders: missing)
    monkeypatch.setattr(demo, "world_version", lambda task: "luanti-9.9-00000000")
    monkeypatch.setattr(demo, "train", stopped)
    assert cli.run(["demo", "--out", str(out)]) == cli.USER_ERROR
    assert ("stopped at the training" in capsys.readouterr().err) == ready
    assert out.exists() != ready and len(list(tmp_path.iterdir())) == 1


def test_a_demo_is_not_resumed_in_another_world_version(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "rollouts" / "bc"
    folder.mkdir(parents=True)
    for path in sample_dir().glob("seed_100000.*"):
        shutil.copy(path, folder / f"seed_95099{path.suffix}")
    monkeypatch.setattr(demo, "missing_for_the_world", lambda *folders: [])
    monkeypatch.setattr(demo, "world_version", lambda task: "luanti-9.9-00000000")
    monkeypatch.setattr(demo, "train", lambda config: pytest.fail("it trained"))
    assert cli.run(["demo", "--out", str(tmp_path)]) == cli.USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "interrupted in world version luanti-5" in line and "luanti-9.9-00000000" in line
    assert "use another --out" in line
