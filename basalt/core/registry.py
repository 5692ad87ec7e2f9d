"""Registries: agents, worlds, probes and rating models by name, also from other packages."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import UnionType
from typing import Any, Generic, TypeVar, cast, get_args

from basalt.io.errors import ConfigError

T = TypeVar("T")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean 'x'? ` for the closest of the names, or an empty string; goes before other advice."""
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def load(target: Any) -> Any:
    """Import an object that is given as `"module:attribute"`; other objects are returned as they are."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Generic[T]):
    """Objects by name, imported when they are first asked for.

    Built-in objects are registered as `"module:attribute"`. Another distribution adds its own under the
    entry point group, without a change here:

        [project.entry-points."basalt.agents"]
        my-agent = "my_package.agent:MyAgent"

    One that cannot be imported is an error when it is asked for, and does not affect the others.

    Args:
        kind: What is registered, for messages: "agent", "world".
        group: Entry point group that other distributions use; None if the registry is not extensible.
        expected: Class (or union of classes) of the objects that other distributions add.
    """

    def __init__(
        self, kind: str, group: str | None = None, expected: type | UnionType = object
    ) -> None:
        self.kind = kind
        self.group = group
        self.expected = expected
        self._entries: dict[str, T | str] = {}
        self._plugins: dict[str, EntryPoint] | None = None

    def register(self, name: str, target: T | str) -> None:
        """Add an object, or `"module:attribute"` where to import it from.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._entries:
            raise ConfigError(f"{self.kind}: {name!r} is registered already; choose another name")
        self._entries[name] = target

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._found()

    def __len__(self) -> int:
        return len(self._entries) + len(self._found())

    def __iter__(self) -> Iterator[str]:
        """The names: built-in ones in the order of registration, then those of other distributions."""
        yield from self._entries
        yield from self._found()

    def get(self, name: str) -> T:
        """The object of that name.

        Raises:
            ConfigError: no such name, the message has the closest one and the list; or what another
                distribution adds cannot be imported, or is not what was expected.
        """
        if name in self._entries:
            entry = self._entries[name] = cast(T, load(self._entries[name]))
            return entry
        if (plugin := self._found().get(name)) is None:
            raise ConfigError(
                f"{self.kind}: unknown {self.kind} {name!r}; {did_you_mean(name, self)}"
                f"available: {', '.join(self)}"
            )
        try:
            found = plugin.load()
        except Exception as err:  # the module of another distribution may raise anything
            reason = " ".join(f"{type(err).__name__}: {err}".split())
            raise ConfigError(
                f"{self.kind}: {name!r} of {_distribution(plugin)} cannot be imported ({reason}); "
                "fix or remove that package"
            ) from err
        if not isinstance(found, self.expected):
            kinds = get_args(self.expected) or (self.expected,)
            wanted = " or ".join("class" if one is type else str(one.__name__) for one in kinds)
            raise ConfigError(
                f"{self.kind}: {name!r} of {_distribution(plugin)}: expected {wanted}, got "
                f"{type(found).__name__} at {plugin.value!r}; its entry point must be module:NAME"
            )
        return cast(T, found)

    def broken(self) -> dict[str, str]:
        """What is wrong with each object that another distribution adds and that cannot be used, by name.

        Imports all that other distributions add, so it is for lists and help texts only.
        """
        problems = {}
        for name in self._found():
            try:
                self.get(name)
            except ConfigError as err:
                problems[name] = str(err)
        return problems

    def _found(self) -> dict[str, EntryPoint]:
        if self._plugins is None:
            found: dict[str, EntryPoint] = {}
            for plugin in entry_points(group=self.group) if self.group else ():
                if plugin.name in self._entries or plugin.name in found:
                    raise ConfigError(
                        f"{self.kind}: {_distribution(plugin)} adds {plugin.name!r}, which is "
                        "registered already; remove one of the two packages"
                    )
                found[plugin.name] = plugin
            self._plugins = found
        return self._plugins


def _distribution(plugin: EntryPoint) -> str:
    return f"the package {plugin.dist.name}" if plugin.dist else plugin.value
