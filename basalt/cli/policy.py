"""``basalt policy``: OpenAI's published policies and their inverse dynamics model."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from basalt.data.download import Downloader
from basalt.io.errors import ConfigError
from basalt.policies.catalogue import MODELS_FOLDER, PUBLISHED, policies_dir, published


def main(argv: list[str]) -> int:
    """Run ``basalt policy ARGUMENTS``; returns the exit status.

    Raises:
        BasaltError: an unknown name, a file that cannot be used, a video that cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="basalt policy",
        description="OpenAI's published policies and their inverse dynamics model.",
        epilog=f"published names: {', '.join(PUBLISHED)}",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=summary, description=summary)
        sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
        sub.add_argument("--quiet", action="store_true", help="no progress bars")
        return sub

    get = action(
        "download", "fetch published files; the same command goes on after an interruption"
    )
    get.add_argument("names", nargs="+", metavar="NAME", help="e.g. foundation-1x, idm")
    get.add_argument("--out", help="folder; that in which commands look if not given")
    get.add_argument("--source", default=MODELS_FOLDER, help="a mirror of OpenAI's folder")
    get.add_argument("--dry-run", action="store_true", help="say how much it is")
    look = action("info", "what a policy is, and whether its files are whole")
    look.add_argument("source", help="a run, a checkpoint, a .weights file or a published name")
    label = action(
        "label", "make recordings of plain videos: action labels by the inverse dynamics model"
    )
    label.add_argument("videos", nargs="+", metavar="VIDEO", help=".mp4 files, or folders of them")
    label.add_argument("--model", default="idm", help="idm, or MODEL,WEIGHTS")
    label.add_argument("--out", help="folder of the recordings; beside each video if not given")
    label.add_argument("--device", default="auto", help="auto, cpu, cuda")
    options = parser.parse_args(argv)
    return {"download": _download, "info": _info, "label": _label}[options.action](options)


def _download(options: argparse.Namespace) -> int:
    paths = [path for name in options.names for path in published(name).paths]
    downloader = Downloader(options.out or policies_dir(), progress=not options.quiet)
    source = options.source.rstrip("/")
    files = [(path, f"{source}/{path}") for path in dict.fromkeys(paths)]
    report = downloader.fetch(files, dry_run=options.dry_run)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{len(files)} files, {report.amounts}; {options.out or policies_dir()}")
        for url in report.missing:
            print(f"not on the server: {url}")
        for url, reason in report.failed.items():
            print(f"failed, the same command tries again: {url}: {reason}")
    return 1 if report.failed or report.missing else 0


def _info(options: argparse.Namespace) -> int:
    facts = policy_facts(options.source)
    if options.json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        print(f"{key:<24} {shown}")
    return 0


def policy_facts(source: str) -> dict[str, Any]:
    """JSON-ready: kind, parameters, sizes, SHA-256 of the weights, names missing and unexpected.

    Raises:
        ConfigError: nothing usable there.
    """
    import torch

    from basalt.policies.idm import load_official_idm
    from basalt.policies.official import read_model_file
    from basalt.policies.source import fingerprint, official_files, open_official, open_policy

    files = official_files(source)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    module: Any
    if files is None:
        kind, module = "checkpoint", open_policy(source, torch.device("cpu"))
    elif "conv3d_params" in read_model_file(files[0]).policy_kwargs:
        module, report = load_official_idm(*files)
        kind, missing, unexpected = "published idm", report.missing, report.unexpected
    else:
        module, report = open_official(source)
        kind, missing, unexpected = "published policy", report.missing, report.unexpected
    return {
        "source": source,
        "kind": kind,
        "parameters": sum(value.numel() for value in module.state_dict().values()),
        "sha256": fingerprint(module),
        "missing": list(missing),
        "unexpected": list(unexpected),
        **module.config.to_dict(),
    }


def _label(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from basalt.core.video import probe
    from basalt.policies.checkpoint import choose_device
    from basalt.policies.idm import load_official_idm
    from basalt.policies.label import label_video
    from basalt.policies.source import official_files

    videos = _videos(options.videos)
    files = official_files(options.model)
    if files is None:
        raise ConfigError(f"model: {options.model!r} is neither idm nor MODEL,WEIGHTS")
    device = choose_device(options.device)
    model, _ = load_official_idm(*files)
    model.to(device)
    written = []
    total = sum(max(probe(video).frames - 1, 0) for video in videos)
    with tqdm(total=total, desc="label", unit="frame", disable=options.quiet) as bar:
        for video in videos:
            out = Path(options.out) if options.out else video.parent
            written.append(
                label_video(
                    model,
                    video,
                    out,
                    size=model.config.frame_size,
                    device=device,
                    on_frames=lambda n: bar.update(n),
                )
            )
    if options.json:
        print(json.dumps({"labelled": [str(path) for path in written]}))
    else:
        print(
            f"{len(written)} videos labelled; {', '.join(sorted({str(p.parent) for p in written}))}"
        )
    return 0


def _videos(paths: list[str]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*.mp4") if not p.name.startswith("."))
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path}: no such video or folder")
    if not found:
        raise ConfigError(f"{', '.join(paths)}: no .mp4")
    return found
