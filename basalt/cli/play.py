"""`basalt play`: a person plays and is recorded, or a recording is replayed."""

import json
from pathlib import Path
from typing import Any

from basalt.cli.hydra_app import hydra_app
from basalt.cli.rollout import plan_of
from basalt.core.recording import Recording, find_recordings
from basalt.core.settings import Count, Crf, PathText, settings
from basalt.core.video import DEFAULT_CRF
from basalt.io.errors import ConfigError


@settings
class PlaySettings:
    """Play a task with keyboard and mouse and be recorded, or replay a recording and measure the drift.

    Attributes:
        task: Task to play.
        world: World to play in, and further arguments of its environment.
        seed: Seed to play; null for the first training seed (from 100000) that is not in `out` yet.
        player: Name of the player, kept in the recording.
        max_steps: Number of steps after which the episode is cut; null for the task's own limit.
        edit: One change of the world, for paired worlds: {block: {position: [1,2,3], to: air}}.
        crf: Quality of the video (x264's CRF); lower is better and larger.
        out: Folder of the recordings.
        browser: Whether to play in a browser; null for a window where there is a screen.
        address: Address of the browser's page, HOST or HOST:PORT.
        replay: Recording, or folder of recordings, to replay instead.
        any_version: Whether to replay in another version of the world too.
        json: Whether to print one JSON object.
    """

    task: str
    world: dict[str, Any]
    seed: Any = None
    player: str = "human"
    max_steps: Count | None = None
    edit: dict[str, Any] | None = None
    crf: Crf = DEFAULT_CRF
    out: PathText = "runs/play/${task.name}"
    browser: bool | None = None
    address: str = "127.0.0.1"
    replay: PathText | None = None
    any_version: bool = False
    json: bool = False


def main(argv: list[str]) -> int:
    """Run `basalt play ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: A wrong setting, a world that fails, or a recording that cannot be used.
    """
    chosen = {argument.partition("=")[0] for argument in argv}

    def play(settings: PlaySettings) -> None:
        if settings.replay is None:
            _play(settings)
        else:
            _replay(settings.replay, settings, chosen)

    return hydra_app("play", play, argv, settings=PlaySettings)


def _play(settings: PlaySettings) -> None:
    from basalt.play.session import choose_seed, play_episode

    seed = choose_seed(settings.seed, settings.task, Path(settings.out))
    plan = plan_of(settings, {"name": settings.player, "kind": "human"}, (seed,))
    played = play_episode(plan, browser=settings.browser, address=settings.address)
    if played is None:
        return
    if settings.json:
        print(json.dumps(played))
        return
    print(f"{played['recording']}: {played['steps']} steps, ended by {played['ended']}")
    success = {True: "yes", False: "no", None: "unknown; the world does not report enough"}
    print(f"success by telemetry: {success[played['success']]}")
    print(
        f"{played['late_steps']} of {played['steps']} steps started late, by up to "
        f"{played['latest_ms']:g} ms; in a lock-step world the recording replays exactly all the same"
    )


def _replay(path: str, settings: PlaySettings, chosen: set[str]) -> None:
    from basalt.rollouts.replay import replay

    recordings = find_recordings(path) if Path(path).is_dir() else [Recording.open(path)]
    results = []
    for recording in recordings:
        meta = recording.meta
        for key, given in (("world", settings.world["name"]), ("task", settings.task)):
            recorded = given if meta is None else getattr(meta, key)
            if key in chosen and given != recorded:
                raise ConfigError(
                    f"{key}: expected {recorded}, as in {recording.meta_path}, got {given}; leave {key}= out"
                )
        same_world = meta is not None and settings.world["name"] == meta.world
        result = replay(
            recording,
            world_args=settings.world["args"] if same_world else {},
            any_version=settings.any_version,
            progress=not settings.json,
        )
        results.append(result)
        if not settings.json:
            print(result.summary())
    if settings.json:
        exact = all(result.exact for result in results)
        print(json.dumps({"exact": exact, "replays": [result.to_json() for result in results]}))
