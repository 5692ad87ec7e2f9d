"""`basalt feedback`: what people are asked, and what they or synthetic teachers answered, for agents to learn from."""

from typing import Any, NamedTuple

from basalt.cli.hydra_app import add_option, hydra_app
from basalt.core.registry import load
from basalt.core.settings import unknown_option
from basalt.io.errors import ConfigError


class Action(NamedTuple):
    """An action; it is imported when it is used, since some need torch.

    Attributes:
        config: Class of its settings, `module:Class`.
        function: What it does with them, `module:function`; its result has `lines()`.
        summary: What it does, in one line.
    """

    config: str
    function: str
    summary: str


ACTIONS = {
    "ask": Action(
        "basalt.feedback.ask:AskConfig",
        "basalt.feedback.ask:ask",
        "put pairs of clips into a queue for people to compare in the app",
    ),
    "label": Action(
        "basalt.feedback.label:LabelConfig",
        "basalt.feedback.label:label",
        "let a synthetic teacher answer pairs of clips",
    ),
    "merge": Action(
        "basalt.feedback.merge:MergeConfig",
        "basalt.feedback.merge:merge",
        "check files of answers, also of others, and join them into one",
    ),
    "evaluate": Action(
        "basalt.feedback.evaluate:EvaluateConfig",
        "basalt.feedback.evaluate:evaluate",
        "test a reward model on other answers",
    ),
    "score": Action(
        "basalt.feedback.score:ScoreConfig",
        "basalt.feedback.score:score",
        "score recordings by a reward model, to see it under their films in the app",
    ),
}


def main(argv: list[str]) -> int:
    """Run the action named first, with settings behind it; returns the exit status.

    Raises:
        BasaltError: There is no such action or setting, or what the action raised.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt feedback ACTION key=value ...\n")
        for name, action in ACTIONS.items():
            print(f"  {name:<9} {action.summary}")
        print("\nbasalt feedback ACTION --help lists the settings of an action.")
        return 0
    name, *overrides = argv
    if name not in ACTIONS:
        raise ConfigError(unknown_option("action", name, list(ACTIONS)))
    config: type = load(ACTIONS[name].config)
    defaults: list[Any] = ["/hydra/quiet", f"/settings/{config.__name__}"]
    if name in ("ask", "label"):
        defaults.append({"/task": "find_cave"})
    add_option("feedback", name, {"defaults": [*defaults, "_self_"]}, package="_global_")

    def run(settings: Any) -> None:
        print("\n".join(load(ACTIONS[name].function)(settings).lines()))

    return hydra_app(f"feedback/{name}", run, overrides, settings=config)
