"""`basalt leaderboard study`: make, change and end studies."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from basalt.cli.flags import Json, Store, app, choice
from basalt.core.records import first_fault
from basalt.core.settings import unknown_option
from basalt.core.tasks import TASKS
from basalt.io.errors import ConfigError, StudyError
from basalt.io.untrusted import parse_json
from leaderboard.judging.participants import PLATFORMS, personal_links
from leaderboard.store.database import default_store, open_existing, open_store
from leaderboard.studies import lifecycle
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import (
    DEMO_STEP_LIMIT,
    RESERVE_MINUTES,
    StudyRules,
    TaskRules,
    create_study,
    find_study,
)
from leaderboard.studies.settings import JudgingSettings, change_settings, get_settings

study = app("Make, change and end studies.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")]
Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SETTING=VALUE...",
        help="Settings, such as pairs_per_rater=20 consent=@consent.md check_share=0.15; null unsets one.",
    ),
]


@study.command("create")
def _create(
    name: Name,
    settings: Changes = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            callback=lambda values: values and [choice(TASKS)(one) for one in values],
            metavar="TASK...",
            help=f"Tasks: {', '.join(TASKS)} (default: all).",
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N...", help="Seeds of each task; a submission has one recording of each."
        ),
    ] = None,
    world: Annotated[str, typer.Option(help="World of the recordings.")] = "luanti",
    world_version: Annotated[
        str | None,
        typer.Option(
            metavar="V", help="Version of the world (default: that of the first submission)."
        ),
    ] = None,
    step_limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Step limit of an episode, in steps of 50 ms.")
    ] = DEMO_STEP_LIMIT,
    reserve_minutes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Minutes that a pair stays reserved.")
    ] = RESERVE_MINUTES,
    questions: Annotated[
        bool, typer.Option("--questions", help="Ask the tasks' questions, too.")
    ] = False,
    store: Store = None,
) -> int:
    """Make a study; agents enter it with `basalt submit DIR --study NAME`."""
    if not seeds:
        raise ConfigError("--seeds: expected at least one seed, e.g. --seeds 100001 100002")
    changes = _parsed(settings or ())
    try:
        rules = StudyRules(
            world=world,
            world_version=world_version or {},
            tasks={
                one: TaskRules(seeds=tuple(seeds), step_limit=step_limit) for one in task or TASKS
            },
            ask_questions=questions,
            reserve_minutes=reserve_minutes,
        )
        JudgingSettings.model_validate(changes)  # before a study is made
    except ValidationError as err:
        raise StudyError(first_fault(err, "study")) from err
    opened = open_store(store or default_store())
    made = create_study(opened, name, rules)
    change_settings(opened, made, command_line_admin(), **changes)
    print(f"study {made.name!r}: made; enter agents with `basalt submit DIR --study {made.name!r}`")
    return 0


@study.command("edit")
def _edit(name: Name, settings: Changes = None, as_json: Json = False, store: Store = None) -> int:
    """Change settings of a study, and print what changed; without any, print all."""
    opened = open_existing(store)
    found = find_study(opened, name)
    before = get_settings(opened, found).model_dump(mode="json")
    changes = _parsed(settings or ())
    after = before
    if changes:
        after = change_settings(opened, found, command_line_admin(), **changes).model_dump(
            mode="json"
        )
    if as_json:
        print(json.dumps(after, indent=1))
        return 0
    for field, value in after.items():
        if not changes:
            print(f"{field}={json.dumps(value)}")
        elif before[field] != value:
            print(f"{field}: {json.dumps(before[field])} -> {json.dumps(value)}")
    return 0


@study.command("duplicate")
def _duplicate(
    name: Name,
    copy: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new study.")],
    store: Store = None,
) -> int:
    """Make a study with the same rules and settings; agents have to be submitted to it."""
    opened = open_existing(store)
    made = lifecycle.duplicate_study(opened, find_study(opened, name), command_line_admin(), copy)
    print(f"study {made.name!r}: made, with the rules and settings of {name!r}")
    return 0


@study.command("pause")
def _pause(name: Name, store: Store = None) -> int:
    """Let nobody begin or get another pair until the study is resumed."""
    opened = open_existing(store)
    lifecycle.pause(opened, find_study(opened, name), command_line_admin())
    print(f"study {name!r}: paused; answers to open pairs are still taken")
    return 0


@study.command("resume")
def _resume(name: Name, store: Store = None) -> int:
    """Let a paused or ended study continue."""
    opened = open_existing(store)
    lifecycle.resume(opened, find_study(opened, name), command_line_admin())
    print(f"study {name!r}: continues")
    return 0


@study.command("end")
def _end(name: Name, store: Store = None) -> int:
    """End a study: nobody gets another pair, and raters see the results."""
    opened = open_existing(store)
    lifecycle.end(opened, find_study(opened, name), command_line_admin())
    print(f"study {name!r}: ended; raters see its results")
    return 0


@study.command("delete")
def _delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: Store = None,
) -> int:
    """Take a study out of all pages and commands; judgments stay in the database."""
    opened = open_existing(store)
    found = find_study(opened, name)
    if not yes:
        raise StudyError(
            f"study {name!r}: nobody can see it any more once it is deleted; add --yes"
        )
    lifecycle.delete_study(opened, found, command_line_admin())
    print(f"study {name!r}: deleted")
    return 0


@study.command("links")
def _links(
    people: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text file with a participant's ID on each line.")
    ],
    invite: Annotated[str, typer.Option(metavar="TOKEN", help="Token of an invite of the study.")],
    address: Annotated[
        str, typer.Option(metavar="URL", help="Address of the app, e.g. https://judge.lab.example")
    ],
    platform: Annotated[
        str,
        typer.Option(
            callback=choice(PLATFORMS), help=f"Platform of the IDs: {', '.join(PLATFORMS)}."
        ),
    ] = "other",
    name: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME", help="Name of the study (default: the newest)."),
    ] = None,
    store: Store = None,
) -> int:
    """Print a personal link with a signed ID for each participant, as CSV."""
    opened = open_existing(store)
    try:
        names = people.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{people}: cannot be read ({err})") from err
    links = personal_links(
        opened,
        find_study(opened, name),
        command_line_admin(),
        address,
        invite,
        platform,
        names,
    )
    writer = csv.writer(sys.stdout)
    writer.writerow(("participant", "link"))
    writer.writerows(zip(names, links, strict=True))
    return 0


def _parsed(changes: list[str] | tuple[()]) -> dict[str, object]:
    """Settings from `name=value`: JSON where it is some, else a text; `@FILE` is the text of a file.

    Raises:
        ConfigError: There is no such setting, or a file cannot be read.
    """
    parsed: dict[str, object] = {}
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals or field not in JudgingSettings.model_fields:
            raise ConfigError(
                unknown_option("study", field, list(JudgingSettings.model_fields))
                if equals
                else f"{change}: expected SETTING=VALUE"
            )
        if text.startswith("@"):
            try:
                parsed[field] = Path(text[1:]).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as err:
                raise ConfigError(f"{field}: {text[1:]} cannot be read ({err})") from err
            continue
        try:
            parsed[field] = parse_json(text)
        except ValueError:
            parsed[field] = text
    return parsed
