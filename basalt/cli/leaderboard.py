"""`basalt leaderboard`: ratings and judgments of a study, and who may administer it."""

import dataclasses
import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from basalt.cli.flags import Json, Proxy, Store, Study, app, choice, run
from basalt.cli.study import study as study_commands
from basalt.core.comparisons import SUFFIXES, write_comparisons
from basalt.io.addresses import require_free
from basalt.io.errors import ConfigError, StudyError
from leaderboard.bedd.analysis import analyse_answers, text_analysis
from leaderboard.bedd.answers import read_answers, read_banned
from leaderboard.bedd.study import STUDY_NAME, export_bedd, import_bedd
from leaderboard.bedd.videos import add_videos
from leaderboard.judging.archive import write_archive
from leaderboard.judging.payments import payment_list, write_payments
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bootstrap import REPLICATES
from leaderboard.ratings.control import UNITS
from leaderboard.ratings.html_report import write_page
from leaderboard.ratings.looks import read_looks
from leaderboard.ratings.models import RATING_MODELS, default_model
from leaderboard.ratings.planning import SPREAD, plan, text_plan
from leaderboard.ratings.ranking import digest, rate
from leaderboard.ratings.tables import table_records, text_tables
from leaderboard.ratings.trueskill import DRAW_PROBABILITY
from leaderboard.store.database import (
    default_store,
    open_existing,
    open_store,
)
from leaderboard.store.models import SOURCES
from leaderboard.studies.access import add_admin, admin_names, command_line_admin, remove_admin
from leaderboard.studies.export import iter_comparisons, load_comparisons
from leaderboard.studies.rules import find_study
from leaderboard.studies.tokens import create_token, list_tokens, revoke_token
from leaderboard.submissions.episodes import replayed, uncompared

MAX_REPLICATES = 10_000
"""Largest number of bootstrap replicates; more add nothing, and fill the memory."""


leaderboard = app("Show, export and administer a leaderboard.")
leaderboard.add_typer(study_commands, name="study")

Source = Annotated[
    str | None,
    typer.Option(
        callback=choice(SOURCES), help=f"Judgments of this source only: {', '.join(SOURCES)}."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        callback=choice(RATING_MODELS),
        help=f"Rating model of the tables: {', '.join(RATING_MODELS)}. Without it bt, or ordinal where answers say "
        "whether one is much or slightly better.",
    ),
]
Control = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LOOK...",
        help=f"Control for looks of the videos ({', '.join(UNITS)}): strengths with and without.",
    ),
]


def leaderboard_main(argv: list[str]) -> int:
    """Run `basalt leaderboard ARGUMENTS`; returns the exit status."""
    return run(
        "leaderboard", leaderboard, argv, several=("--judgments", "--control", "--task", "--seeds")
    )


@leaderboard.command("show")
def _show(
    study: Study = None,
    source: Source = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Make one table of all sources (never done unless asked).")
    ] = False,
    model: Model = None,
    replicates: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_REPLICATES,
            help="Number of bootstrap replicates for resampling ranges (bt needs none); 0 leaves them out.",
        ),
    ] = REPLICATES,
    control: Control = None,
    as_json: Json = False,
    store: Store = None,
) -> int:
    """Print the tables of ratings."""
    opened = open_existing(store)
    found = find_study(opened, study)
    if found.rules.clips:
        raise StudyError(
            f"study {found.name!r} compares clips, which rank nobody; `basalt leaderboard export` writes the answers"
        )
    comparisons = load_comparisons(opened, found, [source] if source else None)
    tables = rate(
        comparisons, mix_sources=mix, model=RATING_MODELS.get(model or default_model(comparisons))
    )
    looks = read_looks(opened, found, comparisons, control or (), progress=True)
    analyses = [
        analyse(table, replicates=replicates, control=control or (), looks=looks)
        for table in tables
    ]
    entered = replayed(opened, found)
    if as_json:
        print(json.dumps(table_records(analyses, entered), indent=1))
        return 0
    if tables:
        print(f"Study {found.name!r}\n\n{text_tables(analyses, entered)}")
    else:
        print(f"Study {found.name!r}: no judgments yet; `basalt ui` opens the judging app")
    if waiting := uncompared(entered, comparisons):
        print(
            f"\n0 comparisons: {', '.join(waiting)}; people compare them in `basalt ui`, and "
            "`basalt leaderboard judge-by-telemetry` judges them by a rule until they have"
        )
    return 0


@leaderboard.command("export")
def _export(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .parquet, .csv or .json file of judgments, a .html page of the tables, or a .zip of everything that "
            "was asked, with a data dictionary."
        ),
    ],
    study: Study = None,
    source: Source = None,
    model: Model = None,
    control: Control = None,
    questions: Annotated[
        bool,
        typer.Option(
            "--questions", help="Write each answer to one of the task's questions as a row, too."
        ),
    ] = False,
    checks: Annotated[
        bool,
        typer.Option("--checks", help="Write answers to attention checks, too, marked as checks."),
    ] = False,
    bedd: Annotated[
        bool,
        typer.Option(
            "--bedd", help="Write BEDD's human_answers.json: wins, losses and draws of one source."
        ),
    ] = False,
    store: Store = None,
) -> int:
    """Write the judgments to a file, or the tables to a page."""
    opened = open_existing(store)
    found = find_study(opened, study)
    if bedd:
        count = export_bedd(file, opened, found, source)
        print(f"wrote {count} answers of study {found.name!r} to {file}, in BEDD's format")
        return 0
    if file.suffix == ".zip":
        try:
            rows = write_archive(file, opened, found, command_line_admin())
        except OSError as err:
            raise ConfigError(f"{file}: cannot be written ({err.strerror})") from err
        print(f"wrote {rows} rows of study {found.name!r} to {file}")
        return 0
    if file.suffix == ".html":
        comparisons = load_comparisons(opened, found, [source] if source else None)
        tables = rate(comparisons, model=RATING_MODELS.get(model or default_model(comparisons)))
        looks = read_looks(opened, found, comparisons, control or (), progress=True)
        analyses = [analyse(table, control=control or (), looks=looks) for table in tables]
        confirmed = replayed(opened, found)
        waiting = uncompared(confirmed, comparisons)
        write_page(file, found.name, analyses, confirmed, waiting)
        print(f"wrote the tables of study {found.name!r} to {file}")
    else:
        if file.suffix not in SUFFIXES:
            raise ConfigError(
                f"{file}: expected a file name that ends in {', '.join(SUFFIXES)}, .html or .zip"
            )
        streamed = iter_comparisons(
            opened, found, [source] if source else None, questions=questions, checks=checks
        )
        count = write_comparisons(file, streamed)
        print(f"wrote {count} comparisons of study {found.name!r} to {file}")
    return 0


@leaderboard.command("judge-by-telemetry")
def _judge(study: Study = None, store: Store = None) -> int:
    """Let the telemetry judge, a stand-in for people, judge the pairs it has not judged."""
    opened = open_existing(store)
    found = find_study(opened, study)
    print(
        f"study {found.name!r}: {judge_by_telemetry(opened, found)} pairs newly judged by telemetry"
    )
    return 0


@leaderboard.command("recompute")
def _recompute(study: Study = None, store: Store = None) -> int:
    """Compute all ratings from the judgments and print a digest, to compare machines by."""
    opened = open_existing(store)
    found = find_study(opened, study)
    comparisons = load_comparisons(opened, found)
    tables = rate(comparisons)
    ratings = sum(len(table.rows) for table in tables)
    print(
        f"study {found.name!r}: {ratings} ratings computed from {len(comparisons)} judgments\n"
        f"sha256 {digest(tables)}"
    )
    return 0


@leaderboard.command("import-bedd")
def _import_bedd(
    answers: Annotated[Path, typer.Argument(metavar="human_answers.json")],
    banned: Annotated[
        Path | None,
        typer.Argument(
            metavar="banned_workers.json",
            help="Workers whose answers are left out (default: nobody).",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Argument(
            metavar="agent_videos",
            help="Folder of AGENT/TASK/seed_N.mp4, with which new agents can be judged against these.",
        ),
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the study.")] = STUDY_NAME,
    store: Store = None,
) -> int:
    """Import the answers of the published evaluation into a study of their own."""
    # Before a store is made: wrong files leave nothing behind.
    read_answers(answers)
    if banned is not None:
        read_banned(banned)
    opened = open_store(store or default_store())
    done = import_bedd(opened, answers, banned, study)
    print(
        f"study {done.study!r}: {done.added} answers added, {done.present} were present already, "
        f"{done.banned} by banned workers left out"
    )
    if done.taken_out:
        print(f"{done.taken_out} workers are banned from now on: their answers rate nobody")
    if videos is not None:
        added = add_videos(opened, find_study(opened, done.study), videos)
        print(f"{added} videos added; people can judge them, and new agents against them")
    return 0


@leaderboard.command("analyse-bedd")
def _analyse_bedd(study: Study = None, as_json: Json = False, store: Store = None) -> int:
    """Analyse answers by people as BEDD's authors do: agreement, questions, lengths, raters."""
    opened = open_existing(store)
    found = analyse_answers(opened, find_study(opened, study))
    print(json.dumps(found.to_json(), indent=1) if as_json else text_analysis(found))
    return 0


@leaderboard.command("serve")
def _serve(
    address: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on.")] = 8502,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Site whose pages may call the API, e.g. https://judge.example; may be repeated.",
        ),
    ] = None,
    joins_per_minute: Annotated[
        int,
        typer.Option(min=1, help="Largest number of new raters per minute from one address."),
    ] = 60,
    requests_per_minute: Annotated[
        int, typer.Option(min=1, help="Largest number of requests per minute from one address.")
    ] = 6000,
    proxy: Proxy = None,
    store: Store = None,
) -> int:
    """Serve the HTTP API alone (`basalt ui` serves it beside the app)."""
    # Only here: the other commands need neither.
    import uvicorn

    from leaderboard.http.api import create_server
    from leaderboard.http.serving import prepare_uvicorn

    opened = open_existing(store)
    require_free(address, port)
    prepare_uvicorn(proxy or [])
    server = create_server(
        opened,
        origins=origin or [],
        joins_per_minute=joins_per_minute,
        requests_per_minute=requests_per_minute,
    )
    uvicorn.run(server, host=address, port=port, log_level="warning")
    return 0


@leaderboard.command("admin")
def _admin(
    name: Annotated[str, typer.Argument(help="Name of the login.")],
    email: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Address that an OIDC provider confirms; no password."
        ),
    ] = None,
    read_only: Annotated[
        bool | None,
        typer.Option(
            "--read-only/--may-change",
            help="Whether the admin may look at everything and change nothing (default: as before; a new one may change).",
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Revoke the rights, at once.")] = False,
    store: Store = None,
) -> int:
    """Give somebody access to the app's Study page, by password or by OIDC."""
    opened = open_existing(store)
    if remove:
        remove_admin(opened, name)
        print(f"admin {name!r}: removed, open sessions and API tokens included")
        return 0
    known = name in admin_names(opened)
    password = None if email or (known and read_only is not None) else _asked_password()
    add_admin(opened, name, password=password, email=email, read_only=read_only)
    print(f"admin {name!r}: may log in on the Study page of `basalt ui`")
    return 0


def _asked_password() -> str:
    """A password from the terminal, hidden and typed twice, or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Repeat password: "):
        raise StudyError("the two passwords differ; nothing was changed")
    return password


@leaderboard.command("token")
def _token(
    admin: Annotated[str, typer.Argument(help="Name of the admin for whom the token acts.")],
    label: Annotated[
        str | None, typer.Argument(help="Note, e.g. the program that uses it; makes a token.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="The token may change nothing.")
    ] = False,
    days: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Days until it expires.")
    ] = None,
    revoke: Annotated[
        str | None, typer.Option(metavar="ID", help="Make a token invalid, at once.")
    ] = None,
    store: Store = None,
) -> int:
    """Make, list or revoke the API tokens of an admin; a token is shown once, when it is made."""
    opened = open_existing(store)
    me = command_line_admin()
    if revoke is not None:
        revoke_token(opened, me, revoke)
        print(f"token {revoke}: revoked")
    elif label is not None:
        print(create_token(opened, me, admin, label, read_only=read_only, days=days))
        print("keep it: it is not stored, and cannot be shown again", file=sys.stderr)
    else:
        for one in list_tokens(opened, me):
            if one.admin == admin:
                rights = "reads only" if one.read_only else "may change"
                until = "for ever" if one.expires is None else f"until {one.expires:%Y-%m-%d}"
                print(f"{one.id}  {one.label}  {rights}, valid {until}")
    return 0


@leaderboard.command("payments")
def _payments(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV file to write.")],
    study: Study = None,
    store: Store = None,
) -> int:
    """Write who is to be paid: participant, session, outcome, minutes active and code of each rater."""
    opened = open_existing(store)
    payments = payment_list(opened, find_study(opened, study), command_line_admin())
    try:
        write_payments(file, payments)
    except OSError as err:
        raise ConfigError(f"{file}: cannot be written ({err.strerror})") from err
    print(f"{file}: wrote {len(payments)} raters")
    return 0


@leaderboard.command("plan")
def _plan(
    agents: Annotated[int, typer.Option(metavar="N", help="Number of agents.")],
    width: Annotated[float, typer.Option(metavar="W", help="Wanted width of the 95% interval.")],
    judgments: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N...",
            help="Numbers of judgments to simulate (default: more and more, up to the wanted width).",
        ),
    ] = None,
    spread: Annotated[
        float,
        typer.Option(help="Assumed standard deviation of the true skills, in units of mu."),
    ] = SPREAD,
    draws: Annotated[
        float, typer.Option(help="Assumed share of draws between equals.")
    ] = DRAW_PROBABILITY,
    model: Annotated[
        str,
        typer.Option(
            callback=choice(RATING_MODELS), help=f"Rating model: {', '.join(RATING_MODELS)}."
        ),
    ] = "trueskill",
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    as_json: Json = False,
) -> int:
    """Say how many comparisons one task needs for intervals of a wanted width."""
    its_model = RATING_MODELS.get(model)
    made = plan(
        agents, width, sizes=judgments, spread=spread, draws=draws, seed=seed, model=its_model
    )
    print(json.dumps(dataclasses.asdict(made), indent=1) if as_json else text_plan(made, its_model))
    return 0
