"""Agents by name: those of this package and, by the entry point group `basalt.agents`, of others.

An entry point names an `Algorithm` or, for an agent that does not learn, the agent's class.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ConfigDict, ValidationError, create_model

from basalt.core.agent import Agent
from basalt.core.registry import Registry, load
from basalt.core.settings import fault_line
from basalt.io.atomic import write_json
from basalt.io.claims import read_claim
from basalt.io.errors import ConfigError


@dataclass(frozen=True)
class Algorithm:
    """How an agent plays and, where it learns, is trained. Parts are imported when they are used.

    Attributes:
        agent: Class of the agent, or `module:Class`. The parameters of its constructor are the settings
            under `agent.`; one named `checkpoint` is given the setting `checkpoint`.
        config: Class of its training's settings, `module:Class`; see `basalt.core.settings.settings`.
            It has the fields `out`, `task` and `data`.
        train: Function that trains by such settings, `module:function`; returns a `Training`.
        trained_elsewhere: Whether its training is not part of this project: then its settings `learns` and `training_seed`
            say whether it learns and the seed of its training.
    """

    agent: str | type
    config: str | None = None
    train: str | None = None
    trained_elsewhere: bool = False


@dataclass(frozen=True)
class Part:
    """A part that other agents use when they play, and how it is trained.

    Attributes:
        config: Class of its training's settings; see `Algorithm`.
        train: Function that trains by such settings; see `Algorithm`.
    """

    config: str
    train: str


class Training(Protocol):
    """Result of a training run.

    Attributes:
        interrupted: Whether Ctrl-C stopped it early; the same settings resume it.
    """

    interrupted: bool

    def lines(self) -> list[str]:
        """The result in lines of text."""
        ...


AGENTS: Registry[Algorithm | type] = Registry("agent", "basalt.agents", Algorithm | type)
for _name in (
    "awr",
    "bc",
    "best_of_n",
    "cpl",
    "dagger",
    "demonstrator",
    "filtered_bc",
    "hybrid",
    "noop",
    "ppo",
    "random",
    "remote",
    "search",
    "steer_vector",
    "steered",
):
    AGENTS.register(_name, f"agents.{_name}:ALGORITHM")

PARTS = {"ending": "agents.ending:PART", "reward": "agents.reward:PART"}
"""What is trained but does not play, by name."""

STOP = "stop"
"""Setting of every agent: run of the stopping head that ends its episodes."""


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigError: There is no such agent.
    """
    found = AGENTS.get(name)
    return found if isinstance(found, Algorithm) else Algorithm(found)


def learners() -> list[str]:
    """Names of what can be trained: agents, without those that cannot be imported, and parts of agents."""
    broken = AGENTS.broken()
    return [*(name for name in AGENTS if name not in broken and algorithm(name).train), *PARTS]


def learner(name: str) -> tuple[type, Callable[[Any], Training]]:
    """The class of the training settings of an agent or a part, and the function that trains by them.

    Raises:
        ConfigError: There is no such agent, or it does not learn.
    """
    found: Algorithm | Part = load(PARTS[name]) if name in PARTS else algorithm(name)
    if not found.train or not found.config:
        raise ConfigError(
            f"agent: {name!r} does not learn; agents that learn: {', '.join(learners())}"
        )
    return load(found.config), load(found.train)


def play_settings(name: str) -> dict[str, Any]:
    """An agent's settings for playing, with their defaults; `???` (Hydra's mark) where one is needed."""
    values: dict[str, Any] = {"name": name}
    for parameter in parameters(load(algorithm(name).agent)):
        value = "???" if parameter.default is parameter.empty else parameter.default
        values[parameter.name] = "${checkpoint}" if parameter.name == "checkpoint" else value
    return values | {STOP: None}


def upgrade_claim(file: Path) -> None:
    """Give the agent of an older rollout.json its present settings: those it does not have are as they were.

    Args:
        file: rollout.json; nothing happens if it is missing.
    """
    found = read_claim(file, "rollout") if file.is_file() else {}
    before = found.get("agent", {})
    if before.get("name") not in AGENTS or before.get("steer") is not None:
        return
    settings = play_settings(before["name"])
    former = getattr(load(algorithm(before["name"]).agent), "FORMER_DEFAULTS", {})
    agent = {name: before.get(name, former.get(name, value)) for name, value in settings.items()}
    if agent != before:
        write_json(file, found | {"agent": agent})


def make_agent(name: str, **settings: Any) -> Agent:
    """Make an agent.

    Args:
        name: Name of the agent.
        settings: Arguments of its constructor, and `stop`: run of `basalt train agent=ending` that ends its
            episodes, or None.

    Raises:
        ConfigError: There is no such agent, a setting is unknown, missing or of the wrong type, or `stop` was given
            for an agent that decides itself when to press ESC.
    """
    factory = load(algorithm(name).agent)
    _check(factory, settings)
    stop = settings.pop(STOP, None)
    agent: Agent = factory(**settings)
    if stop is None:
        return agent
    from agents.common.stopping import StoppingAgent  # here, since it needs torch

    return StoppingAgent(agent, stop, settings.get("device", "auto"))


def parameters(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters of an agent's constructor, with their annotations evaluated."""
    return list(inspect.signature(factory, eval_str=True).parameters.values())


def _check(factory: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Check settings, `stop` among them, against the names and annotations of a constructor's parameters."""
    fields: dict[str, Any] = {
        one.name: (
            Any if one.annotation is one.empty else one.annotation,
            ... if one.default is one.empty else one.default,
        )
        for one in parameters(factory)
    } | {STOP: (str | Path | None, None)}
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    try:
        create_model("Settings", __config__=config, **fields)(**settings)
    except ValidationError as err:
        fault = err.errors()[0]
        fault["loc"] = ("agent", fault["loc"][0])  # without the name of the type that was tried
        raise ConfigError(fault_line(fault, [f"agent.{one}" for one in fields])) from None
