"""Checks that the shim knows the calls in which the installed engine's threads can sleep.

`shim.c` keeps the game in step because it sees who sleeps. A call that it does not see would let the game slip out
of step now and then, so an engine that imports one is refused. Only what the program itself imports is compared, by name:
a wait inside one of its libraries is not noticed.
"""

import re
from functools import cache
from pathlib import Path

from basalt.io.errors import WorldError
from basalt.worlds.luanti.game import find_game
from basalt.worlds.luanti.native import build_shim

_WAITS_AND_CLOCKS = re.compile(
    r"""
    p?select | p?poll | epoll_p?wait2? | io_\w*getevents | (clock_)?nanosleep | u?sleep | pause
    | (timed)?wait(pid|id|3|4)? | sig(timed)?wait\w* | sigsuspend
    | recv(from|msg|mmsg)? | accept4? | connect | mq_\w*(send|receive) | msg(rcv|snd) | semtimedop | semop
    | sem_\w+ | pthread_(cond|barrier|rwlock|mutex|spin)_\w+ | pthread_\w*(join|join_np)
    | (cnd|mtx|thrd)_\w+ | futex\w* | syscall | flock | lockf | eventfd_read | timerfd_\w+
    | curl_multi_(wait|poll)
    | clock_gettime | gettimeofday | time | timespec_get | ftime | times
    | _ZNS?K?St\w*(condition_variable|mutex|thread|future|futex|semaphore|latch|barrier|wait|notify|sleep|chrono)\w*
    """,
    re.VERBOSE,
)
"""Functions of the C and C++ libraries in which a thread may sleep, by which it is woken or by which it measures time."""

_HARMLESS = re.compile(
    r"""
    # A thread that is known to the shim and blocked in one of these counts as busy, so they need no care.
    pthread_(mutex|rwlock|spin)_\w+ | mtx_\w+
    # At the end of the process or of a thread.
    | pthread_join | wait(pid)? | _ZNSt6thread4joinEv
    # Neither sleep nor wake: they make, destroy and count.
    | pthread_cond_(init|destroy) | pthread_condattr_\w+ | \w*thread\w*(_M_start_thread|hardware_concurrency|_State)\w*
    | _ZNSt\d+condition_variable[CD]\dEv
    # Engines since 5.10 wait by it in core.ipc_poll, which no mod here calls.
    | pthread_cond_clockwait
    # Waits for downloads, of which the game has none here.
    | curl_multi_(wait|poll)
    """,
    re.VERBOSE,
)
"""Those of them that the shim may ignore."""


def known_game() -> str:
    """Return the path of the game's program if the shim can keep it in step.

    Raises:
        MissingDependencyError: The game is not installed, or no compiler for the shim.
        WorldError: The game imports functions that the shim does not know.
    """
    game = find_game()
    if unknown := unknown_waits(game):
        raise WorldError(
            f"{game}: this engine waits or reads the time in ways that basalt/worlds/luanti/shim.c does not know "
            f"({', '.join(unknown)}), so it cannot be kept in step; install a release that docs/worlds.md names"
        )
    return game


@cache
def unknown_waits(program: str) -> tuple[str, ...]:
    """Return the functions that a program imports to wait or to read the time and that the shim does not take over.

    Args:
        program: Path of an ELF program, such as `find_game()`.

    Raises:
        MissingDependencyError: The shim has to be compiled and no compiler is installed.
        WorldError: The program is not an ELF program, or the shim does not compile.
    """
    imported, _ = dynamic_symbols(Path(program))
    _, taken_over = dynamic_symbols(build_shim())
    return tuple(
        sorted(
            name
            for name in imported - taken_over
            if _WAITS_AND_CLOCKS.fullmatch(plain := _plain(name)) and not _HARMLESS.fullmatch(plain)
        )
    )


def _plain(name: str) -> str:
    """The usual name of a function: `poll` of `__poll_chk`, `nanosleep` of `__nanosleep64`."""
    return re.sub(r"(64)?(_chk)?$", "", name.removeprefix("__"))


def dynamic_symbols(path: Path) -> tuple[set[str], set[str]]:
    """Return the names that an ELF file imports and those that it exports.

    Raises:
        WorldError: It is not an ELF file.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    imported: set[str] = set()
    exported: set[str] = set()
    try:
        with path.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".dynsym")
            for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
                (imported if symbol["st_shndx"] == "SHN_UNDEF" else exported).add(symbol.name)
    except ELFError as err:
        raise WorldError(f"{path}: expected an ELF program, got {err}") from err
    return imported, exported
