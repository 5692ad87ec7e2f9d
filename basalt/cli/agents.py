"""``basalt train``, ``basalt rollout`` and ``basalt record``: Hydra applications over ``configs/``."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.common.registry import make_agent
from basalt.cli.hydra_app import hydra_app, plain
from basalt.core.recording import Recording
from basalt.core.tasks import get_task, parse_seeds, refuse_official
from basalt.io.errors import ConfigError


def train_main(argv: list[str]) -> int:
    """Train the agent that the configuration names."""
    return hydra_app("train", _train, argv)


def rollout_main(argv: list[str]) -> int:
    """Let an agent play and record it."""
    return hydra_app("rollout", _rollout, argv)


def record_main(argv: list[str]) -> int:
    """Record demonstrations; like a rollout, but official seeds are refused."""
    return hydra_app("record", _record, argv)


def _train(cfg: DictConfig) -> None:
    from agents.common.registry import train

    train(plain(cfg))


def _record(cfg: DictConfig) -> None:
    settings = plain(cfg)
    task = get_task(settings["task"]["name"])
    refuse_official(task, parse_seeds(settings["seeds"], task), "recording demonstrations")
    _play(settings)


def _rollout(cfg: DictConfig) -> None:
    _play(plain(cfg))


def _play(settings: Mapping[str, Any]) -> None:
    from basalt.rollouts.rollout import RolloutPlan, rollout

    for name in ("jobs", "crf", "max_steps"):
        value = settings[name]
        if type(value) is not int and not (value is None and name == "max_steps"):
            raise ConfigError(f"{name}: {value!r} is not a whole number")
    task = get_task(settings["task"]["name"])
    plan = RolloutPlan(
        task=task.name,
        world=settings["world"]["name"],
        agent=settings["agent"],
        seeds=tuple(parse_seeds(settings["seeds"], task)),
        out=Path(settings["out"]),
        max_steps=settings["max_steps"],
        world_args=settings["world"]["args"],
        crf=settings["crf"],
        edit=settings["edit"],
    )
    recordings = rollout(partial(make_agent, **settings["agent"]), plan, jobs=settings["jobs"])
    _print_summary(recordings, plan.out)


def _print_summary(recordings: list[Recording], out: Path) -> None:
    from basalt.rollouts.rollout import summary

    result = summary(recordings)
    result.write(out / "summary.json")
    print("\n".join(result.lines()))
    print(f"recordings and summary.json in {out}")
