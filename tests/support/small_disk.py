"""A disk that is full or read-only, for real: a file system of its own, in a namespace of its own."""

import shutil
import subprocess
import sys
import textwrap

import pytest


def on_a_small_disk(tmp_path, kilobytes, code, *arguments):
    """Run Python where `tmp_path/small` is a file system of that size; its exit status, stdout and stderr."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {small}"
    return _mounted(mount, code, str(small), *arguments)


def on_a_read_only_disk(folder, code, *arguments):
    """Run Python where nothing in `folder` can be written; its exit status, stdout and stderr."""
    mount = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    return _mounted(mount, code, *arguments)


def _mounted(mount, code, *arguments):
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    mount = f'{{ {mount}; }} || exit 77; exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    command += [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    return done
