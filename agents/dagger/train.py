"""DAgger's rounds: play, label, aggregate, retrain.

    RUN/rounds/0/policy       behavioural cloning of the demonstrations
    RUN/rounds/1/rollouts     that policy's episodes, labelled by the script
    RUN/rounds/1/policy       trained from there on both, and so on
    RUN/checkpoints/          the policy of the newest complete round

Each part is resumed as it is on its own, so a run can be interrupted anywhere.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

from agents.bc.config import TrainConfig
from agents.bc.train import TrainResult
from agents.bc.train import train as clone
from agents.common.registry import make_agent
from agents.dagger.config import MAY_CHANGE, DaggerConfig
from agents.dagger.expert import WalkingExpert
from agents.demonstrator.agent import LABEL_ANY_PLAY
from basalt.core.agent import Agent
from basalt.core.tasks import TRAIN_SEEDS, get_task, refuse_test_seeds
from basalt.data.embeddings import MANIFEST
from basalt.io.atomic import replacing_folder
from basalt.io.claims import claim
from basalt.io.console import note
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import find_checkpoint, has_checkpoint
from basalt.policies.source import trained_on
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.rollouts.summary import summary

CRF = 23
"""Quality of the rollouts' videos; only the policy looks at them."""


@dataclass(frozen=True)
class DaggerResult:
    """Result of a training run.

    Attributes:
        run: Folder of the run.
        rounds: Number of complete rounds after round 0.
        interrupted: Whether Ctrl-C stopped the training of the round after these; the same settings resume it.
        seconds: Wall time of this call.
        newest: Result of the newest round's training.
    """

    run: Path
    rounds: int
    interrupted: bool
    seconds: float
    newest: TrainResult

    def lines(self) -> list[str]:
        """The result in lines of text."""
        took = f"in {self.seconds:.0f} s"
        if self.interrupted:
            first = f"stopped {took} before the end of a round; the same command resumes {self.run}"
        else:
            first = f"round {self.rounds} {took}; play {self.run} with agent=dagger"
        return [first, *self.newest.lines()]


def train(cfg: DaggerConfig) -> DaggerResult:
    """Run the rounds, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The data, the settings or the folder of the run cannot be used, or no world works.
        KeyboardInterrupt: Ctrl-C while the policy plays; finished episodes are kept.
    """
    began = time.monotonic()
    run = Path(cfg.out)
    _check(cfg)
    with sole_writer(run, "training run"):
        claim(
            run / "config.json",
            "training run",
            {"agent": "dagger", **asdict(cfg)},
            may_change=MAY_CHANGE,
        )
        for number in range(cfg.rounds + 1):
            result = clone(_cloning(cfg, number))
            if result.interrupted:
                break
            _publish(run, number, result)
            if number < cfg.rounds:
                _play(cfg, number + 1)
        complete = max(number - 1, 0) if result.interrupted else number
        return DaggerResult(run, complete, result.interrupted, time.monotonic() - began, result)


def _check(cfg: DaggerConfig) -> None:
    """Refuse settings with which a later round would fail, before anything is trained."""
    task = get_task(cfg.task)
    for number in range(1, cfg.rounds + 1):
        refuse_test_seeds(task, _seeds(cfg, number), "DAgger")
    if (stop := cfg.first_seed + cfg.rounds * cfg.episodes) > TRAIN_SEEDS.stop:
        raise ConfigError(
            f"first_seed: expected at most {cfg.first_seed + TRAIN_SEEDS.stop - stop}, so that {cfg.rounds} rounds of "
            f"{cfg.episodes} episodes stay below {TRAIN_SEEDS.stop}, where dev seeds begin; got {cfg.first_seed}"
        )
    if task.name not in LABEL_ANY_PLAY:
        raise ConfigError(
            f"task: expected {' or '.join(LABEL_ANY_PLAY)}, whose script labels what others do, got {task.name}; "
            "give agent=bc"
        )
    if (Path(cfg.data) / MANIFEST).is_file():
        raise ConfigError(
            f"data: expected recordings, to which those of each round are added, got embeddings in {cfg.data}"
        )
    if cfg.init:
        trained_on(cfg.init, "init")  # refused before anything is made


def _folder(cfg: DaggerConfig, number: int) -> Path:
    return Path(cfg.out) / "rounds" / str(number)


def _seeds(cfg: DaggerConfig, number: int) -> Iterator[int]:
    """Seeds of a round; no round has one of another's."""
    first = cfg.first_seed + (number - 1) * cfg.episodes
    yield from range(first, first + cfg.episodes)


def _cloning(cfg: DaggerConfig, number: int) -> TrainConfig:
    """Settings of a round's training."""
    shared = {one.name: getattr(cfg, one.name) for one in fields(TrainConfig)}
    played = [str(_folder(cfg, each) / "rollouts") for each in range(1, number + 1)]
    return TrainConfig(
        **shared
        | {
            "out": str(_folder(cfg, number) / "policy"),
            "rollouts": [*cfg.rollouts, *played],
            "init": str(_folder(cfg, number - 1) / "policy") if number else cfg.init,
            "steps": cfg.round_steps if number else cfg.steps,
        }
    )


def _play(cfg: DaggerConfig, number: int) -> None:
    """Let the policy of the round before play this round's episodes, labelled by the script."""
    player = {
        "name": "dagger",
        "checkpoint": str(_folder(cfg, number - 1) / "policy"),
        "device": cfg.device,
        "seed": cfg.seed,
        "temperature": cfg.temperature,
        "top_p": cfg.top_p,
    }
    plan = RolloutPlan(
        task=cfg.task,
        world=cfg.world_name,
        # Another device may resume the run.
        agent={name: value for name, value in player.items() if name != "device"},
        seeds=tuple(_seeds(cfg, number)),
        out=_folder(cfg, number) / "rollouts",
        max_steps=cfg.max_steps,
        world_args=cfg.world_args or {},
        crf=CRF,
    )
    played = rollout(
        partial(_player, player),
        plan,
        jobs=cfg.jobs,
        progress=cfg.progress,
        make_labeller=WalkingExpert,
    )
    rate = summary(played).success_rate
    note(
        f"round {number}: {len(played)} episodes"
        + ("" if rate is None else f", success {rate.text('.0%')}")
    )


def _player(settings: dict[str, object]) -> Agent:
    return make_agent(**settings)  # type: ignore[arg-type]


def _publish(run: Path, number: int, result: TrainResult) -> None:
    """Copy the round's checkpoint to where a run has its checkpoints, unless that of a later round is there."""
    name = f"step-{number:08d}"
    target = run / "checkpoints" / name
    if has_checkpoint(run) and find_checkpoint(run).name >= name:
        return
    source = find_checkpoint(result.run)
    with replacing_folder(target) as partial_folder:
        for file in source.iterdir():
            shutil.copy2(file, partial_folder / file.name)
    for old in (run / "checkpoints").iterdir():
        if old.name != name and old.name.startswith("step-"):
            shutil.rmtree(old)
