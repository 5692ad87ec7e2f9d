"""Agents by the names used in configs and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any

from basalt.core.agent import Agent
from basalt.io.errors import ConfigError

# Module and class; imported only when asked for, since some need torch.
AGENTS: dict[str, tuple[str, str]] = {
    "bc": ("agents.bc.agent", "BCAgent"),
    "demonstrator": ("agents.demonstrator.agent", "Demonstrator"),
    "random": ("agents.random.agent", "RandomAgent"),
}

# Module and function of the agents that learn; the function takes a composed configs/train.yaml.
TRAINERS: dict[str, tuple[str, str]] = {"bc": ("agents.bc.train", "run_training")}


def make_agent(name: str, **settings: Any) -> Agent:
    """The agent of that name, made with its own settings.

    Raises:
        ConfigError: no such agent, or a setting it does not have or needs; the message names it.
    """
    if name not in AGENTS:
        close = get_close_matches(name, AGENTS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"agent: unknown agent {name!r}; {hint}known: {', '.join(AGENTS)}")
    module, class_name = AGENTS[name]
    factory = getattr(import_module(module), class_name)
    try:
        signature(factory).bind(**settings)
    except TypeError as err:
        known = ", ".join(signature(factory).parameters) or "none"
        raise ConfigError(f"agent {name}: {err}; its settings: {known}") from err
    agent: Agent = factory(**settings)
    return agent


def train(settings: Mapping[str, Any]) -> None:
    """Train the agent that a composed ``configs/train.yaml`` names.

    Raises:
        ConfigError: the agent does not learn.
    """
    name = settings["agent"]["name"]
    if name not in TRAINERS:
        raise ConfigError(f"agent: {name} does not learn; agents that do: {', '.join(TRAINERS)}")
    module, function = TRAINERS[name]
    getattr(import_module(module), function)(settings)
