"""`basalt feedback`: what people or synthetic teachers answered, for agents to learn from."""

from collections.abc import Callable
from typing import Any

from basalt.cli.hydra_app import add_option, hydra_app
from basalt.core.settings import unknown_option
from basalt.feedback.label import LabelConfig, label
from basalt.feedback.merge import MergeConfig, merge
from basalt.io.errors import ConfigError

ACTIONS: dict[str, tuple[type, Callable[[Any], Any], str]] = {
    "label": (LabelConfig, label, "let a synthetic teacher answer pairs of clips"),
    "merge": (MergeConfig, merge, "check files of answers, also of others, and join them into one"),
}


def main(argv: list[str]) -> int:
    """Run the action named first, with settings behind it; returns the exit status.

    Raises:
        BasaltError: There is no such action or setting, or what the action raised.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt feedback ACTION key=value ...\n")
        for name, (_, _, summary) in ACTIONS.items():
            print(f"  {name:<8} {summary}")
        print("\nbasalt feedback ACTION --help lists the settings of an action.")
        return 0
    name, *overrides = argv
    if name not in ACTIONS:
        raise ConfigError(unknown_option("action", name, list(ACTIONS)))
    config, function, _ = ACTIONS[name]
    defaults: list[Any] = ["/hydra/quiet", f"/settings/{config.__name__}"]
    if name == "label":
        defaults.append({"/task": "find_cave"})
    add_option("feedback", name, {"defaults": [*defaults, "_self_"]}, package="_global_")

    def run(settings: Any) -> None:
        print("\n".join(function(settings).lines()))

    return hydra_app(f"feedback/{name}", run, overrides, settings=config)
