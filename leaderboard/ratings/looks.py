"""Looks of the pairs of a study: which video is longer, brighter, on the left."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from basalt.core.comparisons import Comparison
from basalt.core.video import VideoReader, probe
from basalt.io.console import progress_bar
from basalt.io.errors import BasaltError, ConfigError
from leaderboard.ratings.control import UNITS, Looks
from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Judgment
from leaderboard.studies.rules import StudyInfo

FRAMES = 8
"""Number of frames, evenly spaced, whose mean is a video's brightness."""


def read_looks(
    store: Store,
    study: StudyInfo,
    comparisons: Sequence[Comparison],
    names: Sequence[str],
    *,
    progress: bool = False,
) -> Looks:
    """Looks of each comparison, where they are known.

    Args:
        store: Store of the study.
        study: Study of the comparisons.
        comparisons: Comparisons of the study.
        names: Names of the looks, in `leaderboard.ratings.control.UNITS`.
        progress: Whether to show a bar while videos are read for their brightness.

    Raises:
        ConfigError: a name is unknown.
    """
    for name in names:
        if name not in UNITS:
            raise ConfigError(f"control: expected one of {', '.join(UNITS)}, got {name!r}")
    if not names:
        return {}
    left, right = aliased(Episode), aliased(Episode)
    with store.read() as session:
        pairs = {
            key: sides
            for key, *sides in session.execute(
                sa.select(Judgment.id, left, right)
                .join(left, Judgment.left_episode_id == left.id)
                .join(right, Judgment.right_episode_id == right.id)
                .where(Judgment.study_id == study.id)
            )
        }
    found = {}
    shown = progress and "brightness" in names
    for one in progress_bar(comparisons, title="looks of pairs", unit="pair", shown=shown):
        values = [_look(store, name, *pairs[one.comparison_id]) for name in names]
        known = [value for value in values if value is not None]
        if len(known) == len(names):
            found[one.comparison_id] = known
    return found


def _look(store: Store, name: str, left: Episode, right: Episode) -> float | None:
    """One look of a pair in the units of `UNITS`; None if it is not known."""
    if name == "side":
        return 1.0
    if name == "length":
        # Episodes of the published evaluation have no video unless it was imported too.
        if not (left.steps and right.steps):
            return None
        return math.log2(left.steps / right.steps)
    sides = [_brightness(store.media_file(f"{one.media_name}.mp4")) for one in (left, right)]
    if sides[0] is None or sides[1] is None:
        return None
    return (sides[0] - sides[1]) / 0.1


@lru_cache(maxsize=10_000)
def _brightness(video: Path) -> float | None:
    """Mean of a video's red, green and blue values, 0 to 1; None if it cannot be read."""
    try:
        last = max(0, probe(video).frames - 1)
        means = []
        for start in np.unique(np.linspace(0, last, FRAMES).astype(int)):
            reader = VideoReader(video, int(start))
            try:
                frame = reader.read()
            finally:
                reader.close()
            if frame is not None:
                means.append(float(frame.mean()) / 255)
    except (BasaltError, OSError):
        return None
    return float(np.mean(means)) if means else None
