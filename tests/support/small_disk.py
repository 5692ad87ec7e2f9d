"""A disk that is full, for real: a small file system of its own, in a namespace of its own."""

import shutil
import subprocess
import sys
import textwrap

import pytest


def on_a_small_disk(tmp_path, kilobytes, code, *arguments):
    """Run Python where `tmp_path/small` is a file system of that size; its exit status, stdout and stderr."""
    small = tmp_path / "small"
    small.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    mount = f'mount -t tmpfs -o size={kilobytes}k tmpfs {small} || exit 77; exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    command += [sys.executable, "-c", textwrap.dedent(code), str(small), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    return done
