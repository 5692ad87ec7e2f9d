"""Pairs of clips for people: marked by how they were chosen, cut ahead of time, and asked once."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from basalt.cli.main import run
from basalt.core.comparisons import Comparison, Side, write_comparisons
from basalt.core.recording import find_recordings, sha256_of
from basalt.core.video import probe, read_frames
from basalt.feedback import ask as asking
from basalt.feedback.ask import AskConfig, Asked, ask
from basalt.feedback.clips import ClipPair
from basalt.io.errors import BasaltError, ConfigError, RecordingError, StudyError
from leaderboard.judging.clip_queue import known_clips, next_clips, queue_state
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Clip, ClipQuestion
from leaderboard.studies.rules import create_study, demo_study, find_study
from leaderboard.studies.settings import get_settings
from tests.support.clip_recordings import record_cave
from tests.support.synthetic import write_episodes

LENGTH = 20

Ask = Callable[..., Asked]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("played")
    for seed in (100_001, 100_002):
        for n, player in enumerate(("good", "bad")):
            shades = [40 + (3 * t + 60 * n + 20 * (seed % 2)) % 200 for t in range(61)]
            record_cave(
                root, seed, player=player, cave_from=30 if player == "good" else None, grey=shades
            )
    return root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def config(recordings: Path, place: Path) -> Callable[..., AskConfig]:
    def make(**changes: object) -> AskConfig:
        values = {"task": "find_cave", "recordings": str(recordings), "n": 20, "clip": LENGTH}
        return AskConfig(**{**values, "store": str(place), "progress": False, **changes})  # type: ignore[arg-type]

    return make


def questions(store: Store) -> list[ClipQuestion]:
    with store.read() as session:
        return list(session.scalars(sa.select(ClipQuestion).order_by(ClipQuestion.number)))


def pairs(store: Store) -> list[tuple[Clip, Clip]]:
    with store.read() as session:
        return [
            (session.get_one(Clip, one.first_clip_id), session.get_one(Clip, one.second_clip_id))
            for one in questions(store)
        ]


def test_pairs_are_cut_and_queued_with_how_they_were_chosen(
    config: Callable[..., AskConfig], recordings: Path, place: Path
) -> None:
    asked = ask(config())
    assert asked.pairs == {"uniform": 10, "event": 10}
    assert (asked.study, asked.gold, asked.missing) == ("find_cave clips", 0, 20)
    videos = {
        one.meta.video_sha256: one.video_path for one in find_recordings(recordings) if one.meta
    }
    with closing(open_store(place)) as store:
        study = find_study(store, "find_cave clips")
        assert (study.rules.clips, study.rules.world, study.rules.version_text) == (
            True,
            "test",
            "1",
        )
        settings = get_settings(store, study)
        assert (settings.check_share, settings.overlap_share) == (0.15, 0.15)
        for one in questions(store):
            assert (one.selection_probability is None) == (one.selector == "event")
        for first, second in pairs(store):
            assert first.episode_sha256 != second.episode_sha256
            assert first.steps == second.steps == LENGTH
        for side, name in known_clips(store, study).items():
            path = store.media / name
            assert path.stem == sha256_of(path) and path.parent == store.media / "clips"
            info = probe(path)
            assert (info.frames, info.plays_in_browsers, info.width) == (LENGTH, True, 640)
            assert side.start is not None
            original = list(read_frames(videos[side.episode], side.start, side.stop))
            for cut, frame in zip(read_frames(path), original, strict=True):
                assert abs(float(cut.mean()) - float(frame.mean())) < 3
        assert not list(store.media.glob(".staging-*"))
        assert len(next_clips(store, study, register_rater(store, "secret"))) == 2


def test_the_same_command_again_asks_nothing_twice_and_another_seed_more(
    config: Callable[..., AskConfig],
) -> None:
    first = ask(config())
    again = ask(config())
    assert (again.pairs, again.missing) == ({}, first.missing)
    assert "asked before" in "\n".join(again.lines())
    more = ask(config(seed=1))
    assert more.missing == first.missing + sum(more.pairs.values()) > first.missing


def test_a_stopped_command_resumes_where_it_was(
    config: Callable[..., AskConfig], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, done = asking._cut, Counter[str]()

    def stop_after_ten(store: Store, source: Path, side: Side) -> str:
        if done.total() == 10:
            raise KeyboardInterrupt
        done[side.episode] += 1
        return cut(store, source, side)

    monkeypatch.setattr(asking, "_cut", stop_after_ten)
    with pytest.raises(KeyboardInterrupt):
        ask(config())
    with closing(open_store(place)) as store:
        study = find_study(store)
        assert queue_state(store, study).asked == 0  # all questions or none
        kept = known_clips(store, study)
        assert kept
    cuts: list[Side] = []

    def watched(store: Store, source: Path, side: Side) -> str:
        cuts.append(side)
        return cut(store, source, side)

    monkeypatch.setattr(asking, "_cut", watched)
    assert ask(config()).missing == 20
    assert not set(cuts) & set(kept)
    # A video that has gone is cut again.
    with closing(open_store(place)) as store:
        side, name = next(iter(known_clips(store, study).items()))
        (store.media / name).unlink()
        cuts.clear()
        ask(config())
        assert side in cuts and (store.media / name).is_file()


def chosen_by_start(
    pairs: Sequence[ClipPair],
    count: int,
    selector: str,
    reward: str,
    *rest: object,
    **options: object,
) -> list[ClipPair]:
    """In place of a reward model: the pairs whose left clip begins latest."""
    latest = sorted(pairs, key=lambda one: one.left.side.start or 0)[-count:]
    return [replace(one, kind=selector, chance=1.0) for one in latest]


def test_a_reward_model_chooses_all_but_the_uniform_pairs(
    config: Callable[..., AskConfig], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from basalt.feedback import choose

    monkeypatch.setattr(choose, "choose", chosen_by_start)
    asked = ask(config(selector="disagreement", reward="runs/reward", uniform_share=0.2))
    assert asked.pairs == {"uniform": 4, "disagreement": 16}
    with closing(open_store(place)) as store:
        found = questions(store)
        by_rule = [one.selector == "disagreement" for one in found]
        assert by_rule not in (sorted(by_rule), sorted(by_rule, reverse=True))  # mixed
        for one in found:
            assert one.selection_probability is not None
            assert (one.selection_probability == 1.0) >= (one.selector == "disagreement")
        starts = [left.start for left, _ in pairs(store)]
        of_rule = [start for start, chosen in zip(starts, by_rule, strict=True) if chosen]
        assert min(of_rule) > np.median([*range(41)])


def test_never_more_than_four_fifths_are_chosen_and_a_rule_needs_its_model(
    config: Callable[..., AskConfig], place: Path
) -> None:
    with pytest.raises(ConfigError, match=r"uniform_share: expected at least 0\.2, got 0\.1"):
        config(uniform_share=0.1)
    with pytest.raises(ConfigError, match="selector: unknown option 'entropie'"):
        config(selector="entropie")
    with pytest.raises(ConfigError, match="got selector=entropy and reward=None"):
        config(selector="entropy")
    with pytest.raises(BasaltError, match="runs/no-such-reward"):
        ask(config(selector="entropy", reward="runs/no-such-reward"))
    assert not place.exists()


def test_people_need_no_telemetry_that_shows_success(
    config: Callable[..., AskConfig], tmp_path: Path, place: Path
) -> None:
    write_episodes(tmp_path / "elsewhere", range(100_001, 100_004))
    asked = ask(config(recordings=str(tmp_path / "elsewhere"), n=8))
    assert asked.pairs["uniform"] == 4
    with closing(open_store(place)) as store:
        ends = {side.stop for side, _ in known_clips(store, find_study(store)).items()}
        assert ends & {60 + seed % 7 for seed in range(100_001, 100_004)}  # before ESC


def comparison(left: Side, right: Side, **facts: object) -> Comparison:
    one = Comparison(
        comparison_id=f"{left.start}-{right.start}", study="", task="find_cave", world="test",
        world_version="1", seed=left.seed, left_agent=left.agent, right_agent=right.agent,
        left_episode=left.episode, right_episode=right.episode, winner="left", source="human",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return replace(one.with_sides(left, right), **facts)


def test_gold_pairs_come_from_a_file(
    config: Callable[..., AskConfig], recordings: Path, place: Path, tmp_path: Path
) -> None:
    metas = {
        (one.meta.player, one.meta.seed): one.meta
        for one in find_recordings(recordings)
        if one.meta
    }
    good, bad = metas["good", 100_001], metas["bad", 100_001]
    enters = Side("another name", 100_001, good.video_sha256, 20, 40)
    waits = Side("bad", 100_001, bad.video_sha256, 20, 40)
    file = tmp_path / "gold.csv"
    write_comparisons(file, [comparison(enters, waits)])
    asked = ask(config(gold=str(file)))
    assert (asked.gold, asked.missing) == (1, 20)
    with closing(open_store(place)) as store:
        (gold,) = [one for one in questions(store) if one.gold is not None]
        assert (gold.gold, gold.selector) == ("left", None)
    whole = Side("good", 100_001, good.video_sha256)
    for wrong, expected in (
        (
            comparison(enters, waits, winner="both_bad"),
            "expected left, right or draw, got both_bad",
        ),
        (comparison(whole, Side("bad", 100_001, bad.video_sha256)), "got whole episodes"),
        (
            comparison(enters, Side("bad", 1, "0" * 64, 0, 20)),
            "expected clips of episodes in recordings=",
        ),
        (comparison(enters, Side("good", 100_001, good.video_sha256, 0, 20)), "got two of one"),
        (comparison(enters, waits, task="make_waterfall"), "expected the task find_cave"),
    ):
        write_comparisons(file, [wrong])
        with pytest.raises(ConfigError, match=f"gold: .*row 1: .*{expected}"):
            ask(config(gold=str(file), seed=5))


def test_what_cannot_be_asked_is_refused_in_one_line(
    config: Callable[..., AskConfig], recordings: Path, place: Path, tmp_path: Path
) -> None:
    official = tmp_path / "official"
    for player in ("one", "two"):
        record_cave(official, 230_000, player=player)
    newer = tmp_path / "newer"
    for player in ("one", "two"):
        record_cave(newer, 100_001, player=player, world_version="2")
    with closing(open_store(place)) as store:
        create_study(store, "episodes", demo_study({"find_cave": [100_001]}, "test", "1"))
    ask(config())
    for changes, kind, expected in (
        ({"recordings": str(official)}, ConfigError, "230000 is a held-out seed"),
        ({"recordings": [str(recordings), str(newer)]}, RecordingError, "one world and version"),
        (
            {"recordings": str(newer)},
            StudyError,
            "asks about clips of find_cave test 1, these are of find_cave test 2",
        ),
        ({"recordings": str(newer), "study": "episodes"}, StudyError, "compares episodes"),
        ({"clip": 61}, RecordingError, "61 steps or more"),
    ):
        with pytest.raises(kind, match=expected) as caught:
            ask(config(**changes))
        assert isinstance(caught.value, BasaltError) and "\n" not in str(caught.value)
    with closing(open_store(place)) as store:
        assert queue_state(store, find_study(store, "find_cave clips")).asked == 20


def test_the_command_says_what_to_do_next(
    recordings: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "feedback",
        "ask",
        "task=find_cave",
        f"recordings={recordings}",
        "n=6",
        "clip=20",
        f"store={place}",
    ]
    assert run([*argv, "progress=false"]) == 0
    out = capsys.readouterr().out
    assert (
        f"6 new pairs in study 'find_cave clips' of {place}: 3 event, 3 uniform; 0 gold pairs"
        in out
    )
    assert "6 pairs wait for an answer" in out and "Compare clips" in out
    assert (
        run(["leaderboard", "export", str(place.with_suffix(".csv")), "--store", str(place)]) == 0
    )
    assert "wrote 0 comparisons of study 'find_cave clips'" in capsys.readouterr().out
