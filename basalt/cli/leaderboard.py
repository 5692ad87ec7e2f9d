"""What ``basalt submit`` and ``basalt leaderboard`` do.

Each takes its command line and returns the exit status; a user's mistake is raised as
:class:`basalt.io.errors.BasaltError`, which the command line prints as one line.
"""

import argparse
import dataclasses
import getpass
import json
import sys
from pathlib import Path

from basalt.io.errors import StudyError
from leaderboard.bedd.answers import read_answers, read_banned
from leaderboard.bedd.study import STUDY_NAME, export_bedd, import_bedd
from leaderboard.bedd.videos import add_videos
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bootstrap import REPLICATES
from leaderboard.ratings.html_report import write_page
from leaderboard.ratings.models import RATING_MODELS
from leaderboard.ratings.planning import SPREAD, plan, text_plan
from leaderboard.ratings.ranking import digest, rate
from leaderboard.ratings.tables import table_records, text_tables
from leaderboard.ratings.trueskill import DRAW_PROBABILITY
from leaderboard.store.database import (
    DEFAULT_STORE,
    DEMO_STORE,
    default_store,
    open_existing,
    open_store,
)
from leaderboard.store.models import SOURCES
from leaderboard.studies.access import add_admin, remove_admin
from leaderboard.studies.export import export_comparisons, load_comparisons
from leaderboard.studies.rules import find_study
from leaderboard.submissions.episodes import replayed

MAX_REPLICATES = 10_000
"""Of the bootstrap; more would say nothing more, and fill the memory."""


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """The option ``--store`` that all these commands share."""
    parser.add_argument(
        "--store",
        metavar="FILE|URL",
        help=f"the leaderboard: an SQLite file or a database URL (default: {DEMO_STORE} if there, "
        f"else {DEFAULT_STORE})",
    )


def leaderboard_main(argv: list[str]) -> int:
    """``basalt leaderboard show|export|plan|recompute|judge-by-telemetry|import-bedd|serve|admin``."""
    parser = argparse.ArgumentParser(
        prog="basalt leaderboard", description="Show or export a leaderboard."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print the tables of ratings")
    show.add_argument("--json", action="store_true", help="as a JSON list, a record per row")
    show.add_argument(
        "--mix", action="store_true", help="one table of all sources (never done unasked)"
    )
    show.add_argument(
        "--model",
        choices=tuple(RATING_MODELS),
        default="trueskill",
        help="rating model of the tables (default: %(default)s)",
    )
    show.add_argument(
        "--replicates",
        type=_count,
        default=REPLICATES,
        metavar="N",
        help="of the bootstrap for the intervals; 0 leaves it out (default: %(default)s)",
    )
    export = commands.add_parser("export", help="write the judgments to a file, or a page")
    export.add_argument(
        "file",
        type=Path,
        help="a .parquet, .csv or .json file of judgments, or a .html page of the tables",
    )
    export.add_argument(
        "--bedd",
        action="store_true",
        help="in the form of BEDD's human_answers.json: wins, losses and draws of one source",
    )
    judge = commands.add_parser(
        "judge-by-telemetry", help="let the telemetry judge stand in on pairs it has not judged"
    )
    anew = commands.add_parser(
        "recompute",
        help="compute all ratings from the judgments, and print a digest to compare machines by",
    )
    for command in (show, export, judge, anew):
        command.add_argument("--study", help="name of the study (default: the newest)")
        add_store_argument(command)
    for command in (show, export):
        command.add_argument("--source", choices=SOURCES, help="only judgments of this source")
    bedd = commands.add_parser(
        "import-bedd", help="import the published evaluation's answers into a study of their own"
    )
    bedd.add_argument("answers", type=Path, metavar="human_answers.json")
    bedd.add_argument(
        "banned",
        type=Path,
        nargs="?",
        metavar="banned_workers.json",
        help="workers whose answers are left out (default: nobody)",
    )
    bedd.add_argument(
        "videos",
        type=Path,
        nargs="?",
        metavar="agent_videos",
        help="folder of AGENT/TASK/seed_N.mp4: with it new agents can be judged against these",
    )
    bedd.add_argument(
        "--study", default=STUDY_NAME, help="name of the study (default: %(default)s)"
    )
    add_store_argument(bedd)
    serving = commands.add_parser(
        "serve", help="serve the HTTP API alone (`basalt ui` serves it beside the app)"
    )
    serving.add_argument("--address", default="127.0.0.1", help="default: %(default)s")
    serving.add_argument("--port", type=int, default=8502, help="default: %(default)s")
    serving.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="a site whose pages may call the API, e.g. https://judge.example; may be repeated",
    )
    serving.add_argument(
        "--joins-per-minute",
        type=int,
        default=60,
        metavar="N",
        help="new raters from one address; raise it behind a proxy (default: %(default)s)",
    )
    add_store_argument(serving)
    admin = commands.add_parser(
        "admin", help="let somebody into the app's Study page: by password, or by OIDC"
    )
    admin.add_argument("name", help="the login's name")
    admin.add_argument(
        "--email", metavar="ADDRESS", help="that an OIDC provider vouches for; no password then"
    )
    admin.add_argument("--remove", action="store_true", help="take the rights away, at once")
    add_store_argument(admin)
    planned = commands.add_parser(
        "plan", help="how many comparisons one task needs for intervals of a wanted width"
    )
    planned.add_argument("--agents", type=int, required=True, metavar="N")
    planned.add_argument(
        "--width", type=float, required=True, metavar="W", help="wanted width of the 95%% interval"
    )
    planned.add_argument(
        "--judgments",
        type=int,
        nargs="+",
        metavar="N",
        help="sizes to simulate (default: ever larger ones until the width is reached)",
    )
    planned.add_argument(
        "--spread",
        type=float,
        default=SPREAD,
        help="assumed standard deviation of true skills, in units of mu (default: %(default).2f)",
    )
    planned.add_argument(
        "--draws",
        type=float,
        default=DRAW_PROBABILITY,
        help="assumed share of draws between equals (default: %(default)s)",
    )
    planned.add_argument(
        "--model",
        choices=tuple(RATING_MODELS),
        default="trueskill",
        help="rating model of the simulated studies (default: %(default)s)",
    )
    planned.add_argument("--seed", type=int, default=0, help="of the simulation")
    planned.add_argument("--json", action="store_true", help="as one JSON object")
    options = parser.parse_args(argv)
    if options.command == "admin":
        return _admin(options)
    if options.command == "import-bedd":
        return _import_bedd(options)
    if options.command == "serve":
        return _serve(options)
    if options.command == "plan":
        return _plan(options)
    store = open_existing(options.store)
    study = find_study(store, options.study)
    if options.command == "judge-by-telemetry":
        added = judge_by_telemetry(store, study)
        print(f"study {study.name!r}: {added} pairs newly judged by telemetry")
        return 0
    if options.command == "recompute":
        comparisons = load_comparisons(store, study)
        tables = rate(comparisons)
        ratings = sum(len(table.rows) for table in tables)
        print(
            f"study {study.name!r}: {ratings} ratings computed from {len(comparisons)} judgments\n"
            f"sha256 {digest(tables)}"
        )
        return 0
    if options.command == "export" and options.bedd:
        count = export_bedd(options.file, store, study, options.source)
        print(f"wrote {count} answers of study {study.name!r} to {options.file}, in BEDD's form")
        return 0
    comparisons = load_comparisons(store, study, [options.source] if options.source else None)
    if options.command == "export" and options.file.suffix == ".html":
        analyses = [analyse(table) for table in rate(comparisons)]
        write_page(options.file, study.name, analyses, replayed(store, study))
        print(f"wrote the tables of study {study.name!r} to {options.file}")
        return 0
    if options.command == "export":
        count = export_comparisons(options.file, comparisons)
        print(f"wrote {count} comparisons of study {study.name!r} to {options.file}")
        return 0
    tables = rate(comparisons, mix_sources=options.mix, model=RATING_MODELS.get(options.model))
    analyses = [analyse(table, replicates=options.replicates) for table in tables]
    if options.json:
        print(json.dumps(table_records(analyses, replayed(store, study)), indent=1))
    elif tables:
        print(f"Study {study.name!r}\n\n{text_tables(analyses, replayed(store, study))}")
    else:
        print(f"Study {study.name!r}: no judgments yet; `basalt ui` opens the judging app")
    return 0


def _admin(options: argparse.Namespace) -> int:
    store = open_existing(options.store)
    if options.remove:
        remove_admin(store, options.name)
        print(f"admin {options.name!r}: removed, open sessions included")
        return 0
    password = None if options.email else _asked_password()
    add_admin(store, options.name, password=password, email=options.email)
    print(f"admin {options.name!r}: may log in on the Study page of `basalt ui`")
    return 0


def _asked_password() -> str:
    """A password from the terminal, unseen and twice, or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise StudyError("the two passwords differ; nothing was changed")
    return password


def _import_bedd(options: argparse.Namespace) -> int:
    # Before a store is made: wrong files leave nothing behind.
    read_answers(options.answers)
    if options.banned is not None:
        read_banned(options.banned)
    store = open_store(options.store or default_store())
    done = import_bedd(store, options.answers, options.banned, options.study)
    print(
        f"study {done.study!r}: {done.added} answers added, {done.present} were there already, "
        f"{done.banned} by banned workers left out"
    )
    if done.taken_out:
        print(f"{done.taken_out} workers are banned from now on: their answers rate nobody")
    if options.videos is not None:
        added = add_videos(store, find_study(store, done.study), options.videos)
        print(f"{added} videos added; people can judge them, and new agents against them")
    return 0


def _plan(options: argparse.Namespace) -> int:
    model = RATING_MODELS.get(options.model)
    made = plan(
        options.agents,
        options.width,
        sizes=options.judgments,
        spread=options.spread,
        draws=options.draws,
        seed=options.seed,
        model=model,
    )
    shown = (
        json.dumps(dataclasses.asdict(made), indent=1) if options.json else text_plan(made, model)
    )
    print(shown)
    return 0


def _serve(options: argparse.Namespace) -> int:
    # Only here: the other commands need neither.
    import uvicorn

    from leaderboard.http.api import create_server

    app = create_server(
        open_existing(options.store),
        origins=options.origin,
        joins_per_minute=options.joins_per_minute,
    )
    uvicorn.run(app, host=options.address, port=options.port, log_level="warning")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_REPLICATES:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 0 to {MAX_REPLICATES}")
    return number
