"""What people read is plain English: words that this project once used in a private sense do not come back."""

import re

import pytest

from tools.draw_wording import Text, python_texts, texts

BANNED = {
    r"(?<![`'\"=])mend(s|ed|ing)?": "fix",
    r"anew": "again, from scratch",
    r"told|tells": "reported, observed, says",
    r"(?<!there )is none": "is not a valid ...",
    r"(?<!there )is no (?!longer|more|other|need|such|point|way|reason|evidence)\w+": "is not a valid ...",
    r"go(es|ing)? on( with)?": "resumes, continues",
    r"lies?|lying": "is, is stored in",
    r"stands? in": "replaces, is used instead",
    r"whoever": "the person who",
    r"so many": "that many",
    r"lacks?": "is missing",
    r"(is|are) over": "has expired, has ended",
    r"of (theirs|ours)": "their, our",
}
"""Patterns of whole words, and what to write instead."""

PATTERN = re.compile("|".join(rf"(?P<w{n}>\b(?:{word})\b)" for n, word in enumerate(BANNED)), re.I)

NOT_YET: tuple[str, ...] = ()
"""Files and folders that are still to be rewritten."""


def faults(text: Text) -> list[str]:
    words = list(BANNED)
    return [
        f"{text.file}:{text.line}: {text.kind}: {match[0]!r}; write: {BANNED[words[int(str(match.lastgroup)[1:])]]}"
        for match in PATTERN.finditer(text.text)
    ]


def test_no_text_uses_a_banned_word() -> None:
    found = [
        fault
        for text in texts()
        if text.file != "tests/test_wording.py" and not text.file.startswith(NOT_YET)
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


MARKUP = {
    r"``": "single backticks",
    r":(class|func|meth|mod|attr|data|exc):`": "single backticks, no Sphinx roles",
    r"^ +\*?\w+(, \w+)*: of ": "a full noun phrase: `seed: Seed of the draws.`",
}


def test_docstrings_have_one_markup() -> None:
    found = [
        f"{text.file}:{text.line}: {match[0].strip()!r}; write {better}"
        for text in texts()
        if text.kind in ("docstring", "comment") and text.file.endswith(".py")
        if text.file != "tests/test_wording.py" and not text.file.startswith(NOT_YET)
        for pattern, better in MARKUP.items()
        if (match := re.search(pattern, text.text, re.MULTILINE))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ('"""A fault that you can mend."""', "docstring"),
        ('raise ValueError(f"{x} is none")', "message"),
        ("x = 1  # the rest lies in memory", "comment"),
    ],
)
def test_a_banned_word_is_found_wherever_it_is_read(source: str, kind: str) -> None:
    found = [text for text in python_texts(source, "a.py") if faults(text)]
    assert [text.kind for text in found] == [kind]


def test_names_and_keys_are_not_texts() -> None:
    assert not list(python_texts('told = facts["told"]', "a.py"))
