"""Recordings with a cue in view at some steps, and answers of a rater who prefers to see it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from basalt.core.actions import validate_action
from basalt.core.comparisons import Comparison, Side
from basalt.core.recording import Recording, RecordingWriter
from tests.support.synthetic import telemetry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

STEPS = 48


def cue_of(seed: int, player: str) -> np.ndarray:
    """bool [STEPS + 1]: stretches with and without the cue."""
    rng = np.random.default_rng([seed, *map(ord, player)])
    stretches = rng.random(8) < 0.5
    return np.repeat(stretches, STEPS // 8 + 1)[: STEPS + 1]


def record_cue(folder: Path, seed: int, player: str) -> Recording:
    """An episode; with the cue the left half of the picture is bright, without it the right half, so that both are as bright."""
    shade = 4 * (seed % 10) + 2 * (player == "b")  # no two videos are equal
    frames = {}
    for cue in (False, True):
        frames[cue] = np.full((360, 640, 3), 40 + shade, np.uint8)
        frames[cue][:, :320] += np.uint8(150 * cue)
        frames[cue][:, 320:] += np.uint8(150 * (not cue))
    cues, action = cue_of(seed, player), validate_action({"forward": 1})
    with RecordingWriter(
        folder, f"find_cave-{seed}-{player}", task="find_cave", world="test", world_version="1",
        seed=seed, player=player, player_kind="agent", step_limit=4_000,
    ) as writer:  # fmt: skip
        writer.begin(frames[bool(cues[0])], telemetry(0))
        for t in range(STEPS):
            writer.step(action, action["camera"], frames[bool(cues[t + 1])], telemetry(t + 1))
        return writer.finish("limit")


def record_cues(folder: Path, seeds: Sequence[int]) -> list[Recording]:
    """Two players on each seed."""
    return [record_cue(folder, seed, player) for seed in seeds for player in ("a", "b")]


def cue_answers(
    recordings: Sequence[Recording],
    count: int,
    *,
    clip: int | None = 16,
    seed: int = 0,
    by_change: bool = False,
    changes: Mapping[str, object] | None = None,
) -> list[Comparison]:
    """Answers about pairs on one seed: the clip that shows the cue for longer wins, equal ones are a draw.

    Args:
        clip: Length of the clips; None for whole episodes.
        by_change: The clip in which the cue comes into view wins, and the one in which it goes loses.
        changes: Further fields of the comparisons.
    """
    rng = np.random.default_rng(seed)
    by_seed: dict[int, list[Recording]] = {}
    for one in recordings:
        assert one.meta is not None
        by_seed.setdefault(one.meta.seed, []).append(one)
    seeds, found = sorted(by_seed), []
    for number in range(count):
        here = by_seed[seeds[rng.integers(len(seeds))]]
        sides, shown = [], []
        for place in rng.permutation(len(here))[:2]:
            meta = here[place].meta
            assert meta is not None
            start = 0 if clip is None else int(rng.integers(STEPS - clip + 1))
            stop = STEPS if clip is None else start + clip
            whole = clip is None
            sides.append(
                Side(meta.player, meta.seed, meta.video_sha256, None if whole else start, None if whole else stop)
            )  # fmt: skip
            cue = cue_of(meta.seed, meta.player)[start:stop].astype(float)
            shown.append(cue[-1] - cue[0] if by_change else cue.mean())
        winner = "draw" if shown[0] == shown[1] else "left" if shown[0] > shown[1] else "right"
        one = Comparison(
            comparison_id=f"c{seed}-{number}", study="s", task="find_cave", world="test", world_version="1",
            seed=sides[0].seed, left_agent="", right_agent="", left_episode="", right_episode="", winner=winner,
            source="human", created=NOON, rater="r", selector="uniform" if number % 2 else "event",
            **(changes or {}),  # type: ignore[arg-type]
        )  # fmt: skip
        found.append(one.with_sides(*sides))
    return found
