"""torch comes from where the user says, and nobody downloads CUDA unawares."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.support import ROOT
from tools import install_torch

VERSION = next(
    line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.startswith("torch==")
)


def wheel(folder, name, version, *needs):
    """Write a wheel with one empty module."""
    folder.mkdir(exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{module}.py", "")
        requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let pip see one folder of wheels and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "pypi"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return tmp_path / "pypi"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a new virtual environment."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return venv / "bin" / "python"


def test_cuda_is_found_before_it_is_downloaded(offline, python):
    found = [python, "-c", "import install_torch; print(install_torch.cuda_packages())"]
    wheel(offline, "torch", VERSION, "nvidia-cublas; sys_platform == 'linux'")
    wheel(offline, "nvidia-cublas", "1.0")
    run = {"cwd": ROOT / "tools", "text": True}
    assert subprocess.check_output(found, **run).strip() == "['nvidia-cublas']"
    wheel(offline, "torch", f"{VERSION}+cpu")
    assert subprocess.check_output(found, **run).strip() == "[]"


def test_a_folder_of_wheels_is_used_for_torch_alone(offline, python, tmp_path):
    # pip's own choice would be this one, and what torch needs is not the folder's business.
    wheel(offline, "torch", f"{VERSION}+zzz", "nvidia-cublas")
    wheel(tmp_path / "wheels", "torch", f"{VERSION}+cpu", "sympy")
    install = [python, ROOT / "tools" / "install_torch.py"]
    done = subprocess.run([*install, tmp_path / "wheels"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = "from importlib.metadata import version as v; print(v('torch'))"
    version = [python, "-c", shown]
    assert subprocess.check_output(version, text=True).strip() == f"{VERSION}+cpu"
    # The version is the constraint's, whatever the folder has.
    wheel(tmp_path / "old", "torch", "1.0")
    done = subprocess.run([*install, tmp_path / "old"], capture_output=True, text=True)
    assert done.returncode == 1 and f"torch=={VERSION}" in done.stderr
    assert subprocess.check_output(version, text=True).strip() == f"{VERSION}+cpu"


def test_make_uses_the_index_it_is_given_and_remembers_it(tmp_path):
    """The Makefile's own recipe, with a Python that only writes down how it is called."""
    calls, broken = tmp_path / "calls", tmp_path / "broken"
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        f'if [ "$1" = -I ]; then test ! -e {broken}; exit; fi\n'
        f'echo "$@" >> {calls}\n'
    )
    python.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def torch_calls(*arguments):
        calls.write_text("")
        command = ["make", "setup", "RUN_PACKAGES=", f"PYTHON={python}", *arguments]
        # Without what `make test` itself exports to its tests.
        own = {
            key: value
            for key, value in os.environ.items()
            if "MAKE" not in key and key != "TORCH_INDEX"
        }
        subprocess.run(command, cwd=tmp_path, env=own, check=True, capture_output=True)
        return [line for line in calls.read_text().splitlines() if "install_torch" in line]

    url = "TORCH_INDEX=https://wheels.example/cpu"
    assert torch_calls(url) == ["tools/install_torch.py https://wheels.example/cpu"]
    assert torch_calls() == torch_calls(url) == []
    # A URL may have characters that mean something to a shell.
    signed = "https://wheels.example/cpu?a=1&b='2'"
    assert torch_calls(f"TORCH_INDEX={signed}") == [f"tools/install_torch.py {signed}"]
    assert torch_calls() == []
    assert torch_calls("TORCH_INDEX=") == ["tools/install_torch.py "]
    assert torch_calls("TORCH_INDEX=wheels") == ["tools/install_torch.py wheels"]
    os.utime(tmp_path / ".venv" / ".ready", (0, 0))  # older than the constraints
    assert torch_calls() == ["tools/install_torch.py wheels"]
    broken.touch()
    assert torch_calls() == ["tools/install_torch.py wheels"]
    assert "-m venv .venv --clear" in calls.read_text().splitlines()


@pytest.mark.parametrize("gpu", [False, True])
def test_a_large_download_is_announced_where_no_gpu_is(gpu, monkeypatch, tmp_path, capsys):
    calls = []

    def pip(command, **_):
        calls.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    remembered = tmp_path / ".torch-index"
    monkeypatch.setattr(install_torch, "REMEMBERED", remembered)
    monkeypatch.setattr(install_torch, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(install_torch, "wants_cuda", lambda: True)
    monkeypatch.setattr(subprocess, "run", pip)
    install_torch.install("")
    assert calls == [
        ["install", "--quiet", "--constraint", str(install_torch.CONSTRAINTS), "torch"]
    ]
    warning = capsys.readouterr().err
    assert ("5.9 GB" in warning and "TORCH_INDEX=URL" in warning) != gpu
    install_torch.install("https://wheels.example/cpu")
    assert not capsys.readouterr().err
    # Back to pip's own choice: pip would keep the build that is installed.
    remembered.write_text("https://wheels.example/cpu\n")
    install_torch.install("")
    assert "--force-reinstall" in calls[-1]
    remembered.write_text("\n")
    install_torch.install("")
    assert "--force-reinstall" not in calls[-1]


def test_an_index_that_is_neither_is_one_line():
    with pytest.raises(SystemExit, match="URL of a wheel index or a folder of wheels, got 'wheel'"):
        install_torch.install("wheel")
