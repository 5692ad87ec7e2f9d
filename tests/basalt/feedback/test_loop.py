"""A loop improves a policy on a planted preference, resumes wherever it was killed, waits for people, and stops in one line."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from basalt.core.actions import EnvActions, env_to_indices, null_action
from basalt.core.comparisons import Comparison, read_comparisons, write_comparisons
from basalt.core.loop_record import LoopRecord, LoopRound, against_start, find_loops
from basalt.core.telemetry import Telemetry
from basalt.feedback import loop as loops
from basalt.feedback import loop_answers
from basalt.feedback.loop_answers import check_answers
from basalt.feedback.loop_config import LoopConfig
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.vpt import VPTPolicy
from leaderboard.judging.clip_answers import answer_clips
from leaderboard.judging.clip_queue import next_clips
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import open_store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import find_study
from leaderboard.studies.settings import change_settings
from tests.support.choice_recordings import choice_answers, record_choices
from tests.support.tiny_policy import TINY
from tests.support.toy_world import CountingWorld

pytestmark = pytest.mark.usefixtures("one_thread")

CAVE = 3
"""Position from which the player is in the cave."""

END = 6
"""Last position."""

SIZE = (64, 64)


class Corridor(CountingWorld):
    """Forward and back move along a corridor, whose end is a cave. It gets brighter on the way."""

    def __init__(self) -> None:
        super().__init__(size=SIZE)

    def _begin(self, seed: int) -> Any:
        self._at = 0
        return super()._begin(seed)

    def _advance(self, action: Any, step: int) -> Any:
        self._at = min(max(0, self._at + int(action["forward"]) - int(action["back"])), END)
        return super()._advance(action, step)

    def _frame(self) -> np.ndarray:
        return np.full((SIZE[1], SIZE[0], 3), min(250, 40 + 15 * self._at), np.uint8)

    def _state(self) -> Telemetry:
        facts = {"in_cave": self._at >= CAVE, "dug_down": False}
        state: Telemetry = super()._state()
        return state.model_copy(update={"facts": facts, "light": 15})


def start_policy(folder: Path) -> Path:
    """A policy that goes forward, goes back or stands, each about as often."""
    torch.manual_seed(0)
    policy = VPTPolicy(TINY)
    moves = [null_action(), {"forward": 1}, {"back": 1}]
    chosen = env_to_indices(EnvActions.stack(moves))
    with torch.no_grad():
        for name, kept in (("buttons", chosen.buttons), ("camera", chosen.camera)):
            layer = policy.pi_head[name].linear_layer  # type: ignore[union-attr]
            layer.bias.fill_(-12.0)  # type: ignore[operator, union-attr]
            layer.bias[torch.from_numpy(kept)] = 0.0  # type: ignore[index]
            layer.weight.mul_(0.1)  # type: ignore[operator, union-attr]
    save_checkpoint(folder, 1, policy, {}, {"task": "find_cave"})
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    start_policy(folder / "start")
    return folder


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    monkeypatch.setenv("BASALT_CACHE", str(work / "cache"))
    monkeypatch.setattr(gymnasium, "make", lambda *_, **__: Corridor())


def config(work: Path, name: str, **changes: Any) -> LoopConfig:
    # A corridor has one dimension: with 8 components the reward model overfits these few answers.
    values = {
        "task": "find_cave", "init": str(work / "start"), "out": str(work / name), "rounds": 1, "teacher": "oracle",
        "improve": "cpl", "improve_args": {"steps": 60, "lr": 3e-2, "batch_size": 8}, "kl_limit": 3.0,
        "reward_args": {"model": "linear", "members": 2, "components": 4}, "seeds": 8, "evaluation": "dev:6",
        "max_steps": 20, "answers": 160, "clip": 8, "least": 10, "device": "cpu", "progress": False,
    }  # fmt: skip
    return LoopConfig(**{**values, **changes})


@pytest.fixture
def finished(work: Path, _toy: None) -> LoopRecord:
    """A loop of two rounds, run once."""
    return loops.loop(config(work, "whole", rounds=2)).record


def opinions(file: Path) -> list[tuple[Any, ...]]:
    return [(one.left, one.right, one.winner, one.round) for one in read_comparisons(file)]


def test_it_improves_on_the_planted_preference(finished: LoopRecord, work: Path) -> None:
    start, *rounds = finished.rounds
    assert finished.ended == "" and finished.stage == "finished" and len(rounds) == 2
    assert start.gold is not None and rounds[-1].gold is not None
    assert rounds[-1].gold > start.gold + 0.2
    for number, one in enumerate(rounds, start=1):
        assert one.proxy is not None and one.proxy > 0
        assert one.accuracy is not None and one.accuracy > 0.6
        assert 0 < one.divergence <= 3.0
        assert one.labels == 160 * number > one.decided > 10
    assert finished.run == str(work / "whole/rounds/2/policy")
    assert len(finished.lines()) == 4
    assert dict(find_loops(work, 1))[work / "whole"] == finished
    answers = opinions(work / "whole/rounds/2/labels/comparisons.parquet")
    assert {one[3] for one in answers} == {2}


def test_the_proxy_is_in_units_of_the_start_whatever_those_of_the_model() -> None:
    ours, start = [2.0, 4.0], [0.0, 2.0]
    other_units = ([10 * one + 3 for one in scores] for scores in (ours, start))
    assert against_start(ours, start) == 2.0 == against_start(*other_units)
    assert against_start(start, start) == 0.0
    assert against_start(ours, [1.0, 1.0]) is None


@pytest.mark.long
def test_killed_anywhere_it_resumes_to_the_same_answers_and_the_same_fit(
    finished: LoopRecord, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ("_play", "_ask", "_fit", "_improve", "_evaluate")
    killed: list[str] = []

    def kill_after(name: str) -> Any:
        real = getattr(loops._Loop, name)

        def call(self: Any, *args: Any) -> Any:
            result = real(self, *args)
            if name not in killed:
                killed.append(name)
                raise KeyboardInterrupt
            return result

        return call

    for name in stages:
        monkeypatch.setattr(loops._Loop, name, kill_after(name))
    cfg = config(work, "parts")
    for _ in stages:
        with pytest.raises(KeyboardInterrupt):
            loops.loop(cfg)
    record = loops.loop(cfg).record
    assert sorted(killed) == sorted(stages)
    name = "rounds/1/labels/comparisons.parquet"
    assert opinions(work / "parts" / name) == opinions(work / "whole" / name)
    one, other = (
        found.model_copy(update={"seconds": 0.0, "run": ""})
        for found in (record.rounds[1], finished.rounds[1])
    )
    assert one.success_interval == other.success_interval
    assert one.accuracy_interval == other.accuracy_interval
    intervals = {"success_interval", "accuracy_interval"}
    assert one.model_dump(exclude=intervals) == pytest.approx(other.model_dump(exclude=intervals))
    with pytest.raises(ConfigError, match="made with answers=160, not answers=10"):
        loops.loop(replace(cfg, answers=10))


# ---- when it ends early ----


@pytest.fixture
def a_loop(work: Path, tmp_path: Path) -> loops._Loop:
    return loops._Loop(config(work, "x", out=str(tmp_path / "out"), kl_limit=0.1))


def a_round(**changes: Any) -> LoopRound:
    values = {
        "number": 0, "run": "r", "labels": 0, "decided": 0, "divergence": 0.0, "success": 0.3, "success_interval": (0.1, 0.5),
        "stop_rate": 0.6, "episodes": 10, "seconds": 1.0,
    }  # fmt: skip
    return LoopRound(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"divergence": 0.2}, "0.200 nats a frame from the start, above kl_limit=0.1"),
        ({"stop_rate": 0.0}, "never presses ESC, the start did in 60%"),
        ({"stop_rate": 1.0, "success": 0.2}, "ends every episode by ESC and succeeds in 20%, the start in 30%"),
        ({"stop_rate": 1.0, "success": 0.9}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_policy_that_is_not_good_ends_it(
    a_loop: loops._Loop, changes: dict[str, Any], reason: str
) -> None:
    a_loop.record = a_loop.record.model_copy(update={"rounds": (a_round(),)})
    found = a_loop._collapse(a_round(number=1, **changes))
    assert reason in found and bool(found) == bool(reason)


def test_beyond_its_limit_the_loop_keeps_the_policy_before(
    finished: LoopRecord, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(work / "whole", work / "copied")
    record = finished.model_copy(update={"rounds": finished.rounds[:2]})
    record.write(work / "copied" / "loop.json")
    (work / "copied" / "config.json").unlink()
    monkeypatch.setattr(loops._Loop, "_round", lambda self, number: _too_far(self, number))
    result = loops.loop(config(work, "copied", rounds=2))
    assert "above kl_limit" in result.record.ended and len(result.record.rounds) == 2
    assert result.lines()[-1] == f"last good policy: {finished.rounds[1].run}"


def _too_far(self: loops._Loop, number: int) -> None:
    if number == 2:
        self._write(ended=self._collapse(a_round(number=2, divergence=5.0)))


# ---- answers from which nothing can be learned ----


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[Comparison]:
    return choice_answers(
        record_choices(tmp_path_factory.mktemp("answers"), range(100_001, 100_004)), 60
    )


Bad = Callable[[list[Comparison]], list[Comparison]]


def named(answers: list[Comparison]) -> list[Comparison]:
    return [one for one in answers if one.winner in ("left", "right")]


def contradicting(answers: list[Comparison]) -> list[Comparison]:
    again = [
        replace(one.swapped(), comparison_id=f"{one.comparison_id}-again", winner=one.winner, pair_of=one.comparison_id)
        for one in named(answers)
    ]  # fmt: skip
    return [*answers, *again]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda found: named(found)[:5], "expected at least 10 that name a winner, got 5 of 5"),
        (lambda found: [replace(one, winner="left") for one in found], "60 of 60 name the left clip"),
        (contradicting, r"expected raters to agree with themselves in 60% .* got 0.0%"),
    ],
)  # fmt: skip
def test_answers_that_teach_nothing_stop_a_round_in_one_line(
    answers: list[Comparison], tmp_path: Path, bad: Bad, message: str
) -> None:
    write_comparisons(tmp_path / "bad.parquet", bad(answers))
    with pytest.raises(ConfigError, match=message) as caught:
        check_answers([str(tmp_path / "bad.parquet")], 10)
    assert "\n" not in str(caught.value)
    write_comparisons(tmp_path / "good.parquet", answers)
    assert len(check_answers([str(tmp_path / "good.parquet")], 10)) == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "nobody"}, "teacher: unknown option 'nobody'"),
        ({"improve": "bc"}, "improve: unknown option 'bc'"),
        ({"evaluation": "heldout:5"}, "is a held-out seed"),
        ({"first_seed": 199_999}, "first_seed: expected at most 199992"),
        ({"init": "nowhere"}, "init: expected a checkpoint or a run"),
    ],
)
def test_a_wrong_setting_is_one_error(work: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loops.loop(config(work, "wrong", **changes))
    assert not (work / "wrong").exists()


# ---- people ----


@pytest.fixture
def people(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """A rater who answers ten pairs whenever the loop sleeps, by the position that the clips show."""
    place, name, given = str(work / "people.sqlite"), "find_cave clips", []

    def answer(_seconds: float) -> None:
        with closing(open_store(place)) as store:
            study = find_study(store, name)
            change_settings(
                store, study, command_line_admin(), undo_seconds=0, check_share=0.0, overlap_share=0.0,
                answers_per_minute=10_000,
            )  # fmt: skip
            if not given:
                given.append(register_rater(store, "a secret", "Ann"))
            for number in range(10):
                now = datetime.now(UTC)
                served = next_clips(store, study, given[0], now=now - timedelta(seconds=60))
                if not served:
                    return
                answer_clips(
                    store, study, served[0].assignment_id, given[0], ("left", "right")[number % 2], seconds=30.0, now=now
                )  # fmt: skip
                given.append(number)

    monkeypatch.setattr(loop_answers.time, "sleep", answer)
    yield lambda: len(given) - 1


def test_it_waits_for_people_and_keeps_late_answers_for_the_next_round(
    work: Path, people: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = config(
        work, "people", teacher="people", answers=20, minimum=15, store=str(work / "people.sqlite"), poll=0.1,
    )  # fmt: skip
    one = loops._Loop(cfg)
    one._out.mkdir()
    one._play(1)
    (file,) = one._ask(1)
    said = capsys.readouterr().err
    assert "http://127.0.0.1:8501/compare" in said and "20 of 20 missing" in said
    assert "10 of 20 missing, 10 of minimum=15 came" in said
    first = opinions(Path(file))
    assert len(first) == people() == 20
    assert one._ask(1)[-1] == file and opinions(Path(file)) == first  # killed and resumed
    assert one._cursor > 0


def test_a_deadline_ends_the_waiting(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop_answers.time, "sleep", lambda _: None)
    cfg = config(
        work, "late", teacher="people", answers=4, deadline=1e-4, store=str(work / "late.sqlite"), study="late clips"
    )  # fmt: skip
    one = loops._Loop(cfg)
    one._out.mkdir()
    one._play(1)
    (file,) = one._ask(1)
    assert read_comparisons(file) == []
    assert "the deadline has passed; continuing with 0 answers" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="got 0 of 0; ask about more pairs"):
        one._checked(one._folder(1), [file])
    assert not list(one._folder(1).glob("*.json"))  # the same command waits again


def test_nothing_else_is_in_this_world() -> None:
    """The corridor is what the test says: forward for long enough is a cave."""
    world = Corridor()
    world.reset(seed=1)
    for _ in range(CAVE):
        info = world.step({**null_action(), "forward": 1})[4]
    assert info["telemetry"].facts["in_cave"]
