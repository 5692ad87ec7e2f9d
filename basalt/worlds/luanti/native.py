"""Compiles `shim.c` at first use, into the cache, once per version of its source."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from basalt.io.errors import MissingDependencyError, WorldError
from basalt.io.paths import cache_dir

SHIM = Path(__file__).with_name("shim.c")
SNAPSHOT = Path(__file__).with_name("snapshot.c")
"""Included by the shim. A world's version leaves it out, since what it restores is the same episode."""

FLAGS = ("-O2", "-shared", "-fPIC", "-pthread", "-ldl")


def find_compiler() -> str:
    """Return the path of a C compiler: `$CC`, gcc, cc or clang.

    Raises:
        MissingDependencyError: None of them is installed.
    """
    for name in (os.environ.get("CC"), "gcc", "cc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    raise MissingDependencyError(
        "the Luanti world needs a C compiler for its clock, none was found",
        fix="apt-get install -y gcc libc6-dev",
    )


def build_shim() -> Path:
    """Return the compiled shim, a library that is preloaded into the game.

    Raises:
        MissingDependencyError: It has to be compiled and no compiler is installed.
        WorldError: It does not compile, or the cache cannot be written.
    """
    digest = hashlib.sha256(
        SHIM.read_bytes() + SNAPSHOT.read_bytes() + repr(FLAGS).encode()
    ).hexdigest()[:16]
    target = cache_dir() / "luanti" / "native" / f"shim-{digest}"
    if target.exists():
        return target
    compiler = find_compiler()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile([compiler, str(SHIM), *FLAGS], target)
    except OSError as err:
        raise WorldError(
            f"{target} cannot be written ({err.strerror}); "
            "set BASALT_CACHE to a folder that can be written"
        ) from err
    except subprocess.TimeoutExpired as err:
        raise WorldError(f"{SHIM.name}: {compiler} took longer than {err.timeout:g} s") from err
    return target


def preloaded(library: Path) -> list[str]:
    """Return the beginning of a command whose program is started with a preloaded library."""
    # By a program of its own, so that the supervisor is not preloaded too.
    return ["env", f"LD_PRELOAD={library}"]


def _compile(command: list[str], target: Path) -> None:
    # Two processes may compile at once: each into its own file, and the last rename wins.
    handle, temporary = tempfile.mkstemp(prefix=f"{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        result = subprocess.run(
            [*command, "-o", temporary], capture_output=True, text=True, timeout=120, check=False
        )
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if "error" in line]
            raise WorldError(f"{' '.join(command)} failed: {'; '.join(lines[:2]) or result.stderr}")
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
