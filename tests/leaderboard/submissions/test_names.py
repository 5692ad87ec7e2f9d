"""A name is read as one agent's only, whatever letters it is written with."""

import unicodedata

import pytest
from confusable_homoglyphs.confusables import confusables_data
from hypothesis import assume, given
from hypothesis import strategies as st

from leaderboard.submissions.names import name_taken

LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_"
"""Letters that do not look like one another, alone or side by side (`rn` and `m` aside)."""

NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda name: "rn" not in name.lower())


def doubles(letter: str) -> list[str]:
    """Characters that Unicode's table gives as looking like a letter."""
    found = [one["c"] for one in confusables_data.get(letter, ())]
    return [one for one in found if len(one) == 1 and one.isprintable()]


@given(data=st.data(), name=NAMES)
def test_a_name_written_with_letters_of_other_scripts_is_taken(
    data: st.DataObject, name: str
) -> None:
    places = [n for n, letter in enumerate(name) if doubles(letter)]
    assume(places)
    letters = list(name)
    for place in data.draw(st.sets(st.sampled_from(places), min_size=1)):
        letters[place] = data.draw(st.sampled_from(doubles(name[place])))
    (fault,) = name_taken("".join(letters), [name])
    assert repr(name) in fault


@given(
    name=NAMES, place=st.integers(0, 12), hidden=st.sampled_from("\u3164\u115f\u034f\ufe0f\u2062")
)
def test_a_character_that_draws_nothing_makes_no_other_name(
    name: str, place: int, hidden: str
) -> None:
    assert name_taken(name[:place] + hidden + name[place:], [name])


@given(one=NAMES, other=NAMES)
def test_names_that_differ_in_plain_letters_are_different(one: str, other: str) -> None:
    assume(one.lower() != other.lower())
    assert not name_taken(one, [other])


@given(name=st.text(min_size=1, max_size=20))
def test_every_name_looks_like_itself_in_any_normal_form(name: str) -> None:
    assume(name.split())
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert name_taken(unicodedata.normalize(form, name), [name])


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("dеmonstrator", "demonstrator"),  # Cyrillic е
        ("rnodel", "model"),
        ("BC-l", "bc-1"),
        ("BIg", "Blg"),
        ("F00", "FOO"),
        ("ΒC", "bc"),  # Greek Β
        ("bc‐1", "bc-1"),  # a hyphen of its own
    ],
)
def test_well_known_doubles(name: str, taken: str) -> None:
    (fault,) = name_taken(name, [taken])
    assert "which looks the same" in fault


def test_numbers_and_suffixes_make_other_names() -> None:
    taken = [f"bc {number}" for number in range(2, 9)]
    assert not any(name_taken(one, [other]) for one in taken for other in taken if one != other)
    assert not name_taken("bc-large", ["bc", "bc-small", "large"])
