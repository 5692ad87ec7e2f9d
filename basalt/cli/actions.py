"""Commands with several actions, each of which is a Hydra application: `basalt COMMAND ACTION key=value ...`."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from basalt.cli.hydra_app import add_option, hydra_app
from basalt.core.registry import load
from basalt.core.settings import names, unknown_option
from basalt.io.errors import BasaltError, ConfigError


class Action(NamedTuple):
    """An action; it is imported when it is used, since some need torch.

    Attributes:
        config: Class of its settings, `module:Class`.
        function: What it does with them, `module:function`; its result has `lines()`. Where it also has a text `invalid`,
            the command fails with it behind the lines.
        summary: What it does, in one line.
    """

    config: str
    function: str
    summary: str


def run_action(
    command: str, actions: Mapping[str, Action], of_a_task: Collection[str], argv: list[str]
) -> int:
    """Run the action named first, with settings behind it; returns the exit status.

    Args:
        command: Name of the command.
        actions: Its actions by name.
        of_a_task: Names of those that have the setting `task`.
        argv: Arguments behind the command.

    Raises:
        BasaltError: There is no such action or setting, or what the action raised.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: basalt {command} ACTION key=value ...\n")
        for name, action in actions.items():
            print(f"  {name:<9} {action.summary}")
        print(f"\nbasalt {command} ACTION --help lists the settings of an action.")
        return 0
    name, *overrides = argv
    if name not in actions:
        raise ConfigError(unknown_option("action", name, list(actions)))
    config: type = load(actions[name].config)
    defaults: list[Any] = ["/hydra/quiet", f"/settings/{config.__name__}"]
    if name in of_a_task:
        defaults.append({"/task": "find_cave"})
    if "runner" in names(config):
        defaults.append({"/runner": "local"})
    add_option(command, name, {"defaults": [*defaults, "_self_"]}, package="_global_")

    def run(settings: Any) -> None:
        result = load(actions[name].function)(settings)
        print("\n".join(result.lines()))
        if (fault := getattr(result, "invalid", None)) is not None:
            raise BasaltError(fault)

    return hydra_app(f"{command}/{name}", run, overrides, settings=config)
