"""Compiles the two C programs at first use, into the cache, once per version of their source."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from basalt.io.errors import MissingDependencyError, WorldError
from basalt.io.paths import cache_dir

_HERE = Path(__file__).parent
_FLAGS = {
    "shim": ["-shared", "-fPIC", "-pthread", "-ldl"],
    "keeper": [],
}


def find_compiler() -> str:
    """Path of a C compiler: ``$CC``, gcc, cc or clang.

    Raises:
        MissingDependencyError: there is none.
    """
    for name in (os.environ.get("CC"), "gcc", "cc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    raise MissingDependencyError(
        "the Luanti world needs a C compiler for its clock; install one: apt-get install gcc libc6-dev"
    )


def build(name: str) -> Path:
    """The compiled ``shim`` (a library to preload) or ``keeper`` (a program).

    Raises:
        MissingDependencyError: it must be compiled and there is no compiler.
        WorldError: it does not compile, or the cache cannot be written.
    """
    source = _HERE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + repr(_FLAGS[name]).encode()).hexdigest()[:16]
    target = cache_dir() / "luanti" / "native" / f"{name}-{digest}"
    if target.exists():
        return target
    compiler = find_compiler()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile([compiler, "-O2", str(source), *_FLAGS[name]], target)
    except OSError as err:
        raise WorldError(
            f"{target} cannot be written ({err.strerror}); "
            "set BASALT_CACHE to a folder that can be written"
        ) from err
    except subprocess.TimeoutExpired as err:
        raise WorldError(f"{source.name}: {compiler} took longer than {err.timeout:g} s") from err
    return target


def _compile(command: list[str], target: Path) -> None:
    # Two processes may compile at once: each into a file of its own, the last rename wins.
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
