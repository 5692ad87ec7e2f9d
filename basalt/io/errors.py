"""User-facing errors: problems the user can fix. The command line prints them as one line and exits with 1."""

from collections.abc import Sequence
from typing import Any


class BasaltError(Exception):
    """A problem the user can fix; the message says what was expected, what was found and what to do."""


class ActionError(BasaltError):
    """An action that no human interface could produce: unknown key, wrong type, NaN or out of range."""


class ConfigError(BasaltError):
    """An invalid setting; the message names its key."""


class BusyError(ConfigError):
    """Another process is using the folder."""


class WriteError(BasaltError):
    """A file or folder that cannot be written, for another reason than a full disk."""


class MissingDependencyError(BasaltError):
    """A program or package that a command needs is not installed.

    Args:
        what: What is missing.
        fix: Command that installs it, or "" where `what` says it.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}; fix: {fix}" if fix else what)
        self.what = what
        self.fix = fix


class RecordingError(BasaltError):
    """A recording that is incomplete, damaged or not in the BEDD schema."""


class WorldError(BasaltError):
    """A world that did not start, timed out or died."""


class WorkerError(BasaltError):
    """Worker processes that died, or that could not be started (`basalt.runners`)."""


class AgentError(BasaltError):
    """An agent in another process or on another machine that was lost, is too slow, or is not the one that was asked for."""


class StudyError(BasaltError):
    """A submission or judgment that breaks the rules of its study.

    Args:
        message: What is wrong, in English.
        code: Name of the refusal, by which an app finds its own text for raters; "" for one that no rater sees.
        values: Values of that text, by name.
    """

    code = ""

    def __init__(self, message: str, code: str = "", **values: object) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.values: dict[str, Any] = values


def problem_list(headline: str, problems: Sequence[str], shown: int | None = None) -> str:
    """Message with the number of problems and a line for each.

    Args:
        headline: What failed, without a full stop.
        problems: All problems, one line each.
        shown: Maximum number of problems that are listed; the others are counted.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{headline}: {count} to fix:", *(f"  - {one}" for one in problems[:shown])]
    if (more := len(problems) - len(lines) + 1) > 0:
        lines.append(f"  - and {more} more")
    return "\n".join(lines)
