"""`basalt oversight`: who may be believed about two recordings, in protocols with debaters and a judge."""

from basalt.cli.actions import Action, run_action

ACTIONS = {
    "run": Action(
        "leaderboard.oversight.run:RunConfig",
        "leaderboard.oversight.run:run",
        "let a judge decide between recordings, alone and with the help of debaters",
    ),
    "learn": Action(
        "leaderboard.oversight.look:LearnConfig",
        "leaderboard.oversight.look:learn",
        "train a weak judge on key frames of recordings whose truth is known",
    ),
    "report": Action(
        "leaderboard.oversight.report:ReportConfig",
        "leaderboard.oversight.report:report_on",
        "show what runs have measured, one table for each kind of truth",
    ),
}


def main(argv: list[str]) -> int:
    """Run the action named first, with settings behind it; returns the exit status.

    Raises:
        BasaltError: There is no such action or setting, or what the action raised.
    """
    return run_action("oversight", ACTIONS, ("run", "learn"), argv)
