"""The texts of the raters' pages: a file a language, in the format of i18next (JSON v4), which Python and JavaScript read.

A text has a key (`pair.submit`), may hold values (`{{name}}`), and one that depends on a number has a form for each
plural of the language (`practice_one`, `practice_other`, by the names of Unicode's CLDR). To translate the pages, copy
`en.json` to a file with the language's tag; to reword them for one study, to a file with a private tag such as
`en-x-lab.json`. What is missing there is English. The setting `language` of a study chooses the file.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel import Locale, UnknownLocaleError
from pydantic import TypeAdapter

from basalt.io.errors import BasaltError, ConfigError, StudyError
from basalt.io.untrusted import parse_json, read_bounded

DEFAULT = "en"
_FOLDER = Path(__file__).resolve().parent


class Texts:
    """The texts of one language.

    Args:
        language: Tag of the language; one without a file is English.
    """

    def __init__(self, language: str) -> None:
        self.language = language if language in catalogues() else DEFAULT

    def __call__(self, key: str, *, count: int | None = None, **values: object) -> str:
        """A text, with its values.

        Args:
            key: Section and name.
            count: Number that chooses among the plural forms, and a value; None for a text without them.
            values: Values of the text, by name.

        Raises:
            KeyError: There is no such text, or a value is missing.
        """
        if count is not None:
            values["count"] = count
            key = f"{key}_{_plural(self.language, count)}"
        text = find(self.language, key)
        return re.sub(r"\{\{(\w+)\}\}", lambda match: str(values[match.group(1)]), text)

    def refusal(self, err: BasaltError) -> str:
        """Why something was refused, for a rater: the text of its code in the section `refused`.

        Args:
            err: The refusal; one without a code is not a rater's matter, and says itself what it is.
        """
        if isinstance(err, StudyError) and err.code:
            return self(f"refused.{err.code}", **err.values)
        message = str(err)
        return message[:1].upper() + message[1:]


@cache
def catalogues() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Texts by language, section and name.

    Raises:
        ConfigError: A file does not hold sections of texts.
    """
    return {file.stem: _catalogue(file) for file in _FOLDER.glob("*.json")}


def _catalogue(file: Path) -> Mapping[str, Mapping[str, str]]:
    try:
        return TypeAdapter(dict[str, dict[str, str]]).validate_python(
            parse_json(read_bounded(file)), strict=True
        )
    except ValueError as err:
        raise ConfigError(
            f"{file}: expected sections of texts as in {DEFAULT}.json ({str(err).splitlines()[0]}); correct the file"
        ) from err


def find(language: str, key: str) -> str:
    """A text as it is in the file, English where the language has none.

    Raises:
        KeyError: There is no such text.
    """
    section, name = key.split(".")
    own = catalogues()[language].get(section, {})
    return own[name] if name in own else catalogues()[DEFAULT][section][name]


def _plural(language: str, count: int) -> str:
    try:
        return Locale.parse(language, sep="-").plural_form(count)
    except (UnknownLocaleError, ValueError):  # a private tag, such as en-x-lab
        return Locale.parse(language.split("-")[0]).plural_form(count)
