"""Recordings in which one of two actions is done at each step whatever is in view, and a rater who prefers the first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from basalt.core.actions import validate_action
from basalt.core.comparisons import Comparison, Side
from basalt.core.recording import Recording, RecordingWriter
from tests.support.cue_recordings import NOON
from tests.support.synthetic import BLUE, picture, telemetry

GOOD, BAD = validate_action({"forward": 1}), validate_action({"attack": 1})

STEPS, CLIP = 40, 8


def chosen(seed: int, player: str) -> np.ndarray:
    """Whether the good action is done, bool [STEPS]."""
    rng = np.random.default_rng([seed, *map(ord, player)])
    return np.repeat(rng.random(STEPS // 4) < 0.5, 4)


def record_choices(folder: Path, seeds: Sequence[int]) -> list[Recording]:
    """Two players on each seed."""
    found = []
    for seed in seeds:
        for player in ("a", "b"):
            rng = np.random.default_rng([seed, ord(player)])
            with RecordingWriter(
                folder, f"find_cave-{seed}-{player}", task="find_cave", world="test", world_version="1",
                seed=seed, player=player, player_kind="agent", step_limit=4_000,
            ) as writer:  # fmt: skip
                writer.begin(picture(BLUE, rng), telemetry(0))
                for t, good in enumerate(chosen(seed, player)):
                    action = GOOD if good else BAD
                    writer.step(action, action["camera"], picture(BLUE, rng), telemetry(t + 1))
                found.append(writer.finish("limit"))
    return found


def choice_answers(recordings: Sequence[Recording], count: int, seed: int = 0) -> list[Comparison]:
    """Answers about pairs on one seed: the clip with more of the good action wins."""
    rng = np.random.default_rng(seed)
    by_seed: dict[int, list[Recording]] = {}
    for one in recordings:
        assert one.meta is not None
        by_seed.setdefault(one.meta.seed, []).append(one)
    seeds, found = sorted(by_seed), []
    for number in range(count):
        sides, shares = [], []
        for one in by_seed[seeds[rng.integers(len(seeds))]]:
            assert one.meta is not None
            start = int(rng.integers(STEPS - CLIP + 1))
            meta = one.meta
            sides.append(Side(meta.player, meta.seed, meta.video_sha256, start, start + CLIP))
            shares.append(chosen(meta.seed, meta.player)[start : start + CLIP].mean())
        winner = "draw" if shares[0] == shares[1] else "left" if shares[0] > shares[1] else "right"
        one_answer = Comparison(
            comparison_id=f"c{seed}-{number}", study="s", task="find_cave", world="test", world_version="1",
            seed=sides[0].seed, left_agent="", right_agent="", left_episode="", right_episode="",
            winner=winner, source="human", created=NOON, rater="r",
        )  # fmt: skip
        found.append(one_answer.with_sides(*sides))
    return found
