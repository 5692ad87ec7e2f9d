"""The `basalt` command. Each package is loaded only when a command that needs it runs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper

import basalt
from basalt.cli import INTERRUPTED, USAGE_ERROR, USER_ERROR
from basalt.io.atomic import is_full
from basalt.io.errors import BasaltError
from basalt.io.interrupts import keep_interrupts


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        summary: One line for the help.
        example: A command line that works.
        target: Function that takes the arguments and returns the exit status, `module:function`.
        extra: Extra of the distribution with the command's dependencies.
    """

    summary: str
    example: str
    target: str
    extra: str = ""

    def load(self) -> Callable[[list[str]], int]:
        """Import the command's function."""
        module, function = self.target.split(":")
        return getattr(import_module(module), function)


COMMANDS: dict[str, Command] = {
    "doctor": Command(
        "check what this machine can run, and how to install what is missing",
        "basalt doctor",
        "basalt.cli.doctor:main",
    ),
    "demo": Command(
        "run the whole loop, small, on the embedded world",
        "basalt demo --json summary.json",
        "basalt.cli.demo:main",
        "train,ui",
    ),
    "data": Command(
        "list, fetch, check and count the human demonstrations (BEDD)",
        "basalt data download --task find_cave --max-gb 5 --out bedd",
        "basalt.cli.data:main",
    ),
    "hub": Command(
        "publish recordings, policies, suites and comparisons, and fetch those of others",
        "basalt hub publish data/policies/find_cave-small hf://USER/NAME --licence mit",
        "basalt.cli.hub:main",
        "train,hub",
    ),
    "play": Command(
        "play in a window or a browser and be recorded, or replay a recording",
        "basalt play task=find_cave",
        "basalt.cli.play:main",
        "play",
    ),
    "policy": Command(
        "fetch and describe OpenAI's published policies; label videos with their model",
        "basalt policy download foundation-1x",
        "basalt.cli.policy:main",
        "train",
    ),
    "embed": Command(
        "embed recordings with a frozen policy, to train heads on the embeddings",
        "basalt embed policy=foundation-1x data=folder data.source=bedd out=embeddings",
        "basalt.cli.embed:main",
        "train",
    ),
    "record": Command(
        "record demonstrations of the scripted player on training seeds",
        "basalt record task=find_cave seeds=100000..100009 out=demos",
        "basalt.cli.record:main",
    ),
    "train": Command(
        "train an agent on demonstrations",
        "basalt train agent=bc task=find_cave data=sample out=runs/bc",
        "basalt.cli.train:main",
        "train",
    ),
    "rollout": Command(
        "let an agent play, and record it",
        "basalt rollout agent=bc checkpoint=runs/bc seeds=official out=rollouts/bc",
        "basalt.cli.rollout:main",
    ),
    "evaluate": Command(
        "let an agent play many seeds, alone or against another, with intervals and a verdict",
        "basalt evaluate agent=bc checkpoint=runs/bc seeds=dev:50 against=runs/evaluations/find_cave/random",
        "basalt.cli.evaluate:main",
    ),
    "feedback": Command(
        "ask people or a synthetic teacher about pairs of clips; check and join files of answers",
        "basalt feedback label task=find_cave recordings=rollouts/bc n=2000 teacher=mixed",
        "basalt.cli.feedback:main",
    ),
    "loop": Command(
        "play, ask people or a synthetic teacher, fit, improve, evaluate, round by round",
        "basalt loop task=find_cave init=runs/bc teacher=mixed improve=cpl rounds=3 out=runs/loop",
        "basalt.cli.loop:main",
        "train",
    ),
    "submit": Command(
        "enter a rollout into a study of the leaderboard",
        "basalt submit rollouts/bc --name my-agent",
        "basalt.cli.submit:submit_main",
        "leaderboard",
    ),
    "references": Command(
        "let the reference players play a study's seeds and enter them as opponents",
        "basalt references --study official --jobs 2",
        "basalt.cli.references:main",
        "train,leaderboard",
    ),
    "leaderboard": Command(
        "show the ratings, export the judgments, administer a study",
        "basalt leaderboard show",
        "basalt.cli.leaderboard:leaderboard_main",
        "leaderboard",
    ),
    "ui": Command(
        "serve the app in which people judge pairs and see the table",
        "basalt ui",
        "basalt.cli.ui:ui_main",
        "ui",
    ),
    "oversight": Command(
        "let a judge decide between recordings with the help of debaters who may be wrong, and measure it",
        "basalt oversight run task=find_cave recordings=sample truth=[made]",
        "basalt.cli.oversight:main",
    ),
    "safety": Command(
        "look for dangerous behaviour, with controls that must be caught",
        "basalt safety run plan=harm",
        "basalt.cli.safety:main",
    ),
    "probe": Command(
        "look inside a trained policy",
        "basalt probe sae checkpoint=runs/bc data=sample",
        "basalt.cli.probe:main",
        "train",
    ),
    "bench": Command(
        "measure speed and quality; prints one JSON object",
        "basalt bench world",
        "basalt.cli.bench:main",
    ),
}


def main() -> None:
    """Entry point of the console script."""
    status = 0
    keep_interrupts()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter gets an escape instead of an error.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            status = run(sys.argv[1:])
        finally:
            sys.stdout.flush()  # here, not as the interpreter ends, where nobody could catch it
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: not our failure, and nothing to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(argv: list[str]) -> int:
    """Run one command line (without the program's name); returns the exit status.

    0 on success, 1 on a problem that the user can fix (one line on stderr), 2 on wrong usage, 130
    when interrupted.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"basalt-benchmark {basalt.__version__}")
        return 0
    name, *rest = argv
    command = COMMANDS.get(name)
    if command is None:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean 'basalt {close[0]}'? " if close else ""
        print(f"basalt: unknown command {name!r}; {hint}see basalt --help", file=sys.stderr)
        return USAGE_ERROR
    # Before torch is loaded: on cores shared with a game engine, threads that spin while they wait for
    # one another made training five times slower than threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return command.load()(rest)
    except BasaltError as err:
        print(f"basalt {name}: {err}", file=sys.stderr)
        return USER_ERROR
    except ModuleNotFoundError as err:
        if err.name is None or err.name.split(".")[0] in _OUR_PACKAGES:
            raise
        # Only here: the help is to be instantaneous.
        from basalt.io.dependencies import how_to_install

        fix = how_to_install(err.name, command.extra)
        print(
            f"basalt {name}: missing dependency {err.name!r}; install it with: {fix}",
            file=sys.stderr,
        )
        return USER_ERROR
    except BrokenPipeError:
        raise
    except OSError as err:
        if err.errno is None:
            raise
        where = f"{err.filename}: " if err.filename else ""
        fix = "; free some space and run the same command to resume" if is_full(err) else ""
        print(f"basalt {name}: {where}{os.strerror(err.errno)}{fix}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"\nbasalt {name}: interrupted; run the same command to resume", file=sys.stderr)
        return INTERRUPTED
    except RuntimeError as err:
        from concurrent.futures import BrokenExecutor

        if not isinstance(err, BrokenExecutor):
            raise
        print(
            f"basalt {name}: a worker process was killed, perhaps for using too much memory; run the "
            "same command with fewer jobs",
            file=sys.stderr,
        )
        return USER_ERROR


EXPERIMENTS = (
    "play",
    "embed",
    "record",
    "train",
    "rollout",
    "evaluate",
    "feedback",
    "oversight",
    "safety",
    "probe",
)
"""Commands that are Hydra applications (`basalt.cli.hydra_app`)."""

_OUR_PACKAGES = ("basalt", "agents", "leaderboard", "eval_ui", "configs")


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        f"basalt-benchmark {basalt.__version__}: learning from human feedback in open worlds",
        "",
        "usage: basalt COMMAND ...        basalt COMMAND --help explains a command",
        "",
    ]
    for name, command in COMMANDS.items():
        lines.append(f"  {name:<{width}}  {command.summary}")
        lines.append(f"  {'':<{width}}    {command.example}")
    lines += [
        "",
        f"Experiments ({', '.join(EXPERIMENTS)}) take settings as",
        "key=value, and -m runs once for each of several values; all other commands take --flags.",
        "Tasks: find_cave make_waterfall create_village_animal_pen build_village_house.",
        "Seeds: official, dev:50, heldout:100, one number, [100001,100002] or 100000..100199.",
    ]
    return "\n".join(lines)
