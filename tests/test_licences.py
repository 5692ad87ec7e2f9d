"""An MIT project's extras carry no GPL package, and the page names each package that asks for more than its notice."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def needed(requirements: list[str]) -> Iterator[Distribution]:
    """All installed packages that requirements bring along, and those that they bring, and so on."""
    seen: set[str] = set()
    queue = [Requirement(one) for one in requirements]
    while queue:
        one = queue.pop()
        if str(one) in seen:
            continue
        seen.add(str(one))
        if one.name == PROJECT["name"]:
            queue += [Requirement(each) for extra in one.extras for each in EXTRAS[extra]]
            continue
        try:
            found = distribution(one.name)
        except PackageNotFoundError:  # of another system, or of an extra that is not installed
            continue
        yield found
        for each in map(Requirement, found.requires or []):
            extras = [*one.extras, ""]
            if each.marker is None or any(each.marker.evaluate({"extra": x}) for x in extras):
                queue.append(each)


def licence(package: Distribution) -> str:
    """What a package says of its licence; the text of the licence itself is cut."""
    facts = package.metadata
    classifiers = [one for one in facts.get_all("Classifier") or [] if one.startswith("License ::")]
    stated = [
        facts.get("License-Expression") or "",
        (facts.get("License") or "")[:80],
        *classifiers,
    ]
    return "; ".join(filter(None, stated))


def is_gpl(text: str) -> bool:
    """Whether a statement leaves nothing but the GPL (or the AGPL); the LGPL is another licence."""
    strong = re.search(r"(?<![A-Za-z])A?GPL|GNU (Affero )?General Public", text)
    return bool(strong) and " OR " not in text


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_no_extra_brings_a_gpl_package(extra: str) -> None:
    requirements = [*PROJECT["dependencies"], *(EXTRAS[extra] if extra else [])]
    packages = {one.name: licence(one) for one in needed(requirements)}
    assert "numpy" in packages
    assert not {name: text for name, text in packages.items() if is_gpl(text)}


def test_the_page_names_every_package_that_asks_for_more_than_its_notice() -> None:
    page = (ROOT / "docs" / "licences.md").read_text()
    everything = [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    more = {
        one.name for one in needed(everything) if re.search("LGPL|Lesser|MPL|Mozilla", licence(one))
    }
    assert {"tqdm", "python-xlib"} <= more
    assert not [name for name in sorted(more) if name not in page]


@pytest.mark.parametrize(
    ("text", "gpl"),
    [
        ("GPL-3.0-or-later", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("LGPL-3.0-only", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("MIT OR GPL-2.0", False),
        ("MIT", False),
    ],
)
def test_statements_are_understood(text: str, gpl: bool) -> None:
    assert is_gpl(text) == gpl


def test_no_lock_holds_the_gpl_package_that_was_there() -> None:
    for name in ("constraints.txt", "docker/requirements.lock", "pyproject.toml"):
        assert "krippendorff" not in (ROOT / name).read_text()
