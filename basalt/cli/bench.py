"""``basalt bench NAME``: one measurement, printed as one JSON object.

Its keys: ``name``, ``figures``, ``peer`` (what it is compared with, measured in the same run, or a
target), ``ratio`` (above 1: ahead of the peer; null with the reason in ``peer`` where the peer is not
there) and ``machine``.
"""

import argparse
import importlib.util
import json
from difflib import get_close_matches
from importlib import import_module

from basalt.io.errors import ConfigError

BENCHMARKS = {
    "embed": ("benchmarks.embed", "frames per second from recordings to embeddings, 1x policy"),
    "decode": ("benchmarks.decode", "training frames per second from recordings on disk"),
    "minerl": ("benchmarks.minerl", "speed of the client of MineRL's Minecraft"),
    "rating": ("benchmarks.rating", "speed of the ratings' intervals by bootstrap"),
    "ui": ("benchmarks.ui", "raters' waiting times in the judging app and over the API"),
    "sae": ("benchmarks.sae", "speed and quality of sparse autoencoders beside their peers"),
    "world": ("benchmarks.world", "speed and determinism of the embedded world"),
}
"""Module with ``run(argv) -> dict`` of all keys but ``machine``, and what it measures. By name: benchmarks are not
part of the installed package."""


def main(argv: list[str]) -> int:
    """Run one benchmark.

    Raises:
        ConfigError: no such benchmark.
    """
    listing = "\n".join(f"  {name:<10} {what}" for name, (_, what) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="basalt bench",
        description="Measure; prints one JSON object.",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="what to measure")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="the benchmark's own arguments")
    options = parser.parse_args(argv)
    if options.name not in BENCHMARKS:
        close = get_close_matches(options.name, BENCHMARKS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"bench: unknown benchmark {options.name!r}; {hint}known: {', '.join(BENCHMARKS)}"
        )
    module, _ = BENCHMARKS[options.name]
    if importlib.util.find_spec("benchmarks") is None:
        raise ConfigError(
            "bench: benchmarks come with the repository, not with the package; run this in a checkout"
        )
    machine = import_module("benchmarks.machine").machine()
    print(json.dumps(import_module(module).run(options.rest) | {"machine": machine}, indent=1))
    return 0
