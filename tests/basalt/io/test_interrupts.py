"""Ctrl-C as a request, and at a moment at which Python would ignore it."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from basalt.io.interrupts import first_signal, keep_interrupts

FINALIZER = """
    import os, signal, time
    from basalt.io.interrupts import keep_interrupts

    class Swallows:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored
    keep_interrupts()
    for _ in range(2):
        try:
            Swallows()
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
"""


def test_an_interrupt_inside_a_finalizer_still_interrupts():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FINALIZER)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout.split() == ["interrupted", "interrupted"] and done.stderr == ""


def test_other_errors_of_finalizers_are_reported_as_before(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored
    keep_interrupts()

    class Breaks:
        def __del__(self):
            raise ValueError("broken")

    Breaks()
    assert [one.exc_type for one in seen] == [ValueError]


def test_the_first_ctrl_c_is_a_request_and_the_second_one_interrupts():
    before, requests = signal.getsignal(signal.SIGINT), []
    with first_signal(lambda: requests.append(1), signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests == [1]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert requests == [1] and signal.getsignal(signal.SIGINT) is before
