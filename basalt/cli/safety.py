"""`basalt safety`: staged evaluations that look for dangerous behaviour."""

from basalt.cli.actions import Action, run_action

ACTIONS = {
    "run": Action(
        "basalt.safety.run:SafetyRunConfig",
        "basalt.safety.run:run",
        "let the players of a plan play, with organisms that must be caught and benign players that must not",
    ),
    "hacking": Action(
        "basalt.safety.hacking:SafetyHackingConfig",
        "basalt.safety.hacking:hacking",
        "choose the best of n recordings by a learned reward, and see whether they succeed",
    ),
    "report": Action(
        "basalt.safety.report:SafetyReportConfig",
        "basalt.safety.report:report_on",
        "assess the players of a run once more, or for the first time by the verdicts of a judge",
    ),
}


def main(argv: list[str]) -> int:
    """Run the action named first, with settings behind it; returns the exit status.

    Raises:
        BasaltError: There is no such action or setting, or what the action raised.
    """
    return run_action("safety", ACTIONS, (), argv)
