"""A PostgreSQL server of our own for tests and measurements, which can be killed and started again."""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import psutil

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


class PostgresServer:
    """A server on a socket in a new folder.

    Args:
        durable: Whether what is committed is on the disk; without, everything is faster.
    """

    def __init__(self, *, durable: bool) -> None:
        self._binaries = POSTGRES[-1].parent
        # Short and outside pytest's folders: socket paths end at 107 characters, and the server's own
        # account must reach it.
        self._root = Path("/tmp") / f"pg-{uuid4().hex[:8]}"
        self._root.mkdir(mode=0o755)
        self._as_server: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._root, "postgres")
            self._as_server = ["runuser", "-u", "postgres", "--"]
        self._data = str(self._root / "data")
        self._fsync = "on" if durable else "off"
        self.url = f"postgresql://basalt@/postgres?host={self._root}"
        self._run("initdb", "-D", self._data, "-U", "basalt", "-A", "trust", "-N")
        self.start()

    def start(self) -> None:
        """Start it, after `kill` too."""
        settings = f"-k {self._root} -c listen_addresses='' -c fsync={self._fsync}"
        log = str(self._root / "log")
        self._run("pg_ctl", "-D", self._data, "-o", settings, "-l", log, "-w", "start")

    def kill(self) -> None:
        """`kill -9` of all its processes at once."""
        first = int((Path(self._data) / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(first)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for one in processes:
            one.suspend()
        for one in processes:
            one.kill()
        psutil.wait_procs(processes, timeout=60)

    def close(self) -> None:
        """Stop it and remove its folder."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._root, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_server, str(self._binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/")
