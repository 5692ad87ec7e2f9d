"""`basalt train`: an agent learns from recordings."""

from collections.abc import Callable
from functools import partial
from typing import Any

from agents.common.registry import Training, learner, learners
from basalt.cli.hydra_app import GROUPS, add_option, hydra_app
from basalt.core.settings import defaults


def main(argv: list[str]) -> int:
    """Run `basalt train ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: The agent does not learn, or a setting or the data cannot be used.
    """
    asked = [name for arg in argv if arg.startswith("agent=") for name in arg[6:].split(",")]
    classes = {name: learner(name)[0] for name in [*asked, *learners()]}
    for name, config in classes.items():
        values = {k: v for k, v in defaults(config).items() if k not in (*GROUPS, "out")}
        add_option("agent", name, {"agent": {"name": name}, **values}, package="_global_")
    described = classes[(asked or ["bc"])[0]]
    return hydra_app("train", _train, argv, settings=_training, described=described)


def _training(agent: dict[str, Any], **values: Any) -> Callable[[], Training]:
    config, train = learner(agent["name"])
    return partial(train, config(**values))


def _train(training: Callable[[], Training]) -> None:
    result = training()
    print("\n".join(result.lines()))
    if result.interrupted:
        raise KeyboardInterrupt
