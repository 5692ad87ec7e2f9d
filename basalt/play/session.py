"""A person plays one episode, which is recorded."""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from basalt.core.agent import PlayerLeft
from basalt.core.recording import Recording
from basalt.core.tasks import TRAIN_SEEDS, Task, get_task, parse_seeds
from basalt.io.errors import ConfigError
from basalt.play.player import HumanPlayer, Screen, Status
from basalt.rollouts.rollout import RolloutPlan, rollout, success


def play_episode(
    task: str,
    world: str,
    world_args: Mapping[str, Any],
    out: Path,
    *,
    seed: Any,
    player: str,
    max_steps: int | None,
    edit: Mapping[str, Any] | None,
    crf: int,
    browser: bool | None,
    address: str,
) -> dict[str, Any] | None:
    """Let a person play an episode in a window or a browser.

    Args:
        task: Name of the task.
        world: Name of the world.
        world_args: Further keyword arguments of the environment.
        out: Folder of the recording.
        seed: Seed to play; None for the first training seed that is not in `out` yet.
        player: Name of the player, kept in the recording.
        max_steps: Number of steps after which the episode is cut; None for the task's own limit.
        edit: One change of the world, or None.
        crf: Quality of the video.
        browser: Whether to play in a browser; None for a window where there is a screen.
        address: Address of the browser's page, HOST or HOST:PORT.

    Returns:
        JSON-ready report of the recording, or None where the player left before the first step.

    Raises:
        BasaltError: A wrong setting, or the world failed.
    """
    its_task = get_task(task)
    chosen = _seed(seed, its_task, out)
    plan = RolloutPlan(
        task=task,
        world=world,
        agent={"name": player, "kind": "human"},
        seeds=(chosen,),
        out=out,
        max_steps=max_steps,
        world_args=world_args,
        crf=crf,
        edit=edit,
    )
    screen = _screen(browser, address, its_task)
    person = HumanPlayer(screen, player, plan.step_limit)
    screen.show(None, Status("starting", chosen, limit=plan.step_limit))
    try:
        with _signals_leave(person):
            try:
                rollout(lambda: person, plan, progress=False)
            except PlayerLeft:
                if not (out / f"seed_{chosen}.json").is_file():
                    print("left before the first step: nothing was recorded", file=sys.stderr)
                    return None
        recording = Recording.open(out / f"seed_{chosen}")
        assert recording.meta is not None
        saved = f"{recording.stem}: {recording.meta.steps} steps, ended by {recording.meta.ended}"
        screen.show(None, Status("over", chosen, note=f"Thank you. Saved: {saved}"))
    except BaseException as err:
        screen.show(None, Status("over", chosen, note=f"The game ended: {err or 'interrupted'}"))
        raise
    finally:
        screen.close()
    return {
        "recording": str(recording.stem),
        "seed": chosen,
        "steps": recording.meta.steps,
        "ended": recording.meta.ended,
        "success": success(recording),
        "late_steps": person.pace.late_steps,
        "latest_ms": round(person.pace.worst_s * 1e3, 1),
    }


def _seed(asked: Any, task: Task, out: Path) -> int:
    if asked is None:
        # Progress through the training seeds that lasts, without a list of what was played.
        return next(
            seed for seed in count(TRAIN_SEEDS.start) if not (out / f"seed_{seed}.json").is_file()
        )
    seeds = parse_seeds(asked, task)
    if len(seeds) != 1:
        raise ConfigError(f"seed: expected one seed, got {asked!r}; a person plays one at a time")
    if (out / f"seed_{seeds[0]}.json").is_file():
        raise ConfigError(
            f"seed: {seeds[0]} is recorded in {out} already; give another seed= or out="
        )
    return seeds[0]


def _screen(browser: bool | None, address: str, task: Task) -> Screen:
    from basalt.play.window import WindowScreen, has_screen

    in_browser = not has_screen() if browser is None else browser
    if not in_browser:
        return WindowScreen(title=task.title, instruction=task.instruction)
    from basalt.play.browser import BrowserScreen, parse_address

    host, port = parse_address(address)
    screen = BrowserScreen(host, port, title=task.title, instruction=task.instruction)
    # On stderr: stdout may be JSON.
    print(f"play in a browser (the link works once): {screen.url}", file=sys.stderr, flush=True)
    print(
        f"from another machine: ssh -L {screen.port}:127.0.0.1:{screen.port} THIS-MACHINE, then open the "
        "same link on it. Ctrl-C here ends the game and keeps the recording.",
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
