"""Verdicts of judges as `basalt oversight run` writes them, about videos of which one is a failure."""

from pathlib import Path
from typing import Any

from leaderboard.oversight.claims import Side
from leaderboard.oversight.messages import Protocol, digest
from leaderboard.oversight.trials import TRIALS, Trial

DIRECT = Protocol(form="direct", frames=1)


def lines(
    failure: str,
    success: str,
    first: bool | None,
    second: bool | None,
    *,
    repeat: int = 0,
    protocol: Protocol = DIRECT,
    **changes: Any,
) -> list[str]:
    """The lines of a pair in both orders.

    Args:
        failure: SHA-256 of the failure's video.
        success: SHA-256 of the success's video.
        first: Whether the judge preferred the failure when the left side was first; None if it could not tell.
        second: The same when the right side was first.
        repeat: Number of the repetition.
        protocol: Protocol of the arm.
        changes: Further fields of the trials.
    """
    pair = digest([failure, success])
    left_failed = int(pair, 16) % 2 == 1
    worse: Side = "left" if left_failed else "right"
    better: Side = "right" if left_failed else "left"
    sides: tuple[Side, Side] = ("left", "right")
    found = []
    for order, wrong in zip(sides, (first, second), strict=True):
        one = Trial(
            trial=digest([pair, order]), pair=pair, task="find_cave", question="", world_seed=100_000, split="train",
            videos=(failure, success) if left_failed else (success, failure), truth=better, kind="success",
            protocol=protocol, honest="oracle", dishonest="liar", judge="learned", first=order, repeat=repeat, seed=0,
            transcript="", request="", verdict=None if wrong is None else worse if wrong else better, left=None, reply="",
            seconds=0.0, tokens_in=None, tokens_out=None, cost=None, package_version="",
        )  # fmt: skip
        found.append(one.model_copy(update=changes).model_dump_json() + "\n")
    return found


def asked(
    failure: str, success: str, first: bool | None, second: bool | None, **changes: Any
) -> str:
    """The same as one text."""
    return "".join(lines(failure, success, first, second, **changes))


def verdicts(folder: Path, text: str) -> Path:
    """Write the file of a run's trials; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRIALS).write_text(text)
    return folder
