"""Run one program, and kill it and everything it started when the parent process exits.

`SupervisedProcess` runs this file as a script: `supervisor.py PARENT_PID GRACE_S FOLDER PROGRAM...`. It
imports nothing but the standard library, and little of that, because it starts with every episode.

The program runs in a process group of its own. The group is killed when standard input closes or the parent
changes, so also after `kill -9` of the parent: by SIGTERM and, GRACE_S seconds later, by SIGKILL (at once if
GRACE_S is 0). FOLDER, unless empty, is removed once both the program and the parent are done with it.
"""

import contextlib
import os
import select
import signal
import sys
import time

POLL_S = 0.1
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    """Run the program; return its exit status, or 128 plus the number of the signal that ended it."""
    parent, grace_s, folder, *command = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C is handled by the parent
        signal.signal(number, signal.SIG_IGN)
    # What the program started and left behind becomes our child, so that we can wait for its end.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        _execute(command, supervisor)
    program = _Program(pid)
    os.closerange(3, 1 << 16)  # the program's channels must close when it exits
    alone = False
    while not alone and program.reap():
        alone = _parent_is_gone(int(parent))
    program.kill_group(float(grace_s))
    if folder:
        # The program may exit before the parent, which may still use the folder.
        while not alone:
            alone = _parent_is_gone(int(parent))
        _remove(folder, float(grace_s) + 1.0)
    return program.exit_status()


class _Program:
    """A child process that leads a process group.

    Args:
        pid: Process id of the child, which is also the id of its group.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None
        _lead_group(pid)

    def reap(self) -> bool:
        """Collect the children that have exited; returns whether the program still runs."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self._status = ended[1]
        return self._status is None

    def exit_status(self) -> int:
        while self.reap():
            time.sleep(0.005)
        code = os.waitstatus_to_exitcode(self._status or 0)
        return code if code >= 0 else 128 - code

    def kill_group(self, grace_s: float) -> None:
        signals = [(signal.SIGTERM, grace_s)] if grace_s else []
        for number, patience_s in (*signals, (signal.SIGKILL, 1.0)):
            deadline = time.monotonic() + patience_s
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, number)
                while time.monotonic() < deadline:
                    self.reap()  # a zombie would count as a member of the group
                    os.killpg(self._pid, 0)
                    time.sleep(0.005)


def _remove(folder: str, patience_s: float) -> None:
    """Remove a folder. The parent's other programs may still write to it while their supervisors end them."""
    import shutil

    deadline = time.monotonic() + patience_s
    shutil.rmtree(folder, ignore_errors=True)
    while os.access(folder, os.F_OK) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        shutil.rmtree(folder, ignore_errors=True)


def _lead_group(pid: int) -> None:
    # Parent and child both do it, so that neither has to wait for the other; the slower one may fail.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)


def _execute(command: list[str], supervisor: int) -> None:
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel kills it if the supervisor is killed
        if os.getppid() != supervisor:
            os._exit(127)
        _lead_group(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(command[0], command)
    except OSError as err:
        os.write(2, f"{command[0]}: {err.strerror}\n".encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value)


def _parent_is_gone(parent: int) -> bool:
    """Whether the parent closed our standard input or exited; takes up to `POLL_S` seconds."""
    return bool(select.select([0], [], [], POLL_S)[0]) or os.getppid() != parent


if __name__ == "__main__":
    sys.exit(main())
