"""`basalt train`: an agent learns from recordings."""

from collections.abc import Callable
from functools import partial
from typing import Any

from agents.common.registry import Training, learner, learners
from agents.common.started import started
from basalt.cli.hydra_app import GROUPS, add_option, chosen, hydra_app
from basalt.core.settings import defaults
from basalt.io.errors import ConfigError


def main(argv: list[str]) -> int:
    """Run `basalt train ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: The agent does not learn, or a setting or the data cannot be used.
    """
    asked = chosen("agent", argv) or ["bc"]
    classes = {name: learner(name)[0] for name in asked}
    for name in [*asked, *learners()]:
        # Other agents stay unimported: they may need packages that are not installed.
        known = defaults(classes[name]) if name in classes else {}
        values = {k: v for k, v in known.items() if k not in (*GROUPS, "out")}
        node: dict[str, Any] = {"agent": {"name": name}, **values}
        if known and "data" not in known:  # it says itself what it learns from
            node["defaults"] = [{"override /data": None}]
        add_option("agent", name, node, package="_global_")
    return hydra_app("train", _train, argv, settings=_training, described=classes[asked[0]])


def _training(agent: dict[str, Any], **values: Any) -> Callable[[], Training]:
    config, train = learner(agent["name"])
    checked = config(**values)
    if (found := started()) is not None and not hasattr(checked, "devices"):
        raise ConfigError(
            f"agent: {agent['name']} trains in one process, but {found.program} started {found.size}; start it alone"
        )
    return partial(train, checked)


def _train(training: Callable[[], Training]) -> None:
    result = training()
    if (found := started()) is not None and found.rank:
        return  # the first process says it
    print("\n".join(result.lines()))
    if result.interrupted:
        raise KeyboardInterrupt
