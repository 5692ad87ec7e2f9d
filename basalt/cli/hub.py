"""`basalt hub`: publish and fetch recordings, policies, suites and boards."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from basalt.cli.flags import Json, Quiet, app, run

hub = app(
    "Publish recordings, policies, suites and comparisons at an address, and fetch what others published. An address is "
    "hf://USER/NAME, hf://datasets/USER/NAME, or any that fsspec knows: s3://, gs://, https:// (to fetch), file://."
)


def main(argv: list[str]) -> int:
    """Run `basalt hub ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: An address or a folder that cannot be used.
    """
    return run("hub", hub, argv)


Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="E.g. hf://USER/NAME.")]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="Folder of recordings, a run with a policy, a suite or a LeRobot dataset; or a file of comparisons.",
    ),
]
Licence = Annotated[
    str | None, typer.Option(metavar="NAME", help="Licence for the card, e.g. cc-by-4.0.")
]


@hub.command("publish")
def _publish(
    source: Source,
    address: Address,
    licence: Licence = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what was published there.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Publish a folder with a generated card. An interrupted publication is continued by the same command."""
    from basalt.hub.publish import publish

    found = publish(
        source, address, licence=licence, private=private, replace=replace, progress=not quiet
    )
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.kind}: {found.files} files, {found.bytes / 1e6:.1f} MB; {found.address}")
    return 0


@hub.command("fetch")
def _fetch(
    address: Address,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder (default: the copy that commands use)."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fetch what was published, or bring an earlier copy up to date. An interrupted fetch is resumed."""
    from basalt.core.published import copy_of, fetch

    folder = out or copy_of(address)
    manifest = fetch(address, folder, progress=not quiet)
    size = sum(file.bytes for file in manifest.files)
    if as_json:
        found = {"kind": manifest.kind, "files": len(manifest.files), "bytes": size}
        print(json.dumps(found | {"folder": str(folder)}))
    else:
        print(f"{manifest.kind}: {len(manifest.files)} files, {size / 1e6:.1f} MB; {folder}")
    return 0


@hub.command("card")
def _card(
    source: Source,
    address: Annotated[
        str, typer.Argument(metavar="[ADDRESS]", help="Where it will be.")
    ] = "hf://USER/NAME",
    licence: Licence = None,
) -> int:
    """Print the card that would be published."""
    from basalt.hub.cards import card
    from basalt.hub.contents import look_into

    print(card(look_into(source), address, licence), end="")
    return 0
