"""`basalt data`: list, fetch, check and count BEDD's recordings; choose demonstrations."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from basalt.cli.flags import Jobs, Json, Quiet, app, run, settings_as_flags
from basalt.core.published import data_folder
from basalt.core.tasks import get_task
from basalt.io.atomic import replacing
from basalt.io.errors import ConfigError
from basalt.io.spreadsheet import write_csv

_SHOWN = 20
"""Number of recordings that a dry run names; `--json` names all."""

_TABLE_SUFFIXES = (".parquet", ".csv")


def _table_file(value: Path | None) -> Path | None:
    if value is not None and value.suffix not in _TABLE_SUFFIXES:
        raise ConfigError(f"--out: expected a .parquet or .csv file, got {value}")
    return value


data = app("List, fetch, check and count BEDD's recordings; choose demonstrations.")

Tasks = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Tasks, comma-separated (default: all four).")
]
Index = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Folder of the index files (default: the official one)."),
]
Local = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with copies of the index files.")
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", callback=_table_file, help="Table to write, .parquet or .csv."
    ),
]
Recordings = Annotated[
    str, typer.Argument(metavar="FOLDER", help="Folder of recordings, or sample.")
]


def main(argv: list[str]) -> int:
    """Run `basalt data ARGUMENTS`; returns the exit status.

    Raises:
        BasaltError: A value or a recording that cannot be used.
    """
    former = ("task", "index", "max_gb", "n", "sessions", "seed", "out", "source", "jobs", "labels")
    # `data=FOLDER` was another way to give the folder.
    argv = [arg.removeprefix("data=") for arg in argv]
    return run("data", data, settings_as_flags(argv, former))


@data.command("catalogue")
def _catalogue(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of recordings or of embeddings.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Catalogue to write (default: FOLDER/plays.parquet)."),
    ] = None,
    labels: Annotated[
        str, typer.Option(metavar="RULES", help="Labelling rules: corrected or legacy.")
    ] = "corrected",
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> int:
    """List all plays in one file, with labels and digests, so that training reads them from any address."""
    from basalt.data.catalogue import NAME, is_catalogue, write_catalogue
    from basalt.data.labels import label_mode

    if out is not None and not is_catalogue(out):
        raise ConfigError(f"--out: expected a .parquet file, got {out}")
    facts = write_catalogue(folder, out, labels=label_mode(labels), jobs=jobs, progress=not quiet)
    print(f"{facts.frames:,} frames: {out or folder / NAME}")
    return 0


@data.command("index")
def _index(
    task: Tasks = None,
    index: Index = None,
    local: Local = None,
    out: Table = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """List the recordings that exist."""
    table = _load_index(task, index, local)
    from basalt.data.bedd import index_summary

    summary = index_summary(table)
    if out:
        _write_table(table, out)
    if as_json:
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


def _load_index(task: str | None, index: str | None, local: Path | None) -> pd.DataFrame:
    from basalt.data.bedd import INDEX_FOLDER, load_index

    tasks = [get_task(name) for name in task.split(",")] if task else None
    return load_index(tasks, local=local, folder=index or INDEX_FOLDER)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        if path.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            write_csv(table, partial)


@data.command("download")
def _download(
    task: Tasks = None,
    index: Index = None,
    local: Local = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Target: a folder or any fsspec address.")
    ] = "bedd",
    max_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Fetch at most this many gigabytes.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", help="Fetch at most this many recordings.")
    ] = None,
    sessions: Annotated[
        str | None, typer.Option(metavar="N|NAMES", help="Number of sessions, or their names.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw of recordings.")] = 0,
    source: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Mirror that has FOLDER/NAME.mp4 and .jsonl."),
    ] = None,
    jobs: Jobs = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fetch recordings, some or all. The same command resumes an interrupted download."""
    from basalt.data.download import Downloader, choose_plays

    if not task and max_gb is None and n is None and sessions is None:
        raise ConfigError(
            "all four tasks are 650 GB; give --task, --max-gb, --n or --sessions "
            "(--task find_cave,make_waterfall,... names them all)"
        )
    table = _load_index(task, index, local)
    chosen = None if sessions is None else _count_or_names(sessions)
    plays = choose_plays(table, sessions=chosen, seed=seed)
    downloader = Downloader(out, source=source, jobs=jobs, progress=not quiet)
    report = downloader.run(plays, recordings=n, max_gb=max_gb, dry_run=dry_run)
    if as_json:
        print(json.dumps(asdict(report)))
        return 1 if report.failed else 0
    if report.dry_run:
        for name in report.recordings[:_SHOWN]:
            print(name)
        if len(report.recordings) > _SHOWN:
            print(f"... and {len(report.recordings) - _SHOWN} more")
    print(f"{len(report.recordings)} recordings, {report.amounts}")
    for line in report.problems():
        print(line)
    return 1 if report.failed else 0


def _count_or_names(value: str) -> int | list[str]:
    if value.strip().isdecimal():
        return int(value)
    return [name for name in value.strip("[] ").replace(" ", "").split(",") if name]


@data.command("validate")
def _validate(
    folder: Recordings,
    out: Table = None,
    jobs: Jobs = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Count frames without decoding them.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check every recording; broken ones are listed, and loaders skip them."""
    from basalt.core.recording_checks import WARNING_KINDS
    from basalt.data.bedd import QUARANTINE_FILE
    from basalt.data.validate import findings_summary, findings_table, validate

    findings = validate(data_folder(folder), decode=not quick, jobs=jobs, progress=not quiet)
    summary = findings_summary(findings)
    if out:
        _write_table(findings_table(findings), out)
    if as_json:
        print(json.dumps(summary))
        return 0
    for finding in findings:
        if finding.faults:
            print(finding.name)
        for kind, details in finding.faults:
            print(f"  {kind}: {details}")
    for kind, count in summary["warnings"].items():
        first, details = next(
            (finding.name, dict(finding.warnings)[kind])
            for finding in findings
            if kind in dict(finding.warnings)
        )
        among = f"{count} of {summary['recordings']} recordings"
        print(f"warning: {kind}: {WARNING_KINDS[kind]}: {among}; {first}: {details}")
    print(
        f"{summary['recordings']} recordings, {summary['lines']} steps: {summary['sound']} sound, "
        f"{summary['broken']} broken"
        + (f" and listed in {data_folder(folder) / QUARANTINE_FILE}" if summary["broken"] else "")
    )
    return 0


@data.command("analyse")
def _analyse(
    folder: Recordings,
    labels: Annotated[
        str, typer.Option(help="Labelling rules, corrected or legacy.")
    ] = "corrected",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for tables and plots.")
    ] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Write tables only.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Analyse demonstrations or any recordings: lengths, actions, what players do and when, camera, endings, null steps."""
    from basalt.data.bedd import find_plays
    from basalt.data.labels import label_mode
    from basalt.data.stats import (
        ACTIVITIES,
        activity_table,
        camera_histogram,
        play_table,
        summarise,
        write_tables,
    )

    plays = find_plays(data_folder(folder))
    table = play_table(plays, label_mode(labels), progress=not quiet)
    by_task, by_player = summarise(table), summarise(table, ["task", "player"])
    written = []
    if out:
        written = write_tables(table, out)
        if not no_plots:
            from basalt.data.plots import write_plots

            written += write_plots(table, out)
    if as_json:
        (total,) = summarise(table, []).to_dict("records")
        content = {
            "total": total,
            "tasks": by_task.to_dict("records"),
            "players": by_player.to_dict("records"),
            "camera": camera_histogram(table).to_dict("records"),
            "activities": activity_table(table).to_dict("records"),
            "files": [str(path) for path in written],
        }
        print(json.dumps(content))
        return 0
    shown = [column for column in by_player if "." not in str(column)]
    print(by_player[shown].to_string(index=False))
    for prefix, what in (
        ("share.", "share of steps in which it is held"),
        ("per_minute.", "how often it goes down in a minute"),
    ):
        found = by_task.set_index("task").filter(like=prefix).T
        found.index = found.index.str.removeprefix(prefix)
        print(f"\n{what}")
        print(found[found.sum(axis=1) > 0].to_string())
    done = activity_table(table)
    steps = done.pivot_table(index="activity", columns="task", values="steps", aggfunc="sum")
    print("\nwhat players do, share of steps")
    print((steps / steps.sum()).loc[list(ACTIVITIES)].round(5).to_string())
    for path in written:
        print(path)
    return 0


@data.command("select")
def _select(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Recordings.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Gather the recordings that succeed at their task by telemetry, to learn from them alone."""
    from basalt.data.select import select_successful

    found = select_successful(map(data_folder, folders), out)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(
            f"{found.kept} recordings that succeed in {out}; left out: {found.failed} that fail, "
            f"{found.unknown} that telemetry cannot score"
        )
    return 0


@data.command("lerobot")
def _lerobot(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Recordings.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write recordings as a LeRobot dataset (v3.0), for libraries that read those."""
    from basalt.data.lerobot import export_lerobot

    found = export_lerobot(map(data_folder, folders), out, progress=not quiet)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.episodes} episodes, {found.steps} steps, tasks: {found.tasks}; {out}")
    return 0


@data.command("labels-report")
def _labels_report(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files or folders of recorder lines.")
    ],
    out: Table = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Measure what the published labels lose on these files."""
    from basalt.data.labels import labels_report, line_files, report_summary

    table = labels_report(line_files(paths))
    summary = report_summary(table)
    if out:
        _write_table(table, out)
    if as_json:
        print(json.dumps(summary | {"by_file": table.to_dict("records")}))
        return 0

    def percent(key: str) -> str:
        return "none" if summary[key] is None else f"{100 * summary[key]:.1f}%"

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
