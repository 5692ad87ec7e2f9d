"""Names lead to objects: built in, or of another distribution."""

import sys

import pytest

from basalt.core.registry import Registry, did_you_mean
from basalt.io.errors import ConfigError


def install(folder, monkeypatch, name, entries, group="basalt.things"):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    monkeypatch.syspath_prepend(str(folder))


def test_objects_are_imported_when_they_are_asked_for():
    things: Registry = Registry("thing")
    things.register("fraction", "fractions:Fraction")
    things.register("missing", "no_such_module:Thing")
    assert list(things) == ["fraction", "missing"] and "fraction" in things
    assert things.get("fraction") is sys.modules["fractions"].Fraction


def test_a_name_is_given_once():
    things: Registry = Registry("thing")
    things.register("a", 1)
    with pytest.raises(ConfigError, match="thing: 'a' is registered already"):
        things.register("a", 2)


def test_an_unknown_name_gets_the_closest_one_and_the_list():
    things: Registry = Registry("thing")
    things.register("random", 1)
    things.register("scripted", 2)
    with pytest.raises(
        ConfigError,
        match=r"unknown thing 'randm'; did you mean 'random'\? available: random, scripted",
    ):
        things.get("randm")
    assert did_you_mean("xyz", things) == ""


def test_another_distribution_adds_its_own(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "theirs", {"theirs": "fractions:Fraction", "broken": "gone:X"})
    things: Registry = Registry("thing", "basalt.things")
    things.register("ours", 1)
    assert list(things) == ["ours", "theirs", "broken"] and "theirs" in things
    assert things.get("theirs").__name__ == "Fraction"
    with pytest.raises(ConfigError, match=r"'broken' of the package theirs cannot be imported"):
        things.get("broken")
    assert list(things.broken()) == ["broken"]


def test_what_another_distribution_adds_has_the_kind_that_is_expected(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "theirs", {"good": "fractions:Fraction", "module": "fractions"})
    things: Registry = Registry("thing", "basalt.things", type)
    assert things.get("good").__name__ == "Fraction"
    with pytest.raises(
        ConfigError, match=r"expected class, got module at 'fractions'; .* module:NAME"
    ):
        things.get("module")


def test_another_distribution_cannot_take_a_name(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "theirs", {"ours": "fractions:Fraction"})
    things: Registry = Registry("thing", "basalt.things")
    things.register("ours", 1)
    with pytest.raises(
        ConfigError, match="the package theirs adds 'ours', which is registered already"
    ):
        list(things)
