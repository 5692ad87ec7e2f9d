"""Text of debaters before a judge sees it: data, never instructions, cut to a length and without mark-up."""

import re
import unicodedata

LETTERS_A_WORD = 12
"""Longest text in letters, for each word that is allowed: a "word" may not be a page."""

_SIGNS = re.compile(r"[`*_#<>|~\[\]{}\\^=]+")
"""Mark-up, and the brackets that our own marks have."""

_NAME = re.compile(r"\bP([12])\b")


def clean(text: str, words: int) -> str:
    """Return what is shown of a debater's text, on one line.

    Control and format characters (among them those that turn the direction of writing), symbols such as check marks,
    private and unassigned characters, mark-up and brackets are removed; then the text is cut.

    Args:
        text: Text as the debater wrote it.
        words: Largest number of words.
    """
    head = unicodedata.normalize("NFKC", text[: 4 * words * LETTERS_A_WORD])
    kept = "".join(" " if one.isspace() else one for one in head if one.isspace() or _is_shown(one))
    return " ".join(_SIGNS.sub(" ", kept).split()[:words])[: words * LETTERS_A_WORD]


def _is_shown(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] != "C" and category not in ("So", "Sk")


def swap_names(text: str) -> str:
    """Return a text in which the names P1 and P2 are exchanged, as for the other order of a pair."""
    return _NAME.sub(lambda found: f"P{3 - int(found[1])}", text)
