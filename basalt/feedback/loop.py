"""The loop of feedback: play, ask, fit, improve, evaluate, and again.

    OUT/loop.json                   what each round found
    OUT/rounds/0/evaluation         how the start plays
    OUT/rounds/1/rollouts-0 ...     episodes of the policy of the round before, one folder for each play of the seeds
    OUT/rounds/1/labels, or answers.parquet
    OUT/rounds/1/reward             reward model of all answers so far
    OUT/rounds/1/policy             the start, improved by all answers so far
    OUT/rounds/1/evaluation         how that policy plays

Each part is resumed as it is on its own, and what a part is made from is on disk before it begins, so a loop that is killed anywhere
resumes to the same answers and the same fit.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.common.identity import identify
from agents.common.latents import load_latents
from agents.common.optimization import NotFiniteError
from agents.common.registry import learner, make_agent
from agents.preferences.improve import ImproveReport
from agents.preferences.likelihood import trunk_divergence
from agents.reward.answers import decided
from agents.reward.config import RewardConfig
from agents.reward.report import RewardReport
from agents.reward.saved import open_reward
from agents.reward.train import train as fit
from basalt.core.comparisons import Comparison
from basalt.core.intervals import rate_interval
from basalt.core.loop_record import FILE, LoopRecord, LoopRound, against_start
from basalt.core.recording import find_recordings
from basalt.core.scoring import can_score, visible_change
from basalt.core.tasks import get_task, parse_seeds, refuse_test_seeds
from basalt.feedback.loop_answers import answers_of_round, check_answers, collect_again
from basalt.feedback.loop_config import MAY_CHANGE, LoopConfig
from basalt.io.claims import claim
from basalt.io.console import note
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import open_policy
from basalt.rollouts.evaluate import evaluate
from basalt.rollouts.evaluation import FILE as EVALUATION
from basalt.rollouts.evaluation import Evaluation
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout

START = "bc"
"""Agent that plays the start: any run that it can play is one."""

CRF = 23
"""Quality of the videos."""


@dataclass(frozen=True)
class LoopResult:
    """Result of a loop.

    Attributes:
        out: Folder of the loop.
        record: What its rounds found.
        interrupted: Whether Ctrl-C stopped a training; the same settings resume it.
    """

    out: Path
    record: LoopRecord
    interrupted: bool

    def lines(self) -> list[str]:
        """The result in lines of text."""
        lines = self.record.lines()
        if self.interrupted:
            return [*lines, f"stopped in a training; the same command resumes {self.out}"]
        if self.record.ended:
            lines.append(f"ended early: {self.record.ended}")
        return [*lines, f"last good policy: {self.record.run}"]


def loop(cfg: LoopConfig) -> LoopResult:
    """Run the rounds, or resume the loop in `cfg.out`.

    Raises:
        BasaltError: A setting, the start, the answers or the folder cannot be used, or no world works.
        KeyboardInterrupt: Ctrl-C outside of a training; what is finished is kept.
    """
    task, out = get_task(cfg.task), Path(cfg.out)
    refuse_test_seeds(task, parse_seeds(cfg.evaluation, task), "choosing in a loop")
    for number in range(1, cfg.rounds + 1):
        refuse_test_seeds(task, cfg.seeds_of(number), "a loop of feedback")
    open_policy(cfg.init, torch.device("cpu"), "init")  # before anything is played
    with sole_writer(out, "loop"):
        claim(out / "config.json", "loop", asdict(cfg), may_change=MAY_CHANGE)
        return _Loop(cfg).run()


class _InterruptedError(Exception):
    """Ctrl-C stopped a training, which is saved."""


class _Loop:
    """A loop.

    Args:
        cfg: Settings.

    Attributes:
        record: What the rounds found.
    """

    def __init__(self, cfg: LoopConfig) -> None:
        self._cfg, self._out, self._began = cfg, Path(cfg.out), time.monotonic()
        self.record = LoopRecord(
            task=cfg.task, init=cfg.init, improve=cfg.improve, teacher=cfg.teacher, planned=cfg.rounds
        )  # fmt: skip
        if (self._out / FILE).is_file():
            self.record = LoopRecord.read(self._out / FILE)
        self._cursor, self._files = 0, list[str]()

    def run(self) -> LoopResult:
        """All rounds that are not complete."""
        self._write(planned=self._cfg.rounds)
        try:
            for number in range(self._cfg.rounds + 1):
                if self.record.ended:
                    break
                self._began = time.monotonic()
                self._round(number)
        except NotFiniteError as err:
            self._write(ended=str(err))
        except _InterruptedError:
            return LoopResult(self._out, self.record, True)
        self._write(stage="ended early" if self.record.ended else "finished")
        return LoopResult(self._out, self.record, False)

    def _round(self, number: int) -> None:
        """A round. One that is complete is only looked at, for what the next ones need."""
        folder, complete = self._folder(number), number < len(self.record.rounds)
        run, answers = self._cfg.init, []
        if number:
            if not complete:
                self._stage(number, "playing")
                self._play(number)
            self._stage(number, "asking")
            files = self._ask(number)
        if complete:
            return
        if number:
            answers = self._checked(folder, files)
            self._stage(number, "fitting a reward model")
            self._fit(number, files)
            self._stage(number, "improving")
            run = self._improve(number, files)
        self._stage(number, "evaluating")
        found = self._evaluate(folder, run)
        one = self._measured(number, run, answers, found)
        if reason := self._collapse(one):
            self._write(ended=f"round {number}: {reason}")
        else:
            self._write(rounds=(*self.record.rounds, one))
            note("\n".join([self.record.lines()[0], self.record.lines()[-1]]))

    def _measured(
        self, number: int, run: str, answers: Sequence[Comparison], found: Evaluation
    ) -> LoopRound:
        """What a round found."""
        folder, played = self._folder(number), found.played.values()
        low, high = rate_interval(sum(one.success for one in played), len(played))
        start = LoopRound(
            number=number,
            run=run,
            labels=len(answers),
            proxy=0.0,
            decided=len(decided(answers)),
            gold=self._gold(folder),
            divergence=0.0,
            success=found.success_rate,
            success_interval=(low, high),
            stop_rate=_stop_rate(found),
            episodes=len(played),
            seconds=time.monotonic() - self._began,
        )
        if number == 0:
            return start
        report = RewardReport.read(folder / "reward" / "report.json")
        metrics = report.uniform or report.everything
        return start.model_copy(
            update={
                "accuracy": metrics.accuracy,
                "accuracy_interval": metrics.interval,
                "ceiling": report.ceiling,
                "control": max(one.accuracy for one in metrics.controls),
                "proxy": against_start(self._scores(number, number), self._scores(number, 0)),
                "divergence": self._divergence(number, run),
            }
        )

    # ---- stages ----

    def _play(self, number: int) -> None:
        """Let the policy of the round before play this round's seeds, several times each."""
        cfg, before = self._cfg, self._policy(number - 1)
        for play, folder in enumerate(self._recordings(number)):
            settings = self._player(before, cfg.seed + number * cfg.plays + play)
            plan = self._plan(settings, Path(folder), tuple(cfg.seeds_of(number)))
            rollout(partial(make_agent, **settings), plan, jobs=cfg.jobs, progress=cfg.progress)

    def _ask(self, number: int) -> list[str]:
        """Get the answers of a round; returns the files of all answers so far."""
        cfg = self._cfg
        reward = str(self._folder(number - 1) / "reward") if number > 1 else None
        file, self._cursor = answers_of_round(
            cfg, number, self._folder(number), self._recordings(number), reward, self._cursor,
            lambda text: self._stage(number, text),
        )  # fmt: skip
        self._files.append(file)
        return self._files

    def _checked(self, folder: Path, files: Sequence[str]) -> list[Comparison]:
        """The answers so far; if nothing can be learned from them, the same command looks for more."""
        try:
            return check_answers(files, self._cfg.least)
        except ConfigError:
            collect_again(folder)
            raise

    def _fit(self, number: int, files: Sequence[str]) -> None:
        cfg = self._cfg
        settings: dict[str, Any] = {
            "out": str(self._folder(number) / "reward"), "comparisons": tuple(files),
            "recordings": tuple(self._all_recordings(number)), "trunk": cfg.init, "task": cfg.task, "seed": cfg.seed,
            "device": cfg.device, "progress": cfg.progress,
        } | (cfg.reward_args or {})  # fmt: skip
        if fit(RewardConfig(**settings)).interrupted:
            raise _InterruptedError

    def _improve(self, number: int, files: Sequence[str]) -> str:
        """Improve the start by all answers so far; returns the run."""
        cfg, folder = self._cfg, self._folder(number)
        config, train = learner(cfg.improve)
        given = {
            "out": str(folder / "policy"), "comparisons": tuple(files), "reward": str(folder / "reward"),
            "recordings": tuple(self._all_recordings(number)), "init": cfg.init, "task": cfg.task, "n": cfg.plays,
            "world_name": cfg.world_name, "world_args": cfg.world_args, "max_steps": cfg.max_steps,
            "kl_limit": cfg.kl_limit, "seed": cfg.seed, "device": cfg.device, "progress": cfg.progress,
        }  # fmt: skip
        known = {one.name for one in fields(config)}
        settings = {name: value for name, value in given.items() if name in known}
        if train(config(**settings | (cfg.improve_args or {}))).interrupted:
            raise _InterruptedError
        return str(folder / "policy")

    def _evaluate(self, folder: Path, run: str) -> Evaluation:
        cfg, out = self._cfg, folder / "evaluation"
        if (out / EVALUATION).is_file():
            return Evaluation.read(out / EVALUATION)
        settings = self._player(run, cfg.seed)
        seeds = tuple(parse_seeds(cfg.evaluation, get_task(cfg.task)))
        who = identify(settings)
        found = evaluate(
            partial(make_agent, **settings),
            self._plan(settings, out, seeds),
            agent_hash=who.hash,
            learns=who.learns,
            training_seed=who.training_seed,
            jobs=cfg.jobs,
            progress=cfg.progress,
        )
        found.keep(out)
        return found

    # ---- what a round found ----

    def _scores(self, number: int, played: int) -> list[float]:
        """What a round's reward model makes of each episode of the evaluation of the same or another round.

        As for a clip, this is the mean over the steps. A sum would change with the zero of the rewards, which comparisons of clips
        of the same length leave open.
        """
        device = choose_device(self._cfg.device)
        model, info = open_reward(self._folder(number) / "reward", device)
        episodes, _ = load_latents(
            [str(self._folder(played) / "evaluation")], info.trunk, device=self._cfg.device, progress=False
        )  # fmt: skip
        return [
            float(model.gated(model.rewards(torch.from_numpy(np.array(one.values)))).mean())
            for one in episodes.values()
        ]

    def _gold(self, folder: Path) -> float | None:
        """Mean score of an evaluation's episodes by telemetry, which is what the synthetic teachers look at."""
        task = get_task(self._cfg.task)
        states = [one.telemetry() for one in find_recordings(folder / "evaluation")]
        if task.visible_change is None or not all(can_score(task, one) for one in states):
            return None
        return float(np.mean([visible_change(task, one).sum() for one in states]))

    def _divergence(self, number: int, run: str) -> float:
        """Divergence of a policy from the start in nats a frame, where it plays itself if only its heads were trained."""
        report = self._folder(number) / "policy" / "report.json"
        if self._cfg.improve == "steer_vector":
            return ImproveReport.read(report).divergence
        episodes, _ = load_latents(
            [str(self._folder(number) / "evaluation")], self._cfg.init, device=self._cfg.device, progress=False
        )  # fmt: skip
        device = choose_device(self._cfg.device)
        ours, start = (open_policy(one, device) for one in (run, self._cfg.init))
        return trunk_divergence(ours, start, [one.values for one in episodes.values()])

    def _collapse(self, one: LoopRound) -> str:
        """Why a round's policy is not a good one; empty if it is."""
        if one.divergence > self._cfg.kl_limit:
            return f"the policy is {one.divergence:.3f} nats a frame from the start, above kl_limit={self._cfg.kl_limit:g}"
        start = self.record.rounds[0] if self.record.rounds else one
        if one.stop_rate == 0 and start.stop_rate > 0:
            return f"the policy never presses ESC, the start did in {start.stop_rate:.0%} of its episodes"
        if one.stop_rate == 1 and start.stop_rate < 1 and one.success <= start.success:
            return f"the policy ends every episode by ESC and succeeds in {one.success:.0%}, the start in {start.success:.0%}"
        return ""

    # ---- names and records ----

    def _folder(self, number: int) -> Path:
        return self._out / "rounds" / str(number)

    def _recordings(self, number: int) -> list[str]:
        folder = self._folder(number)
        return [str(folder / f"rollouts-{play}") for play in range(self._cfg.plays)]

    def _all_recordings(self, number: int) -> list[str]:
        return [one for each in range(1, number + 1) for one in self._recordings(each)]

    def _policy(self, number: int) -> str:
        return str(self._folder(number) / "policy") if number else self._cfg.init

    def _player(self, run: str, seed: int) -> dict[str, Any]:
        cfg = self._cfg
        name = START if run == cfg.init else cfg.improve
        settings = {"name": name, "checkpoint": run, "seed": seed, "temperature": cfg.temperature}
        return settings | ({"stop": cfg.stop} if cfg.stop else {})

    def _plan(self, agent: dict[str, Any], out: Path, seeds: tuple[int, ...]) -> RolloutPlan:
        cfg = self._cfg
        return RolloutPlan(
            task=cfg.task,
            world=cfg.world_name,
            agent=agent,
            seeds=seeds,
            out=out,
            max_steps=cfg.max_steps,
            world_args=cfg.world_args or {},
            crf=CRF,
        )

    def _stage(self, number: int, text: str) -> None:
        if number >= len(self.record.rounds):
            self._write(stage=f"round {number}: {text}")

    def _write(self, **changes: Any) -> None:
        self.record = self.record.model_copy(update=changes)
        self.record.write(self._out / FILE)


def _stop_rate(found: Evaluation) -> float:
    played = found.played.values()
    if not played:
        raise ConfigError("evaluation: expected at least one seed that can be played, got none; look at the world")  # fmt: skip
    return sum(one.ended == "esc" for one in played) / len(played)
