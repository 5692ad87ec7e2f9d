"""Names of agents: each is read as one agent's only, whatever it is written with."""

import re
import unicodedata
from collections.abc import Collection
from functools import cache

from confusable_homoglyphs.confusables import confusables_data

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that draw nothing, also those that Python counts as printable (Unicode's Default_Ignorable_Code_Point)."""


def name_taken(name: str, taken: Collection[str]) -> list[str]:
    """The problem with an agent's name if a study already has one that reads the same."""
    key, seen = name_key(name), _looks(name)
    problems = []
    for other in taken:
        same = key == name_key(other)
        if same or not seen.isdisjoint(_looks(other)):
            how = "" if same else ", which looks the same"
            problems.append(
                f"agent name {name!r}: the study has {other!r} already{how}; choose another with --name"
            )
    return problems


def name_key(name: str) -> str:
    """Normal form of a name, without case, width, accents' spelling or blanks: equal names are refused."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _looks(name: str) -> set[str]:
    """How a name looks: as it is written and without case. Names that have one of these in common look the same."""
    looks = set()
    for text in (name, unicodedata.normalize("NFKC", name)):
        written = "".join(text.split())
        # Letters of other scripts first: a Greek capital may look Latin, and its small letter not.
        latin = "".join(one if one.isascii() else _drawn(one) for one in written)
        looks |= {_skeleton(one) for one in (written, written.casefold(), latin.casefold())}
    return looks


def _skeleton(text: str) -> str:
    """A text with each character replaced by one that stands for all that look like it (Unicode's UTS #39, section 4)."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFD", text))
    return "".join(map(_drawn, visible))


@cache
def _drawn(character: str) -> str:
    """What stands for all characters that look like one: of ASCII if possible, and in parts (`rn` for `m`)."""
    found, queue = {character}, [character]
    while queue:
        alike = {one["c"].replace("\u200e", "") for one in confusables_data.get(queue.pop(), ())}
        queue += alike - found
        found |= alike
    chosen = min(found, key=lambda one: (not one.isascii(), -len(one), one))
    return chosen if len(chosen) < 2 else "".join(map(_drawn, chosen))
