"""`basalt bench NAME`: one measurement, printed as one JSON object.

Its keys: `name`, `figures`, `peer` (what it is compared with, measured in the same run, or a target),
`ratio` (above 1: ahead of the peer; null, with the reason in `peer`, where the peer is missing) and
`machine`.
"""

import importlib.util
import json
from collections.abc import Callable
from importlib import import_module

import typer

from basalt.cli.flags import app, run
from basalt.io.errors import ConfigError

BENCHMARKS = {
    "embed": ("benchmarks.embed", "frames per second from recordings to embeddings, 1x policy"),
    "decode": ("benchmarks.decode", "training frames per second from recordings on disk"),
    "data": ("benchmarks.data", "start and shuffling of training on data of BEDD's size"),
    "minerl": ("benchmarks.minerl", "speed of the client of MineRL's Minecraft"),
    "rating": ("benchmarks.rating", "speed of ratings, their intervals and the next pair"),
    "leaderboard": (
        "benchmarks.leaderboard",
        "a leaderboard at size on PostgreSQL: waits, tables, exports, a killed process",
    ),
    "ui": ("benchmarks.ui", "raters' waiting times in the judging app and over the API"),
    "search": ("benchmarks.search", "time and recall of a search among a million latents"),
    "sae": ("benchmarks.sae", "speed and quality of sparse autoencoders beside their peers"),
    "patching": (
        "benchmarks.patching",
        "how well fast estimates of activation patching find what it finds, and what it costs",
    ),
    "world": ("benchmarks.world", "speed and determinism of the embedded world"),
}
"""Module with `run(argv) -> dict` of all keys but `machine`, and what it measures. By name: benchmarks are not
part of the installed package."""


def main(argv: list[str]) -> int:
    """Run `basalt bench NAME ARGUMENTS`; returns the exit status.

    Raises:
        ConfigError: There is no such benchmark, or this is not a checkout of the repository.
    """
    return run("bench", bench, argv)


bench = app("Measure; prints one JSON object.")


def _benchmark(name: str) -> Callable[..., int]:
    def benchmark(arguments: typer.Context) -> int:
        if importlib.util.find_spec("benchmarks") is None:
            raise ConfigError(
                "bench: benchmarks come with the repository, not with the package; run this in a checkout"
            )
        machine = import_module("benchmarks.machine").machine()
        result = import_module(BENCHMARKS[name][0]).run(arguments.args)
        print(json.dumps(result | {"machine": machine}, indent=1))
        return 0

    return benchmark


for _name, (_, _what) in BENCHMARKS.items():
    bench.command(
        _name,
        help=f"{_what[0].upper()}{_what[1:]}.",
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(_benchmark(_name))
