"""Append-only files of JSON values, one a line."""

from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from basalt.core.records import first_fault
from basalt.io.atomic import new_folder
from basalt.io.errors import ConfigError, WriteError
from basalt.io.untrusted import MAX_JSON_BYTES, bounded_lines
from leaderboard.oversight.messages import Message

MAX_BYTES = 2**30
"""Larger files are refused unread."""

T = TypeVar("T", bound=Message)


class JsonLines(Generic[T]):
    """An append-only file of values of one kind.

    A last line without a line break was being written when its process was killed: it is not read, and the next value
    takes its place.

    Args:
        path: The file; made with the first value.
        kind: Class of the values.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._kind = kind
        self._is_whole = False

    def read(self) -> list[T]:
        """All values, in the order in which they were written.

        Raises:
            ConfigError: The file is too large, or a line is not a value of this kind.
        """
        if not self.path.is_file():
            return []
        if (size := self.path.stat().st_size) > MAX_BYTES:
            raise ConfigError(f"{self.path}: expected at most {MAX_BYTES:,} bytes, got {size:,}")
        found = []
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(bounded_lines(file, MAX_JSON_BYTES), start=1):
                    if line.endswith(b"\n"):
                        found.append(self._parsed(line, number))
        except ValueError as err:
            raise ConfigError(
                f"{self.path}: {err}; restore this file, or use another folder"
            ) from err
        return found

    def _parsed(self, line: bytes, number: int) -> T:
        try:
            return self._kind.model_validate_json(line)
        except ValidationError as err:
            raise ConfigError(
                f"{self.path}, line {number}: not a valid {self._kind.__name__}: {first_fault(err, 'the whole')}; "
                "restore this file, or use another folder"
            ) from err

    def append(self, value: T) -> None:
        """Write a value behind the others.

        Raises:
            WriteError: The file cannot be written.
            OSError: The disk is full.
        """
        new_folder(self.path.parent)
        try:
            with self.path.open("ab") as file:
                if not self._is_whole:
                    file.truncate(self._whole_bytes())
                    self._is_whole = True
                file.write(value.model_dump_json().encode() + b"\n")
        except PermissionError as err:
            raise WriteError(f"{self.path}: cannot be written ({err.strerror})") from err

    def _whole_bytes(self) -> int:
        """Length of the file up to its last line break."""
        with self.path.open("rb") as file:
            end = file.seek(0, 2)
            while end > 0:
                start = max(0, end - 2**16)
                file.seek(start)
                if (at := file.read(end - start).rfind(b"\n")) >= 0:
                    return start + at + 1
                end = start
        return 0
