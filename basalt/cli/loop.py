"""`basalt loop`: a policy improves by people's or a synthetic teacher's choices, round by round."""

from basalt.cli.hydra_app import hydra_app
from basalt.feedback.loop_config import LoopConfig


def main(argv: list[str]) -> int:
    """Run `basalt loop ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: A setting, the start, the answers or the folder cannot be used, or no world works.
    """
    return hydra_app("loop", _loop, argv, settings=LoopConfig)


def _loop(settings: LoopConfig) -> None:
    from basalt.feedback.loop import loop  # here, since it needs torch and the worlds

    result = loop(settings)
    print("\n".join(result.lines()))
    if result.interrupted:
        raise KeyboardInterrupt
