"""Tables for a spreadsheet: no text that a stranger wrote runs as a formula.

Spreadsheets run a cell that begins with =, +, - or @, and some split one at a tab or a line break, so the rest begins a
cell of its own. Such texts get an apostrophe in front, which spreadsheets take as "this is text" (OWASP, "CSV
Injection"). Numbers are not touched: -3 stays a number.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# The wide forms of the four characters (Japanese keyboards) count as the four. Texts that look like a marked one, since
# they begin with an apostrophe, are marked as well: so every text can be read back.
_RUNS = r"(?:[\t\r\n]|\s*[=+\-@＝＋－＠])"
_UNSAFE = re.compile(f"'*{_RUNS}")
_MARKED = re.compile(f"'+{_RUNS}")
_NUMBERS = "biufcmM"  # kinds of columns without texts, times included


def inert(text: str) -> str:
    """A text as a cell that a spreadsheet shows and does not run."""
    return f"'{text}" if _UNSAFE.match(text) else text


def original(cell: str) -> str:
    """The text of which `inert` made a cell."""
    return cell[1:] if _MARKED.match(cell) else cell


def inert_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """A copy of a table in which all texts, column titles included, are `inert`."""
    made = table.copy()
    for name in made.columns:
        if made[name].dtype.kind not in _NUMBERS:
            made[name] = made[name].map(_inert_value)
    return made.rename(columns=_inert_value)


def write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as CSV for a spreadsheet, without its index.

    Rows end with CR LF: a text is quoted for a CR in it only if rows end with one, and a bare one would begin a row.

    Raises:
        OSError: the file cannot be written.
    """
    inert_table(table).to_csv(path, index=False, lineterminator="\r\n")


def _inert_value(value: Any) -> Any:
    return inert(value) if isinstance(value, str) else value
