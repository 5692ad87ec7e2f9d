"""`basalt policy`: OpenAI's published policies and their inverse dynamics model, and policies to share."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from basalt.cli.flags import Json, Quiet, app, run
from basalt.core.recording import files_below
from basalt.data.download import Downloader
from basalt.io.errors import ConfigError
from basalt.policies.catalogue import MODELS_FOLDER, PUBLISHED, policies_dir, published

policy = app(
    "OpenAI's published policies and their inverse dynamics model; policies of your own to share. "
    f"Published names: {', '.join(PUBLISHED)}."
)


def main(argv: list[str]) -> int:
    """Run `basalt policy ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: An unknown name, or a file or video that cannot be used.
    """
    return run("policy", policy, argv)


@policy.command("download")
def _download(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="E.g. foundation-1x, idm.")],
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder (default: the one in which commands look)."),
    ] = None,
    source: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Mirror of OpenAI's folder.")
    ] = MODELS_FOLDER,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much would be fetched.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fetch published files. The same command resumes an interrupted download."""
    paths = [path for name in names for path in published(name).paths]
    folder = out or policies_dir()
    files = [(path, f"{source.rstrip('/')}/{path}") for path in dict.fromkeys(paths)]
    report = Downloader(folder, progress=not quiet).fetch(files, dry_run=dry_run)
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{len(files)} files, {report.amounts}; {folder}")
        for line in report.problems():
            print(line)
    return 1 if report.failed or report.missing else 0


@policy.command("info")
def _info(
    source: Annotated[
        str, typer.Argument(help="A run, a checkpoint, a .weights file or a published name.")
    ],
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Describe a policy, and say whether its files are complete."""
    from basalt.policies.facts import policy_facts

    facts = policy_facts(source)
    if as_json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        print(f"{key:<24} {shown}")
    return 0


@policy.command("pack")
def _pack(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run of bc, dagger or hybrid, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder.")],
    ending: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The stopping head that goes with it.")
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="The run of agent=search whose demonstrations it embedded."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Make a small copy of a policy to share: half precision, without what only training needs."""
    from agents.hybrid.pack import is_hybrid, pack_hybrid
    from agents.search.pack import check_embedded, pack_index
    from basalt.policies.pack import ENDING, SEARCH, pack

    name = "hybrid" if is_hybrid(source) else "bc"
    if search:
        check_embedded(search, source)
    folder = pack_hybrid(source, out, ending) if name == "hybrid" else pack(source, out, ending)
    if search:
        pack_index(search, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if as_json:
        print(json.dumps({"out": str(folder), "bytes": size}))
    else:
        stop = f" agent.stop={folder / ENDING}" if ending else ""
        print(f"{size / 1e6:.1f} MB; it plays as agent={name} checkpoint={folder}{stop}")
        if search:
            print(f"and follows demonstrations as agent=search checkpoint={folder / SEARCH}{stop}")
    return 0


@policy.command("label")
def _label(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO...", help=".mp4 files, or folders of them.")
    ],
    model: Annotated[str, typer.Option(help="idm, or MODEL,WEIGHTS.")] = "idm",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the recordings (default: beside each video)."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Make recordings of plain videos: action labels by the inverse dynamics model."""
    from basalt.core.video import probe
    from basalt.io.console import progress_bar
    from basalt.policies.checkpoint import choose_device
    from basalt.policies.idm import load_official_idm
    from basalt.policies.label import label_video
    from basalt.policies.source import official_files

    found = files_below(videos, ".mp4")
    files = official_files(model, "--model")
    if files is None:
        raise ConfigError(f"--model: expected idm or MODEL,WEIGHTS, got {model!r}")
    on = choose_device(device)
    idm, _ = load_official_idm(*files)
    idm.to(on)
    total = sum(max(probe(video).frames - 1, 0) for video in found)
    with progress_bar(total=total, title="label", unit="frame", shown=not quiet) as bar:
        written = [
            label_video(
                idm,
                video,
                out or video.parent,
                size=idm.config.frame_size,
                device=on,
                on_frames=lambda n: bar.update(n),
            )
            for video in found
        ]
    if as_json:
        print(json.dumps({"labelled": [str(path) for path in written]}))
    else:
        print(
            f"{len(written)} videos labelled; {', '.join(sorted({str(p.parent) for p in written}))}"
        )
    return 0
