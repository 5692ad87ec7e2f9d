"""Scripts that can be imitated from pictures: they act only on what has been in view.

Each says in one sentence how it explores before that. A script is a function of telemetry now, with a short memory of
what it has seen, so that it can also be asked what it would do in a state that somebody else reached.
"""

from typing import Protocol

from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry


class Script(Protocol):
    """One episode of a task."""

    def label(self, state: Telemetry) -> Label:
        """Return what the script does in a state; called once for every state of the episode, in order."""
        ...
