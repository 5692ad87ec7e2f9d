"""Typed settings: a dataclass per command or training, checked by pydantic, with errors of one line."""

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from basalt.core.registry import did_you_mean
from basalt.io.errors import ConfigError


def _path_text(value: Any, info: ValidationInfo) -> Any:
    """A path as text. A number or list was not typed as one: Hydra has read it so."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(
            f"expected a path, got the number {value}; write {info.field_name}=./{value}"
        )
    if not isinstance(value, str):
        raise ValueError(
            f"expected a path, got {value!r}; if it is one, quote it: '{info.field_name}=\"...\"'"
        )
    return str(Path(value).expanduser()) if value.startswith("~") else value


PathText = Annotated[str, BeforeValidator(_path_text)]
"""A path, as the user types it."""

Paths = Annotated[
    tuple[PathText, ...],
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,)),
]
"""One path, or a list of them."""

Int = Annotated[int, Strict()]
"""An integer; `true` is not one."""

Natural = Annotated[int, Strict(), Field(ge=0)]
"""An integer of at least 0, such as a seed."""

Count = Annotated[int, Strict(), Field(ge=1)]
"""An integer of at least 1."""

Float = Annotated[float, Strict()]
"""A number; `true` is not one."""

Positive = Annotated[float, Strict(), Field(gt=0)]
"""A number above 0."""


def _crf(value: int) -> int:
    if not 0 <= value <= 51:
        raise ValueError(f"expected an integer from 0 (best) to 51 (smallest), got {value}")
    return value


Crf = Annotated[int, Strict(), AfterValidator(_crf)]
"""Quality of a video, x264's CRF."""

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose values are checked when it is made.

    A class attribute `RENAMED` maps former names of fields to their present ones; both are accepted.

    Returns:
        The dataclass. Making one raises a ConfigError that names the first wrong setting, what was
        expected and what it is.
    """
    made = dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)
    init = made.__init__

    @wraps(init)
    def checked(self: Any, *args: Any, **values: Any) -> None:
        renamed: Mapping[str, str] = getattr(cls, "RENAMED", {})
        try:
            init(self, *args, **{renamed.get(name, name): value for name, value in values.items()})
        except ValidationError as err:
            raise ConfigError(_first_fault(err, cls)) from None

    made.__init__ = checked  # type: ignore[method-assign]
    return made  # type: ignore[return-value]


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "dict": "settings by name",
    "dataclass": "settings by name",
}
_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "a value above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "a value below {lt}",
}


def _first_fault(err: ValidationError, cls: type) -> str:
    faults = err.errors()
    # A misspelt name is the reason why another one is missing.
    fault = next((one for one in faults if one["type"] == "unexpected_keyword_argument"), faults[0])
    return fault_line(fault, names(cls))


def fault_line(fault: ErrorDetails, known: list[str]) -> str:
    """A fault that pydantic found, in one line.

    Args:
        fault: one of `ValidationError.errors()`.
        known: dotted names of all settings, for a close match.
    """
    name, kind = ".".join(map(str, fault["loc"])), fault["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_setting(name, known)
    if kind == "missing":
        return f"{name}: expected a value; give {name}=..."
    if kind == "value_error":
        text = fault["msg"].removeprefix("Value error, ")
        return f"{name}: {text}" if name else text
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        return unknown_option(name, str(fault["input"]), options)
    if kind == "too_short":
        return (
            f"{name}: expected at least {fault['ctx']['min_length']} value, got {fault['input']!r}"
        )
    if kind in _LIMITS:
        expected = _LIMITS[kind].format(**{k: f"{v:g}" for k, v in fault["ctx"].items()})
    else:
        expected = _EXPECTED.get(kind.partition("_")[0]) or fault["msg"].removeprefix(
            "Input should be "
        )
    return f"{name}: expected {expected}, got {fault['input']!r}"


def unknown_setting(name: str, known: list[str]) -> str:
    """The line for a setting that does not exist."""
    last = [one.rpartition(".")[2] for one in known]
    hint = did_you_mean(name, known) or did_you_mean(name.rpartition(".")[2], last)
    return f"{name}: unknown setting; {hint}available: {', '.join(known)}"


def unknown_option(name: str, value: str, options: Sequence[str]) -> str:
    """The line for a value that is not one of a setting's options."""
    return (
        f"{name}: unknown option {value!r}; {did_you_mean(value, options)}"
        f"available: {', '.join(options)}"
    )


def names(cls: type) -> list[str]:
    """Dotted names of the settings of a class, those of nested ones included."""
    return list(flat(defaults(cls)))


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by their dotted names; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def defaults(cls: type) -> dict[str, Any]:
    """The default settings of a class as plain values; `???` (Hydra's mark) where one must be given."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
        else:
            values[field.name] = "???"
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def descriptions(cls: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say under `Attributes:` or `Args:`, by name, each as one line."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        text = inspect.cleandoc(one.__doc__ or "")
        section = re.search(r"^(?:Attributes|Args):\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
        for entry in re.split(r"^    (?=\S)", section[1] if section else "", flags=re.MULTILINE):
            name, colon, what = entry.partition(":")
            if colon:
                found |= dict.fromkeys(name.split(", "), " ".join(what.split()))
    return found
