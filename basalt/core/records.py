"""Records: versioned results on disk, each with one writer and one reader."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

import basalt
from basalt.io.atomic import write_json
from basalt.io.claims import claim
from basalt.io.errors import ConfigError
from basalt.io.untrusted import MAX_JSON_BYTES, parse_json, read_bounded


class Record(BaseModel):
    """A result that is kept as a JSON file.

    A subclass names its `FORMAT` and `VERSION`. The file also says which version of the package wrote it.
    A change that old readers cannot read raises `VERSION`; `upgrade` then turns older content into today's,
    so that old files still open.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    FORMAT: ClassVar[str]
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = MAX_JSON_BYTES
    """Largest file that is read."""

    def to_json(self) -> dict[str, Any]:
        """The content as JSON values, headed by format and versions."""
        return {
            "format": self.FORMAT,
            "version": self.VERSION,
            "package_version": basalt.__version__,
            **self.model_dump(mode="json", by_alias=True),
        }

    def write(self, path: Path) -> None:
        """Replace the file as a whole.

        Raises:
            WriteError: the file cannot be written.
        """
        write_json(path, self.to_json())

    def claim(
        self,
        file: Path,
        kind: str,
        *,
        may_change: Collection[str] = (),
        apart: Collection[str] = (),
    ) -> Self:
        """Write what a folder is for, or check that it was made for the same (`basalt.io.claims.claim`).

        Args:
            file: File of the record in that folder.
            kind: What the folder holds, for messages.
            may_change: Fields that may differ from the first time; the new values are written.
            apart: Fields that are not compared; those of the first time stay.

        Returns:
            The record in the file.

        Raises:
            ConfigError: the folder was made for something else.
            WriteError: the file cannot be written.
        """
        facts = self.to_json()
        header = {key: facts.pop(key) for key in ("format", "version", "package_version", *apart)}
        found = claim(file, kind, facts, may_change=may_change, header=header)
        return self.from_json(found, str(file))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that this or an older version wrote.

        Raises:
            ConfigError: the file is missing, damaged, too large, of another format or of a newer version.
        """
        try:
            content = parse_json(read_bounded(path, cls.MAX_BYTES))
        except (OSError, ValueError) as err:
            raise ConfigError(f"{path}: expected a {cls.FORMAT} file ({err})") from err
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Check the content of a file.

        Args:
            content: Parsed JSON.
            name: Where it comes from, for messages.

        Raises:
            ConfigError: another format, a newer version, or a field that is missing or not valid.
        """
        if not isinstance(content, dict):
            raise ConfigError(
                f"{name}: expected a {cls.FORMAT} object, got {type(content).__name__}"
            )
        fields = dict(content)
        found = fields.pop("format", cls.FORMAT)
        version = fields.pop("version", 0)
        fields.pop("package_version", None)
        if found != cls.FORMAT:
            raise ConfigError(f"{name}: expected format {cls.FORMAT!r}, got {found!r}")
        if not isinstance(version, int) or version > cls.VERSION:
            raise ConfigError(
                f"{name}: version {version!r} of {cls.FORMAT} is newer than this package reads "
                f"({cls.VERSION}); install a newer basalt-benchmark"
            )
        if version < cls.VERSION:
            fields = cls.upgrade(fields, version)
        try:
            return cls.model_validate(fields)
        except ValidationError as err:
            fault = first_fault(err, "the whole")
            raise ConfigError(f"{name}: not a valid {cls.FORMAT} file: {fault}") from err

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        """Content of an older version as content of today's; files before records have version 0."""
        return content


def first_fault(err: ValidationError, whole: str) -> str:
    """The first fault that pydantic found, in one line: field and message.

    Args:
        err: The failed validation.
        whole: What was checked, for a fault that is not about one field.
    """
    fault = err.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}"
