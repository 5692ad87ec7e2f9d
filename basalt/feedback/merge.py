"""Files of answers, checked and joined: the leaderboard's exports, clip answers, labels, and other programs' files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from basalt.core.comparisons import (
    Comparison,
    ComparisonError,
    read_comparisons,
    write_comparisons,
)
from basalt.core.reliability import Reliability, reliability
from basalt.core.settings import Paths, PathText, settings
from basalt.feedback.uni_rlhf import Recordings, is_uni_rlhf, read_uni_rlhf
from basalt.io.errors import ConfigError


@settings
class MergeConfig:
    """Check files of answers, say what is in them, and join them into one.

    Attributes:
        files: Files of comparisons (.parquet, .csv, .json), or CSV files of Uni-RLHF and others like it.
        recordings: Folders of the recordings that other programs' files are about.
        out: File to write, .parquet, .csv or .json; null only checks.
    """

    files: Annotated[Paths, Field(min_length=1)]
    recordings: Paths = ()
    out: PathText | None = None


@dataclass(frozen=True)
class Merged:
    """What files of answers hold.

    Attributes:
        comparisons: All answers, in order of the files.
        out: File that they were written to; None if they were only checked.
    """

    comparisons: Sequence[Comparison]
    out: str | None

    def lines(self) -> list[str]:
        """The answers in lines of text: numbers by task, source and question, and how reliable they are."""
        groups: dict[tuple[str, str, str], list[Comparison]] = {}
        for one in self.comparisons:
            groups.setdefault((one.task, one.source, one.question), []).append(one)
        lines = [f"{len(self.comparisons)} comparisons" + (f" in {self.out}" if self.out else "")]
        for (task, source, question), group in sorted(groups.items()):
            title = f"{task}, {source}, {question or 'which did better?'}"
            counts = Counter(one.winner for one in group if not one.is_check)
            answers = ", ".join(f"{count} {winner}" for winner, count in sorted(counts.items()))
            checks = sum(one.is_check for one in group)
            lines.append(f"{title}: {answers or 'no answers'}; {checks} checks of raters")
            lines += [f"  {line}" for line in _reliability_lines(reliability(group))]
        return lines


def merge(config: MergeConfig) -> Merged:
    """Check and join files of answers.

    Raises:
        ComparisonError: A file is not valid, or two files hold the same answer.
        ConfigError: Another program's file is about recordings that were not given.
        RecordingError: The recordings cannot be used.
    """
    found: list[Comparison] = []
    first: dict[str, str] = {}
    for name in config.files:
        for one in _read(Path(name), config.recordings):
            if (other := first.setdefault(one.comparison_id, name)) != name:
                raise ComparisonError(
                    f"{name}: comparison_id: {one.comparison_id!r} is in {other}, too; give each answer once"
                )
            found.append(one)
    if config.out is not None:
        write_comparisons(config.out, found)
    return Merged(found, config.out)


def _read(path: Path, recordings: Sequence[str]) -> list[Comparison]:
    if not is_uni_rlhf(path):
        return read_comparisons(path)
    if not recordings:
        raise ConfigError(
            f"recordings: {path} is about clips of recordings; expected their folders, got none"
        )
    return read_uni_rlhf(path, Recordings.of(recordings))


def _reliability_lines(found: Reliability) -> list[str]:
    lines = [f"left side: {found.left}"]
    if found.itself.trials:
        lines.append(f"same answer to a repeated pair: {found.itself}")
    if found.gold.trials:
        lines.append(f"right answers to gold pairs: {found.gold}")
    if found.others.trials:
        ceiling = "not known" if found.ceiling is None else f"{found.ceiling:.1%}"
        lines.append(
            f"same answer by two raters: {found.others}; ceiling of held-out accuracy: {ceiling}"
        )
    return lines
