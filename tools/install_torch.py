"""Install torch alone, from a chosen index: `python tools/install_torch.py [INDEX]`, as the Makefile does.

It runs before anything else is installed, so it needs only the standard library and pip.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"

CUDA_GB = 5.9
"""Size of `.venv` with PyPI's torch 2.13.0, in GB; nearly all of it is torch and its 15 NVIDIA packages."""

REMEMBERED = Path(sys.prefix) / ".torch-index"
"""File in which the Makefile writes the index of the installed torch."""

FIRST_PIP = (23, 3)
"""Oldest pip whose dry run downloads no packages."""


def install(index: str) -> None:
    """Install torch into the environment of this Python.

    Args:
        index: URL of a wheel index, a folder of wheels, or "" for pip's own choice, which replaces a torch from an
            index. Only torch comes from a given one; its dependencies are installed with everything else.

    Raises:
        SystemExit: The index is neither a URL nor a folder, or pip failed and printed the reason.
    """
    wanted = ["--constraint", str(CONSTRAINTS), *_again(), "torch"]
    if index:
        (version,) = re.findall(r"^torch==(.+)$", CONSTRAINTS.read_text(), re.MULTILINE)
        wanted = ["--no-deps", "--force-reinstall", f"torch=={version}"]
    elif not has_nvidia_gpu() and wants_cuda():
        print(
            f"torch from PyPI includes CUDA: .venv takes about {CUDA_GB} GB, and this machine has no NVIDIA GPU. "
            "For the CPU build, press Ctrl-C and add TORCH_INDEX=URL to the command (see README).",
            file=sys.stderr,
            flush=True,
        )
    environment = os.environ | _source(index)
    done = subprocess.run(_pip("install", *wanted), env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def _again() -> list[str]:
    """Options of pip that replace an installed torch which came from an index; nothing where none did."""
    chosen = REMEMBERED.read_text().strip() if REMEMBERED.is_file() else ""
    return ["--no-deps", "--force-reinstall"] if chosen else []


def _source(index: str) -> dict[str, str]:
    """Variables of pip for an index: flags would add to the places of the user's own configuration."""
    if index and Path(index).is_dir():
        return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": Path(index).resolve().as_uri()}
    if index and "://" not in index:
        raise SystemExit(
            f"TORCH_INDEX: expected the URL of a wheel index or a folder of wheels, got {index!r}"
        )
    return {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": index} if index else {}


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is installed."""
    return bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia").exists()


def wants_cuda() -> bool:
    """Whether the torch that pip would choose brings NVIDIA's libraries; True where pip cannot say cheaply."""
    requirement = f"pip>={'.'.join(map(str, FIRST_PIP))}"
    subprocess.run(_pip("install", "--constraint", str(CONSTRAINTS), requirement), check=False)
    version = subprocess.run(_pip("--version"), capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.split()[1].split(".")[:2])) < FIRST_PIP:
        return True
    return cuda_packages() != []


def cuda_packages() -> list[str]:
    """Names of NVIDIA's packages that pip would install with torch."""
    wanted = ["--constraint", str(CONSTRAINTS), *(["--force-reinstall"] if _again() else [])]
    done = subprocess.run(
        _pip("install", *wanted, "--dry-run", "--report", "-", "torch"),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout or "{}")
    names = [each["metadata"]["name"] for each in report.get("install", ())]
    return [name for name in names if name.startswith("nvidia-")]


def _pip(command: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", command, "--quiet", *arguments]


if __name__ == "__main__":
    install(" ".join(sys.argv[1:]))
