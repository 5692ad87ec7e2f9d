"""Runs one program and everything it starts, and ends them with the environment's process.

Run as a file of its own, with nothing but the standard library: ``keeper.py PARENT_PID FOLDER
PROGRAM...``. Minecraft's launch script runs Java as a child of its own, so the whole process group is
ended. FOLDER ("" for none) is removed afterwards. The Luanti world's keeper, in C, watches one
program; here a C compiler is not to be asked for.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

GRACE_S = 10.0
"""Between the polite and the other signal."""


def main() -> int:
    """Run the program; its exit status."""
    parent, folder, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the environment's business
    program = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False
    )
    os.closerange(3, 1024)  # the program's channels must close when it ends
    while program.poll() is None:
        # Our standard input closes when the environment's process ends, also after kill -9.
        alone = select.select([sys.stdin], [], [], 0.1)[0] or os.getppid() != int(parent)
        if alone:
            break
    _end_group(program)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    return program.wait()


def _end_group(program: subprocess.Popen[bytes]) -> None:
    """End the program's process group, of which the program itself may be gone already."""
    for number, grace in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + grace
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, number)
            while time.monotonic() < deadline:
                program.poll()  # a zombie would count as a member
                os.killpg(program.pid, 0)
                time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
