"""Clips and pairs of them: equal lengths, two episodes of one world, and chances that add up."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from basalt.core.tasks import get_task
from basalt.feedback.clips import BEFORE_ESC, ClippedEpisode, draw_pairs, load_clips
from basalt.io.errors import ConfigError, RecordingError
from tests.support.clip_recordings import record_cave

CAVE = get_task("find_cave")
LENGTH = 20


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("played")
    record_cave(root, 100_001, player="good", cave_from=30)
    record_cave(root, 100_001, player="bad", ended="limit")
    record_cave(root, 100_002, player="good", steps=40, cave_from=39)
    record_cave(root, 100_003, player="short", steps=LENGTH - 1)
    return root


@pytest.fixture(scope="module")
def episodes(folder: Path) -> list[ClippedEpisode]:
    return load_clips([folder], CAVE, LENGTH, 8, rng(), progress=False)


def test_clips_have_one_length_and_say_what_changes(episodes: list[ClippedEpisode]) -> None:
    assert [one.meta.steps for one in episodes] == [60, 60, 40]  # the short one is left out
    assert [one.starts for one in episodes] == [41, 41, 21]
    for one in episodes:
        reached = {"good": 30 if one.meta.steps == 60 else 39}.get(one.meta.player)
        assert len(one.uniform) == 8
        for clip in (*one.uniform, *one.events):
            start, stop = clip.side.start, clip.side.stop
            assert start is not None and stop is not None
            assert 0 <= start < stop == start + LENGTH <= one.meta.steps
            assert clip.changes.shape == (LENGTH,)
            seen = reached is not None and start < reached <= stop
            assert clip.changes.sum() == (1.0 if seen else 0.0)


def test_event_clips_show_the_change_or_the_end_before_esc(episodes: list[ClippedEpisode]) -> None:
    by_name = {(one.meta.player, one.meta.steps): one for one in episodes}
    assert not by_name["bad", 60].events  # nothing changes, and the player did not end it
    stops = set()
    for seed in range(12):
        drawn = load_clips([by_name["good", 60].recording.stem.parent], CAVE, LENGTH, 8, rng(seed), progress=False)  # fmt: skip
        for clip in next(one for one in drawn if one.meta.steps == 60 and one.events).events:
            stop = clip.side.stop
            if clip.changes.sum() == 0:
                stops.add(stop)
    assert stops == {60, 60 - BEFORE_ESC}


def test_pairs_are_of_two_episodes_on_the_same_seed_where_there_are_two(episodes) -> None:
    pairs = draw_pairs(episodes, 400, rng(), uniform_share=0.5)
    kinds = Counter(one.kind for one in pairs)
    assert kinds == {"uniform": 200, "event": 200}
    lefts = Counter()
    for one in pairs:
        left, right = one.left.side, one.right.side
        assert left.episode != right.episode
        seeds = {left.seed, right.seed}
        # Of the pairs with the lonely seed, it was the first that was drawn.
        assert seeds == {100_001} or seeds == {100_001, 100_002}
        lefts[left.agent == "bad"] += seeds == {100_001}
        assert (one.chance is None) == (one.kind == "event")
    assert lefts[True] / sum(lefts.values()) == pytest.approx(0.5, abs=0.1)


def test_at_least_a_fifth_is_uniform(episodes) -> None:
    pairs = draw_pairs(episodes, 11, rng(), uniform_share=0.0)
    assert sum(one.kind == "uniform" for one in pairs) == 3


def test_the_chances_of_all_uniform_pairs_add_up_to_their_number(episodes) -> None:
    chances: dict[frozenset[str], float] = {}
    for seed in range(20):
        for one in draw_pairs(episodes, 50, rng(seed), uniform_share=1.0):
            assert one.chance is not None
            chances[frozenset((one.left.side.episode, one.right.side.episode))] = one.chance
    starts = {one.meta.video_sha256: one.starts for one in episodes}
    total = sum(
        chances.get(frozenset(two), 0.0) * starts[two[0]] * starts[two[1]]
        for two in combinations(starts, 2)
    )
    assert total == pytest.approx(50)


def test_what_cannot_be_used_is_said(folder: Path, tmp_path: Path) -> None:
    record_cave(tmp_path / "one", 100_001)
    with pytest.raises(RecordingError, match="at least two recordings of find_cave with 60 steps"):
        load_clips([tmp_path / "one"], CAVE, 60, 8, rng(), progress=False)
    record_cave(tmp_path / "a", 100_005, world_version="2")
    with pytest.raises(RecordingError, match="one world and version, got test 1, test 2"):
        load_clips([folder, tmp_path / "a"], CAVE, LENGTH, 8, rng(), progress=False)
    record_cave(tmp_path / "held", 230_001)
    with pytest.raises(ConfigError, match="230001 is a held-out seed"):
        load_clips([folder, tmp_path / "held"], CAVE, LENGTH, 8, rng(), progress=False)
