"""The container's files agree with the rest of the repository; its steps run without Docker."""

import json
import os
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

from basalt.io.dependencies import DISTRIBUTION
from tests.support import ROOT
from tests.support.command_lines import fault

DOCKER = ROOT / "docker"


def locked(name):
    """Hashes of a lock file by requirement (`name==version`)."""
    text = re.sub(r"^#.*\n", "", (DOCKER / name).read_text(), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.replace(" \\\n", " ").strip())
    return {
        line.split()[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line) for line in entries
    }


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


LOCKS = ("build.lock", "requirements.lock", "torch.lock")


def versions(name):
    pairs = (requirement.split("==") for requirement in locked(name))
    return {normalised(name): version.partition("+")[0] for name, version in pairs}


@pytest.mark.parametrize("name", LOCKS)
def test_locked_versions_are_those_of_the_constraints_and_have_hashes(name):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    constraints = {normalised(name): version for name, version in pairs}
    assert versions(name) == {one: constraints.get(one) for one in versions(name)}
    assert all(locked(name).values())


def test_everything_that_a_study_or_a_demo_imports_is_locked():
    wanted = {
        normalised(re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0])
        for line in requires(DISTRIBUTION)
        if not (extra := re.search(r"extra == '(.+)'", line))
        or extra[1] in ("train", "leaderboard", "api", "ui", "postgres", "plots")
    }
    assert not wanted - {DISTRIBUTION} - set(versions("requirements.lock")) - {"torch"}
    assert "torch" not in versions("requirements.lock")  # PyPI's has CUDA


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml"])
def test_images_are_named_by_digest(name):
    text = (DOCKER / name).read_text()
    images = re.findall(r"^(?:ARG DEBIAN=| +image: )(?!basalt$)(\S+)", text, re.MULTILINE)
    assert images and all(re.fullmatch(r"[\w:.-]+@sha256:[0-9a-f]{64}", one) for one in images)


def test_the_container_does_not_run_as_root():
    instructions = re.findall(r"^(USER|ENTRYPOINT) (.+)", (DOCKER / "Dockerfile").read_text(), re.M)
    assert instructions == [("USER", "basalt"), ("ENTRYPOINT", '["basalt"]')]


def test_what_the_build_copies_is_not_ignored():
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    pyproject = (ROOT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"^packages = (\[.*\])", pyproject, re.MULTILINE)
    assert {*json.loads(packages), "data", "docker", "Makefile", "README.md", "LICENSE"} <= kept


def test_compose_runs_commands_that_exist_against_its_own_database():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    command = services["app"]["command"]
    assert fault(f"basalt {' '.join(command)}") is None
    database = services["database"]["environment"]
    url = f"postgresql://{database['POSTGRES_USER']}@database/{database['POSTGRES_DB']}"
    assert command[command.index("--store") + 1] == url
    assert services["app"]["environment"]["PGPASSWORD"] == database["POSTGRES_PASSWORD"]
    # Only this machine reaches it: TLS is a reverse proxy's.
    assert (
        services["app"]["ports"] == ["127.0.0.1:8501:8501"] and "ports" not in services["database"]
    )


@pytest.mark.parametrize("script", ["install.sh", "lock.sh"])
def test_scripts_are_valid(script):
    subprocess.run(["bash", "-n", DOCKER / script], check=True)
    assert os.access(DOCKER / script, os.X_OK)


def test_install_explains_itself():
    done = subprocess.run([DOCKER / "install.sh", "fly"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "docker/install.sh python FOLDER" in done.stderr and "TORCH_INDEX" in done.stderr


def test_install_refuses_another_python_in_one_line(tmp_path):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 3.13\n")
    python.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [DOCKER / "install.sh", "python", "venv"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "expected Python 3.11" in done.stderr
    assert "got 3.13" in done.stderr and done.stderr.count("\n") == 1


def test_install_takes_a_folder_from_where_it_is_called(tmp_path):
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\nif [ "$1" = -c ]; then echo 3.11; else echo "$@" >&2; exit 1; fi\n'
    )
    python.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [DOCKER / "install.sh", "python", "venv"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == f"-m venv {tmp_path}/venv\n"


@pytest.mark.long
def test_the_steps_install_a_server_by_hashes_alone(tmp_path):
    """Download all packages but torch; the Debian packages and torch are not installed here."""
    install = [DOCKER / "install.sh", "python", tmp_path / "venv"]
    subprocess.run(install, env={**os.environ, "TORCH_INDEX": "none"}, check=True)
    command = [tmp_path / "venv" / "bin" / "basalt", "doctor", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    for name in ("dependencies", "H.264 encoder", "streamlit", "sqlalchemy"):
        assert checks[name]["state"] == "ok", checks[name]
    assert checks["torch"]["state"] == "optional"
    leaderboard = [command[0], "leaderboard", "show"]
    done = subprocess.run(leaderboard, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "there is no leaderboard yet" in done.stderr
    assert Path(command[0]).is_file()
