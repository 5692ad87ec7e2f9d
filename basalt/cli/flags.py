"""Commands with flags: options that several share, and usage errors of one line."""

import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from basalt.cli import USAGE_ERROR

Store = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|URL",
        help="The leaderboard, an SQLite file or a database URL (default: "
        "runs/demo/leaderboard.sqlite if it exists, else runs/leaderboard.sqlite).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")]
Study = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the study (default: the newest).")
]
Proxy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address or network of a reverse proxy, whose X-Forwarded-For and -Proto are believed; may be repeated.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, metavar="N", help="Number of processes.")]
Folder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results.")]


def app(summary: str) -> typer.Typer:
    """A command with subcommands."""
    return typer.Typer(help=summary, add_completion=False, rich_markup_mode=None)


def run(
    name: str,
    command: typer.Typer | Callable[..., int],
    argv: Sequence[str],
    several: Sequence[str] = (),
) -> int:
    """Run a command; returns the exit status that its function returns.

    Args:
        name: Name of the command, after `basalt`.
        command: Function with annotated options, or an app of subcommands.
        argv: Arguments behind the name.
        several: Flags that take several values (`--players random bc`) or may be repeated.

    Raises:
        SystemExit: Wrong usage, which is printed in one line; status 2.
    """
    if not isinstance(command, typer.Typer):
        function, command = command, app("")
        command.command()(function)
    try:
        status: Any = typer.main.get_command(command).main(
            args=_repeated(argv, several), prog_name=f"basalt {name}", standalone_mode=False
        )
    except Exception as err:
        # Typer has these from click, whose exceptions it does not export.
        if (message := getattr(err, "format_message", None)) is None:
            raise
        text = " ".join(message().split()).rstrip(".")
        text = text if text.endswith("?") else f"{text};"
        print(f"basalt {name}: {text} see basalt {name} --help", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None
    except SystemExit:
        # What click makes of a reader that has gone (head, less), which is not a failure.
        if type(sys.stdout).__name__ != "PacifyFlushWrapper":
            raise
        sys.stdout = sys.__stdout__
        raise BrokenPipeError from None
    return int(status or 0)


def _repeated(argv: Sequence[str], several: Sequence[str]) -> list[str]:
    """`--players random bc` as `--players random --players bc`."""
    arguments: list[str] = []
    flag = ""
    for argument in argv:
        if argument.startswith("-"):
            flag = argument
        elif flag in several and arguments[-1] != flag:
            arguments.append(flag)
        arguments.append(argument)
    return arguments


def choice(names: Collection[str]) -> Callable[[str | None], str | None]:
    """Callback of an option that takes one of these names; a registry may get names until it is called."""
    from basalt.core.settings import unknown_option

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(unknown_option("", value, list(names)).removeprefix(": "))
        return value

    return check


def settings_as_flags(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """`key=value` as `--key value`, which `basalt data` took before all its settings were flags."""
    arguments: list[str] = []
    for argument in argv:
        found = re.fullmatch(r"([a-z_]+)=(.*)", argument, re.DOTALL)
        if found and found[1] in names:
            arguments += [f"--{found[1].replace('_', '-')}", found[2]]
        else:
            arguments.append(argument)
    return arguments
