"""``basalt data``: find, fetch, check and count BEDD's recordings."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from basalt.core.tasks import get_task
from basalt.io.atomic import replacing
from basalt.io.errors import ConfigError

Settings = dict[str, Any]

_SHOWN = 20
"""Recordings that a dry run names; --json names all."""


@dataclass(frozen=True)
class _Action:
    """One subcommand.

    Attributes:
        run: does it; returns the exit status.
        summary: what it is for.
        example: a command line that works.
        settings: ``key=value`` arguments: how to read the value, and what it means.
        flags: ``--name`` arguments and what they mean.
        paths: what plain arguments are; "" where there are none.
    """

    run: Callable[[Settings], int]
    summary: str
    example: str
    settings: Mapping[str, tuple[Callable[[str], Any], str]]
    flags: Mapping[str, str] = field(default_factory=dict)
    paths: str = ""


def main(argv: list[str]) -> int:
    """Run ``basalt data ARGUMENTS``; returns the exit status.

    Raises:
        ConfigError: an unknown setting, or a value that makes no sense.
    """
    parser = argparse.ArgumentParser(
        prog="basalt data", description="Find, fetch, check and count BEDD's recordings."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in _ACTIONS.items():
        settings = [f"  {key}=  {meaning}" for key, (_, meaning) in action.settings.items()]
        sub = actions.add_parser(
            name,
            help=action.summary,
            description=action.summary,
            epilog="\n".join(["settings:", *settings, "", f"example: {action.example}"]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("arguments", nargs="*", metavar=action.paths or "key=value")
        sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
        sub.add_argument("--quiet", action="store_true", help="no progress bars")
        for flag, meaning in action.flags.items():
            if flag == "local":
                sub.add_argument("--local", metavar="DIR", help=meaning)
            else:
                sub.add_argument(f"--{flag}", action="store_true", help=meaning)
    # Settings may stand among the flags, which argparse alone does not allow.
    parsed, more = parser.parse_known_args(argv)
    if unknown := [argument for argument in more if argument.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}")
    options = vars(parsed)
    action = _ACTIONS[options.pop("action")]
    arguments = [*options.pop("arguments"), *more]
    return action.run(options | _read_arguments(action, arguments))


def _read_arguments(action: _Action, arguments: Sequence[str]) -> Settings:
    settings: Settings = dict.fromkeys(action.settings) | {"paths": []}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key.isidentifier():
            if not action.paths:
                raise ConfigError(f"{argument!r} is not key=value; example: {action.example}")
            settings["paths"].append(argument)
            continue
        if key not in action.settings:
            close = get_close_matches(key, action.settings, n=1)
            hint = f"did you mean {close[0]}=? " if close else ""
            known = ", ".join(action.settings) or "none"
            raise ConfigError(f"{key}: no such setting; {hint}known: {known}")
        try:
            settings[key] = action.settings[key][0](value)
        except ValueError as err:
            raise ConfigError(f"{key}: {value!r} is not {action.settings[key][1]}") from err
    return settings


def _count_or_names(value: str) -> int | list[str]:
    if value.strip().isdecimal():
        return int(value)
    return [name for name in value.strip("[] ").replace(" ", "").split(",") if name]


def _at_least_one(value: str) -> int:
    if int(value) < 1:
        raise ValueError(value)
    return int(value)


def _table_file(value: str) -> Path:
    if Path(value).suffix not in _TABLE_SUFFIXES:
        raise ValueError(value)
    return Path(value)


def _index(settings: Settings) -> int:
    table = _load_index(settings)
    from basalt.data.bedd import index_summary

    summary = index_summary(table)
    if settings["out"]:
        _write_table(table, settings["out"])
    if settings["json"]:
        print(json.dumps(summary))
        return 0
    rows = pd.DataFrame(summary["tasks"]).T
    plays = table.groupby("task")["play"].nunique()
    rows["plays"] = [plays[task] for task in rows.index]
    rows["players"] = [table[table["task"] == task]["alias"].nunique() for task in rows.index]
    print(rows.to_string())
    sessions = sum(task["sessions"] for task in summary["tasks"].values())
    print(f"{summary['recordings']} recordings, {sessions} sessions, {plays.sum()} plays")
    return 0


def _load_index(settings: Settings) -> pd.DataFrame:
    from basalt.data.bedd import INDEX_FOLDER, load_index

    tasks = None
    if settings["task"]:
        tasks = [get_task(name) for name in settings["task"].split(",")]
    return load_index(tasks, local=settings["local"], folder=settings["index"] or INDEX_FOLDER)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        if path.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)


def _download(settings: Settings) -> int:
    from basalt.data.download import Downloader, choose_plays

    if not settings["task"] and all(
        settings[limit] is None for limit in ("max_gb", "n", "sessions")
    ):
        raise ConfigError(
            "all four tasks are 650 GB; give task=, max_gb=, n= or sessions= "
            "(task=find_cave,make_waterfall,... names them all)"
        )
    table = _load_index(settings)
    plays = choose_plays(table, sessions=settings["sessions"], seed=settings["seed"] or 0)
    downloader = Downloader(
        settings["out"] or "bedd",
        source=settings["source"],
        jobs=settings["jobs"] or 8,
        progress=not settings["quiet"],
    )
    report = downloader.run(
        plays,
        recordings=settings["n"],
        max_gb=settings["max_gb"],
        dry_run=settings["dry_run"],
    )
    if settings["json"]:
        print(json.dumps(asdict(report)))
        return 1 if report.failed else 0
    if report.dry_run:
        for name in report.recordings[:_SHOWN]:
            print(name)
        if len(report.recordings) > _SHOWN:
            print(f"... and {len(report.recordings) - _SHOWN} more")
    print(f"{len(report.recordings)} recordings, {report.amounts}")
    for url in report.missing:
        print(f"not on the server, skipped: {url}")
    failure = "size unknown" if report.dry_run else "failed, the same command tries again"
    for url, reason in report.failed.items():
        print(f"{failure}: {url}: {reason}")
    return 1 if report.failed else 0


def _validate(settings: Settings) -> int:
    from basalt.data.bedd import QUARANTINE_FILE
    from basalt.data.validate import findings_summary, findings_table, validate

    folder = _one_folder(settings)
    findings = validate(
        folder,
        decode=not settings["quick"],
        jobs=settings["jobs"] or 1,
        progress=not settings["quiet"],
    )
    summary = findings_summary(findings)
    if settings["out"]:
        _write_table(findings_table(findings), settings["out"])
    if settings["json"]:
        print(json.dumps(summary))
        return 0
    for finding in findings:
        if finding.faults:
            print(finding.name)
        for kind, details in finding.faults:
            print(f"  {kind}: {details}")
    print(
        f"{summary['recordings']} recordings, {summary['lines']} steps: {summary['sound']} sound, "
        f"{summary['broken']} broken"
        + (f" and listed in {folder / QUARANTINE_FILE}" if summary["broken"] else "")
    )
    return 0


def _stats(settings: Settings) -> int:
    from basalt.data.bedd import find_plays
    from basalt.data.labels import label_mode
    from basalt.data.stats import (
        camera_histogram,
        play_table,
        summarise,
        write_tables,
    )

    table = play_table(
        find_plays(_one_folder(settings)),
        label_mode(settings["labels"] or "corrected"),
        progress=not settings["quiet"],
    )
    by_task, by_player = summarise(table), summarise(table, ["task", "player"])
    written = []
    if settings["out"]:
        written = write_tables(table, Path(settings["out"]))
        if not settings["no_plots"]:
            from basalt.data.plots import write_plots

            written += write_plots(table, Path(settings["out"]))
    if settings["json"]:
        (total,) = summarise(table, []).to_dict("records")
        content = {
            "total": total,
            "tasks": by_task.to_dict("records"),
            "players": by_player.to_dict("records"),
            "camera": camera_histogram(table).to_dict("records"),
            "files": [str(path) for path in written],
        }
        print(json.dumps(content))
        return 0
    shown = [column for column in by_player if not str(column).startswith("share.")]
    print(by_player[shown].to_string(index=False))
    held = by_task.set_index("task").filter(like="share.").T
    held.index = held.index.str.removeprefix("share.")
    print("\nshare of steps in which it is held")
    print(held[held.sum(axis=1) > 0].to_string())
    for path in written:
        print(path)
    return 0


def _labels_report(settings: Settings) -> int:
    from basalt.data.labels import labels_report, line_files, report_summary

    if not settings["paths"]:
        raise ConfigError("labels-report: give files or folders of recorder lines")
    table = labels_report(line_files(settings["paths"]))
    summary = report_summary(table)
    if settings["out"]:
        _write_table(table, settings["out"])
    if settings["json"]:
        print(json.dumps(summary | {"by_file": table.to_dict("records")}))
        return 0

    def percent(key: str) -> str:
        return "none" if summary[key] is None else f"{100 * summary[key]:.1f} %"

    print(f"{summary['files']} files, {summary['lines']} lines. The published labels lose:")
    for key, what, of in (
        ("share_camera_components_lost", "of the camera components", "camera_nonzero"),
        ("share_moving_frames_made_still", "of the frames with camera movement", "frames_moved"),
        ("share_hotbar_presses_lost", "of the hotbar presses", "hotbar_presses"),
    ):
        print(f"  {percent(key):>7} {what} ({summary[of]} in all)")
    print(
        f"They put {summary['hotbar_spurious']} presses where no slot changed, and keep "
        f"{summary['esc_inside']} ESC inside a play.\n"
        f"Attack seemed held in {summary['stuck_lines']} lines (corrected by both). Null steps: "
        f"{percent('share_null_raw')} by their rule, {percent('share_null_corrected')} by ours."
    )
    return 0


def _one_folder(settings: Settings) -> Path:
    given = [*settings["paths"], *([settings["data"]] if settings["data"] else [])]
    if len(given) != 1:
        raise ConfigError("give one folder of recordings, e.g. data=bedd")
    if given[0] == "sample":
        from basalt.io.paths import sample_dir

        return sample_dir()
    return Path(given[0])


_WHICH = {
    "task": (str, "names of tasks, comma-separated; all four if not given"),
    "index": (str, "address of the folder with the index files; the official one if not given"),
}
_LOCAL = {"local": "folder with copies of the index files"}
_TABLE_SUFFIXES = (".parquet", ".csv")
_TABLE = {"out": (_table_file, "a file for the table, .parquet or .csv")}

_ACTIONS: dict[str, _Action] = {
    "index": _Action(
        _index,
        "list the recordings there are",
        "basalt data index out=index.parquet",
        {**_WHICH, **_TABLE},
        _LOCAL,
    ),
    "download": _Action(
        _download,
        "fetch recordings, some or all; the same command goes on after an interruption",
        "basalt data download task=find_cave max_gb=5 out=bedd",
        {
            **_WHICH,
            "max_gb": (float, "a number of gigabytes: fetch at most so many"),
            "n": (int, "a number of recordings: fetch at most so many"),
            "sessions": (_count_or_names, "a number of sessions, or their names, comma-separated"),
            "seed": (int, "a whole number: another one draws other recordings"),
            "out": (str, "target: a folder or any fsspec address; bedd if not given"),
            "source": (str, "a mirror's address, holding FOLDER/NAME.mp4 and .jsonl"),
            "jobs": (_at_least_one, "a number of recordings fetched side by side; 8 if not given"),
        },
        _LOCAL | {"dry-run": "say what would be fetched, and how much"},
    ),
    "validate": _Action(
        _validate,
        "check every recording; broken ones are listed, and loaders skip them",
        "basalt data validate bedd jobs=4",
        {
            "data": (str, "folder of recordings"),
            "jobs": (_at_least_one, "a number of processes; 1 if not given"),
            **_TABLE,
        },
        {"quick": "count frames without decoding them"},
        "FOLDER",
    ),
    "stats": _Action(
        _stats,
        "lengths, actions, camera, endings and null steps, per task and player",
        "basalt data stats bedd out=stats",
        {
            "data": (str, "folder of recordings"),
            "labels": (str, "corrected (if not given), or legacy"),
            "out": (str, "folder for tables and plots"),
        },
        {"no-plots": "tables only"},
        "FOLDER",
    ),
    "labels-report": _Action(
        _labels_report,
        "what the published labels lose on these files",
        "basalt data labels-report bedd/find_cave",
        _TABLE,
        paths="PATH",
    ),
}
