"""`basalt record`: demonstrations in bulk, a rollout on training seeds."""

from basalt.cli.rollout import RolloutSettings, play, run
from basalt.core.tasks import get_task, parse_seeds, refuse_test_seeds


def main(argv: list[str]) -> int:
    """Run `basalt record ARGUMENTS`; returns the exit status.

    Raises:
        ConfigError: The seeds are official ones, which are for evaluation only.
    """
    return run("record", _record, argv, agent="demonstrator", settings=RolloutSettings)


def _record(settings: RolloutSettings) -> None:
    task = get_task(settings.task)
    refuse_test_seeds(task, parse_seeds(settings.seeds, task), "recording demonstrations")
    play(settings)
