"""``basalt play``: a person plays and is recorded, or a recording is played again."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from basalt.cli.hydra_app import one_line
from basalt.core.agent import PlayerLeft
from basalt.core.recording import Recording, find_recordings
from basalt.core.tasks import TRAIN_SEEDS, Task, get_task, parse_seeds
from basalt.io.errors import ConfigError
from basalt.play.player import HumanPlayer, Screen, Status

_EXAMPLES = """\
settings (key=value; configs/play.yaml lists all):
  task=find_cave     what to play
  world=luanti       where: luanti, minerl, minerl-package
  seed=100000        which place; without, the first training seed that is not in out yet
  player=human       a name for the recording
  out=DIR            folder of the recordings
  address=HOST:PORT  where the browser's page is served

examples:
  basalt play task=find_cave
  basalt play task=find_cave --browser address=127.0.0.1:8300
  basalt play --replay runs/play/find_cave/seed_100000"""


def main(argv: list[str]) -> int:
    """Run ``basalt play ARGUMENTS``; returns the exit status.

    Raises:
        BasaltError: a setting that makes no sense, a world that fails, or a recording that is none.
    """
    parser = argparse.ArgumentParser(
        prog="basalt play",
        description="Play a task with keyboard and mouse and be recorded, in a window or a browser; "
        "or play a recording's actions again and measure how far the two come apart.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--browser", action="store_true", help="in a browser, like browser=true")
    parser.add_argument("--replay", metavar="RECORDING", help="like replay=RECORDING")
    parser.add_argument("--any-version", action="store_true", help="like any_version=true")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parsed, more = parser.parse_known_args(argv)
    if unknown := [argument for argument in more if argument.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}")
    overrides = [*parsed.settings, *more]
    settings = _compose(overrides)
    if parsed.browser:
        settings["browser"] = True
    replayed = parsed.replay or settings["replay"]
    if replayed is not None:
        settings["any_version"] = settings["any_version"] or parsed.any_version
        asked = {text.split("=")[0] for text in overrides}
        return _replay(str(replayed), settings, asked, as_json=parsed.json)
    return _play(settings, as_json=parsed.json)


def _compose(overrides: list[str]) -> dict[str, Any]:
    try:
        with initialize_config_module("configs", version_base="1.3"):
            cfg = compose("play", overrides=overrides)
        settings = OmegaConf.to_container(cfg, resolve=True)
    except (HydraException, OmegaConfBaseException) as err:
        raise ConfigError(one_line(err)) from err
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


# ---- a person plays ----


def _play(settings: Mapping[str, Any], *, as_json: bool) -> int:
    from basalt.rollouts.rollout import RolloutPlan, rollout, success

    task, out = get_task(settings["task"]["name"]), Path(settings["out"])
    seed = _seed(settings["seed"], task, out)
    plan = RolloutPlan(
        task=task.name,
        world=settings["world"]["name"],
        agent={"name": str(settings["player"]), "kind": "human"},
        seeds=(seed,),
        out=out,
        max_steps=settings["max_steps"],
        world_args=settings["world"]["args"],
        crf=settings["crf"],
        edit=settings["edit"],
    )
    screen = _screen(settings, task)
    player = HumanPlayer(screen, str(settings["player"]), plan.step_limit)
    screen.show(None, Status("starting", seed, limit=plan.step_limit))
    try:
        with _signals_leave(player):
            try:
                rollout(lambda: player, plan, progress=False)
            except PlayerLeft:
                if not (out / f"seed_{seed}.json").is_file():
                    print("left before the first step: nothing was recorded", file=sys.stderr)
                    return 0
        recording = Recording.open(out / f"seed_{seed}")
        assert recording.meta is not None
        saved = f"{recording.stem}: {recording.meta.steps} steps, ended by {recording.meta.ended}"
        screen.show(None, Status("over", seed, note=f"Thank you. Saved: {saved}"))
    except BaseException as err:
        screen.show(None, Status("over", seed, note=f"The game ended: {err or 'interrupted'}"))
        raise
    finally:
        screen.close()
    pace = player.pace
    succeeded = success(recording)
    report = {
        "recording": str(recording.stem),
        "seed": seed,
        "steps": recording.meta.steps,
        "ended": recording.meta.ended,
        "success": succeeded,
        "late_steps": pace.late_steps,
        "latest_ms": round(pace.worst_s * 1e3, 1),
    }
    if as_json:
        print(json.dumps(report))
        return 0
    print(saved)
    told = {True: "yes", False: "no", None: "not known, the world does not tell enough"}[succeeded]
    print(f"success by telemetry: {told}")
    print(
        f"{pace.late_steps} of {pace.steps} steps began late, at most {report['latest_ms']:g} ms; "
        "the recording replays exactly all the same where the world is in lock-step"
    )
    return 0


def _seed(asked: Any, task: Task, out: Path) -> int:
    if asked is None:
        # Lasting progress through the training seeds, without a list of what was played.
        return next(
            seed for seed in count(TRAIN_SEEDS.start) if not (out / f"seed_{seed}.json").is_file()
        )
    seeds = parse_seeds(asked, task)
    if len(seeds) != 1:
        raise ConfigError(f"seed: {asked!r} is not one seed; a person plays one at a time")
    if (out / f"seed_{seeds[0]}.json").is_file():
        raise ConfigError(
            f"seed: {seeds[0]} is recorded in {out} already; give another seed= or out="
        )
    return seeds[0]


def _screen(settings: Mapping[str, Any], task: Task) -> Screen:
    from basalt.play.window import WindowScreen, has_screen

    in_browser = not has_screen() if settings["browser"] is None else settings["browser"]
    if not in_browser:
        return WindowScreen(title=task.title, instruction=task.instruction)
    from basalt.play.browser import BrowserScreen, parse_address

    host, port = parse_address(str(settings["address"]))
    screen = BrowserScreen(host, port, title=task.title, instruction=task.instruction)
    print(f"play in a browser (the link works once): {screen.url}", flush=True)
    print(
        f"from another machine: ssh -L {screen.port}:127.0.0.1:{screen.port} THIS-MACHINE, then the "
        "same link there. Ctrl-C here ends the game and keeps what was recorded.",
        file=sys.stderr,
    )
    return screen


@contextmanager
def _signals_leave(player: HumanPlayer) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM, SIGHUP) ends play and keeps the recording; the next one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def leave(*_: object) -> None:
        player.leave()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for kind in kinds:
        signal.signal(kind, leave)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


# ---- a recording is played again ----


def _replay(path: str, settings: Mapping[str, Any], asked: set[str], *, as_json: bool) -> int:
    from basalt.rollouts.replay import replay

    recordings = find_recordings(path) if Path(path).is_dir() else [Recording.open(path)]
    world, task = settings["world"], get_task(settings["task"]["name"]).name
    results = []
    for recording in recordings:
        if (meta := recording.meta) is not None:
            for key, value, said in (
                ("world", meta.world, world["name"]),
                ("task", meta.task, task),
            ):
                if key in asked and said != value:
                    raise ConfigError(
                        f"{key}: {recording.meta_path} was made in {value}, not {said}"
                    )
        same_world = meta is not None and world["name"] == meta.world
        result = replay(
            recording,
            world_args=world["args"] if same_world else {},
            any_version=settings["any_version"],
            progress=not as_json,
        )
        results.append(result)
        if not as_json:
            print(result.summary())
    exact = all(result.exact for result in results)
    if as_json:
        print(json.dumps({"exact": exact, "replays": [result.to_json() for result in results]}))
    return 0
