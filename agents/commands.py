"""``basalt train``, ``basalt rollout`` and ``basalt record``: Hydra applications over ``configs/``."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.registry import make_agent
from basalt.errors import BasaltError, ConfigError
from basalt.files import write_json
from basalt.recording import Recording
from basalt.tasks import get_task, parse_seeds, refuse_official


def train_main(argv: list[str]) -> int:
    """Train the agent that the configuration names."""
    return _hydra_app("train", _train, argv)


def rollout_main(argv: list[str]) -> int:
    """Let an agent play and record it."""
    return _hydra_app("rollout", _rollout, argv)


def record_main(argv: list[str]) -> int:
    """Record demonstrations; like a rollout, but official seeds are refused."""
    return _hydra_app("record", _record, argv)


def _hydra_app(config: str, function: Callable[[DictConfig], None], argv: list[str]) -> int:
    """Compose ``configs/{config}.yaml`` with the arguments and call the function with it.

    Raises:
        BasaltError: what the function raised, or a ConfigError for a setting Hydra does not accept.
    """
    raised: list[BasaltError | OSError] = []

    def job(cfg: DictConfig) -> None:
        try:
            function(cfg)
        except (BasaltError, OSError) as err:
            raised.append(err)

    # Hydra would print a traceback and end the process; we want the exception, to print one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"basalt {config}", *argv]
    try:
        hydra.main(version_base="1.3", config_path="pkg://configs", config_name=config)(job)()
    except (HydraException, OmegaConfBaseException) as err:
        raise ConfigError(_one_line(err)) from err
    if raised:
        raise raised[0]
    return 0


def _one_line(err: Exception) -> str:
    """Hydra's message without its layout; it names the key."""
    cause = err.__cause__
    text = f"{err} {cause}" if cause is not None and str(cause) not in str(err) else str(err)
    told, _, _ = text.partition("Config search path:")
    return "; ".join(line.strip(" ;\t") for line in told.splitlines() if line.strip(" ;\t"))


def _plain(cfg: Any) -> dict[str, Any]:
    content = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _train(cfg: DictConfig) -> None:
    from agents.registry import train

    train(_plain(cfg))


def _record(cfg: DictConfig) -> None:
    settings = _plain(cfg)
    task = get_task(settings["task"]["name"])
    refuse_official(task, parse_seeds(settings["seeds"], task), "recording demonstrations")
    _play(settings)


def _rollout(cfg: DictConfig) -> None:
    _play(_plain(cfg))


def _play(settings: Mapping[str, Any]) -> None:
    from basalt.rollout import RolloutPlan, rollout

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
    )
    recordings = rollout(partial(make_agent, **settings["agent"]), plan, jobs=settings["jobs"])
    _print_summary(recordings, plan.out)


def _print_summary(recordings: list[Recording], out: Path) -> None:
    from basalt.rollout import summary

    result = summary(recordings)
    write_json(out / "summary.json", result)
    print(f"{'seed':>8} {'steps':>6} {'ended':>6} {'success':>8} {'walked':>8}")
    for row in result["episodes"]:
        success = {True: "yes", False: "no", None: "?"}[row["success"]]
        walked = "?" if row["distance_walked"] is None else f"{row['distance_walked']:.1f}"
        print(f"{row['seed']:>8} {row['steps']:>6} {row['ended']:>6} {success:>8} {walked:>8}")
    if rate := result["success_rate"]:
        low, high = rate["interval"]
        print(f"success by telemetry {rate['mean']:.0%} (95 % {low:.0%} to {high:.0%})")
    else:
        print("success: for people to judge, since the world does not tell enough to see it")
    if walked_in_all := result["distance_walked"]:
        distance = f"distance walked {walked_in_all['mean']:.1f} nodes"
        if walked_in_all["interval"]:
            distance += " (95 % {:.1f} to {:.1f})".format(*walked_in_all["interval"])
        print(distance)
    print(f"recordings and summary.json in {out}")
