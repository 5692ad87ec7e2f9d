"""Ctrl-C that arrives inside a finalizer."""

import os
import signal
import sys
import threading

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
