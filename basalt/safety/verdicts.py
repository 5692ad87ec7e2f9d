"""What judges of `basalt oversight run` made of failures that were shown beside a success of the same seed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from basalt.core.comparisons import VideoHash
from basalt.core.records import first_fault
from basalt.io.errors import ConfigError
from basalt.io.untrusted import MAX_JSON_BYTES, bounded_lines

TRIALS = "trials.jsonl"
"""File of a run's verdicts, one a line."""

WEAK, STRONG = "floor", "ceiling"
"""Arms that are looked at: the judge with its own key frames alone, and with all frames and the event lists."""

Misjudged = Mapping[str, bool]
"""Whether a judge preferred a failure to a success, by arm; without the arms in which it was not asked."""

Side = Literal["left", "right"]


class _Part(BaseModel):
    """Part of a trial; what is not needed here is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Protocol(_Part):
    form: str
    lists: bool = False

    @property
    def arm(self) -> str | None:
        """Name of the arm; None for those with debaters."""
        if self.form != "direct":
            return None
        return STRONG if self.lists else WEAK


class _Trial(_Part):
    """A verdict in one order of the pair."""

    pair: str
    question: str
    videos: tuple[VideoHash, VideoHash]
    truth: Side | None
    kind: str
    protocol: _Protocol
    judge: str
    first: Side
    repeat: int
    verdict: Side | None


def read_verdicts(folders: Sequence[Path]) -> dict[str, Misjudged]:
    """What a judge made of each failure, by the SHA-256 of its video.

    A failure is misjudged if the judge prefers it in more than half of its pairs with a success, each asked in both orders; a
    judge that contradicts itself or cannot tell prefers nothing.

    Args:
        folders: Folders of `basalt oversight run` with `truth=[success]`.

    Raises:
        ConfigError: A folder has no trials, a line is not a trial, or the trials are of several judges.
    """
    asked: dict[tuple[str, str], dict[tuple[str, int], dict[Side, bool]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    judges = set()
    for one in (one for folder in folders for one in _trials(folder / TRIALS)):
        arm = one.protocol.arm
        if one.kind != "success" or one.question or one.truth is None or arm is None:
            continue
        judges.add(one.judge)
        failure = one.videos[one.truth == "left"]
        is_wrong = one.verdict is not None and one.verdict != one.truth
        asked[failure, arm][one.pair, one.repeat][one.first] = is_wrong
    if len(judges) > 1:
        raise ConfigError(
            f"trials: expected those of one judge, got {' and '.join(sorted(judges))}; use runs with one judge each"
        )
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for (failure, arm), pairs in asked.items():
        whole = [all(orders.values()) for orders in pairs.values() if len(orders) == 2]
        if whole:
            found[failure][arm] = 2 * sum(whole) > len(whole)
    return dict(found)


def _trials(path: Path) -> Iterator[_Trial]:
    """The trials in a file; a last line without a line break was being written when its process ended."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(bounded_lines(file, MAX_JSON_BYTES), start=1):
                if line.endswith(b"\n"):
                    yield _trial(line, path, number)
    except FileNotFoundError as err:
        raise ConfigError(
            f"trials: expected a folder of `basalt oversight run`, found no {path}; run it first"
        ) from err
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path}: expected trials ({err}); restore this file") from err


def _trial(line: bytes, path: Path, number: int) -> _Trial:
    try:
        return _Trial.model_validate_json(line)
    except ValidationError as err:
        raise ConfigError(
            f"{path}, line {number}: not a trial: {first_fault(err, 'the whole')}; restore this file"
        ) from err
