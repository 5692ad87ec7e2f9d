"""`basalt demo`: the whole loop, small and real, on the embedded world."""

from pathlib import Path
from typing import Annotated

import typer

from basalt.cli.flags import Folder, run
from basalt.demo import Demo, check_machine, check_world_version, set_aside_finished
from basalt.io.atomic import write_json
from basalt.io.errors import BasaltError

DEFAULT_OUT = Path("runs/demo")


def main(argv: list[str]) -> int:
    """Run `basalt demo ARGUMENTS`; returns the exit status."""
    return run("demo", _demo, argv)


def _demo(
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a summary to this file.")
    ] = None,
    out: Folder = DEFAULT_OUT,
) -> int:
    """Run the whole loop, small, on the embedded world.

    Train an agent on the sample recordings, let it, a random agent and the scripted demonstrator play
    two official seeds of FindCave, rank them by telemetry, and probe the policy. The same command resumes
    an interrupted demo; a finished one is set aside.
    """
    if json and not json.resolve().parent.is_dir():
        raise BasaltError(f"--json {json}: its folder does not exist; make it first")
    check_machine(out)
    set_aside_finished(out)
    check_world_version(out)
    demo = Demo(out)
    demo.run()
    if json:
        write_json(json, demo.results)
    return 0
