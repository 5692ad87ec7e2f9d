"""`basalt feedback`: what people are asked, and what they or synthetic teachers answered, for agents to learn from."""

from basalt.cli.actions import Action, run_action

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
    return run_action("feedback", ACTIONS, ("ask", "label"), argv)
