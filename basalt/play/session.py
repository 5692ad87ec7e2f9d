"""A person plays one episode, which is recorded."""

import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from basalt.core.agent import PlayerLeft
from basalt.core.recording import Recording
from basalt.core.tasks import TRAIN_SEEDS, Task, get_task, parse_seeds
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
from basalt.play.player import HumanPlayer, Screen, Status
from basalt.rollouts.plan import RolloutPlan
from basalt.rollouts.rollout import rollout
from basalt.rollouts.summary import success


def play_episode(plan: RolloutPlan, *, browser: bool | None, address: str) -> dict[str, Any] | None:
    """Let a person play an episode in a window or a browser.

    Args:
        plan: What to play, with one seed (`choose_seed`); the agent's name is the player's.
        browser: Whether to play in a browser; None for a window where there is a screen.
        address: Address of the browser's page, HOST or HOST:PORT.

    Returns:
        JSON-ready report of the recording, or None where the player left before the first step.

    Raises:
        BasaltError: A wrong setting, or the world failed.
    """
    (seed,) = plan.seeds
    stem = plan.out / f"seed_{seed}"
    screen = _screen(browser, address, get_task(plan.task))
    person = HumanPlayer(screen, plan.agent["name"], plan.step_limit)
    screen.show(None, Status("starting", seed, limit=plan.step_limit))
    try:
        with first_signal(person.leave, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                rollout(lambda: person, plan, progress=False)
            except PlayerLeft:
                if not stem.with_suffix(".json").is_file():
                    print("left before the first step: nothing was recorded", file=sys.stderr)
                    return None
        recording = Recording.open(stem)
        assert recording.meta is not None
        saved = f"{recording.stem}: {recording.meta.steps} steps, ended by {recording.meta.ended}"
        screen.show(None, Status("over", seed, note=f"Thank you. Saved: {saved}"))
    except BaseException as err:
        screen.show(None, Status("over", seed, note=f"The game ended: {err or 'interrupted'}"))
        raise
    finally:
        screen.close()
    return {
        "recording": str(recording.stem),
        "seed": seed,
        "steps": recording.meta.steps,
        "ended": recording.meta.ended,
        "success": success(recording),
        "late_steps": person.pace.late_steps,
        "latest_ms": round(person.pace.worst_s * 1e3, 1),
    }


def choose_seed(asked: Any, task: str, out: Path) -> int:
    """The seed that a person plays next.

    Args:
        asked: Seed to play; None for the first training seed that is not in `out` yet.
        task: Name of the task.
        out: Folder of the recordings.

    Raises:
        ConfigError: Not one seed was given, or it is recorded already.
    """

    def recorded(seed: int) -> bool:
        return (out / f"seed_{seed}.json").is_file()

    if asked is None:
        return next(seed for seed in count(TRAIN_SEEDS.start) if not recorded(seed))
    seeds = parse_seeds(asked, get_task(task))
    if len(seeds) != 1:
        raise ConfigError(f"seed: expected one seed, got {asked!r}; a person plays one at a time")
    if recorded(seeds[0]):
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
