"""Ctrl-C: as a request to stop soon, and inside a finalizer."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RESEND_AFTER_S = 0.02


def keep_interrupts() -> None:
    """Let no Ctrl-C be lost in this process.

    Python ignores an exception raised in a finalizer (`__del__`, a weak reference's callback), and a
    finalizer is often the first Python code to run after a long call into C, so a Ctrl-C pressed
    meanwhile is raised there and swallowed. From now on such an interrupt is sent again.
    """
    report = sys.unraisablehook

    def resend(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            report(unraisable)
            return
        # Later and from another thread: sent from here, it would be raised in here and ignored again.
        again = threading.Timer(_RESEND_AFTER_S, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = resend


@contextmanager
def first_signal(request: Callable[[], object], *signals: signal.Signals) -> Iterator[None]:
    """Turn the first of these signals into a request; after that, Ctrl-C interrupts at once.

    Outside the main thread, signals are left alone.

    Args:
        request: Function that is called instead of the interruption.
        signals: Signals that make the request.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in signals}

    def take(*_: object) -> None:
        request()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for one in signals:
        signal.signal(one, take)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
