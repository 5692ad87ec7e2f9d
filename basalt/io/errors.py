"""Errors that a user can cause and mend; the command line prints them as one line and exits with 1."""


class BasaltError(Exception):
    """A mistake or a lack that the user can mend; the message says what, where and how."""


class ActionError(BasaltError):
    """An action that no human interface could produce: wrong key, type, NaN or range."""


class ConfigError(BasaltError):
    """A setting that makes no sense, named with its key."""


class BusyError(ConfigError):
    """Another process holds the folder."""


class MissingDependencyError(BasaltError):
    """A program or package that a command needs is not installed."""


class RecordingError(BasaltError):
    """A recording that is incomplete, damaged or not in the BEDD schema."""


class WorldError(BasaltError):
    """A world could not start, answered too late or died."""


class StudyError(BasaltError):
    """A submission or judgment that breaks the rules of its study."""
