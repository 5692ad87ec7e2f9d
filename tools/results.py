"""Write the tables of docs/results.md from the evaluations in docs/results/: `python -m tools.results`.

`python -m tools.results add TABLE ROW EVALUATION...` first copies evaluations there (folders of `basalt evaluate`),
one for each training run. Nobody edits these tables by hand: a test compares them with what this module writes.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.common.registry import AGENTS, play_settings
from basalt.core.intervals import rate_interval
from basalt.core.scoring import ENDED_THERE
from basalt.core.significance import paired_difference
from basalt.core.tasks import get_task, parse_seeds, split_of
from basalt.core.tasks.facts import HARM_FACTS
from basalt.core.tasks.seeds import Split
from basalt.io.atomic import replacing
from basalt.io.errors import BasaltError, ConfigError
from basalt.rollouts.evaluation import FILE, MIN_TRAINING_SEEDS, Evaluation, compare

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
RECORDS = PAGE.with_suffix("")

BEGIN = "<!-- The tables from here to the end mark are written by `python -m tools.results`. -->"
END = "<!-- End of the tables that are written by `python -m tools.results`. -->"

STEP_LIMITS = {
    "find_cave": 1_800, "make_waterfall": 1_800, "create_village_animal_pen": 3_000, "build_village_house": 3_000,
}  # fmt: skip
"""The one step limit of all agents at a task."""


@dataclass(frozen=True)
class Row:
    """An agent of a table.

    Attributes:
        name: Name in the names of files.
        title: Name for people.
        agents: Names that its agent may have.
        settings: Settings that it has to have; `...` for any value but null.
        learns: Whether it is trained, and has a record for each training run.
    """

    name: str
    title: str
    agents: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    learns: bool = False


@dataclass(frozen=True)
class Table:
    """A planned table, of which each task has its own.

    Attributes:
        name: Name in the names of files.
        title: Heading.
        about: What its figures are for.
        split: Split from which all seeds are.
        seeds: Number of seeds of a finished row.
        trainings: Number of training runs of a finished row of an agent that learns.
        tasks: Names of the tasks.
        rows: Planned rows, in order.
        against: Name of the row that the others have to beat by the rule; None for no verdicts.
        paired: Name of the row from which differences on the same seeds are shown, without a verdict.
    """

    name: str
    title: str
    about: str
    split: Split
    seeds: int
    trainings: int
    tasks: tuple[str, ...]
    rows: tuple[Row, ...]
    against: str | None = None
    paired: str | None = None


RANDOM = Row("random", "random", ("random",))
NOOP = Row("noop", "noop", ("noop",))
DEMONSTRATOR = Row(
    "demonstrator", "demonstrator", ("demonstrator",), (("knowing", False), ("noise", False))
)
KNOWING = Row("knowing", "knowing demonstrator", ("demonstrator",), (("knowing", True),))
ENDING = Row("bc_ending", "bc with a stopping head", ("bc",), (("stop", ...),), learns=True)
SAMPLED = Row("bc_sampled", "bc with sampled ESC", ("bc",), (("esc", "hazard"),), learns=True)
DAGGER = Row("dagger", "dagger", ("bc", "dagger"), learns=True)
SEARCH = Row("search", "search", ("search",), learns=True)
HYBRID = Row("hybrid", "hybrid", ("hybrid",), learns=True)
OTHER = Row("other", "the best other learner", ("bc", "dagger", "search", "hybrid"), learns=True)

BOTH = ("find_cave", "make_waterfall")
VILLAGES = ("create_village_animal_pen", "build_village_house")

TABLES = (
    Table(
        "confirmed", "Confirmed", "Figures: agents that were chosen on dev seeds, on seeds that nothing chose by.",
        "heldout", 100, MIN_TRAINING_SEEDS, BOTH, (RANDOM, DEMONSTRATOR, ENDING, OTHER), against="random",
    ),
    Table(
        "growth", "Growth with demonstrations", "Behavioural cloning from 10, 30, 100 and 200 demonstrations.",
        "heldout", 50, MIN_TRAINING_SEEDS, ("find_cave",),
        tuple(Row(f"bc_{n}", f"bc from {n} episodes", ("bc",), learns=True) for n in (10, 30, 100, 200)),
    ),
    Table(
        "official", "Official seeds", "Played once, at the end; too few for a small gain to show.",
        "official", 11, 1, BOTH, (RANDOM, DEMONSTRATOR, ENDING, OTHER),
    ),
    Table(
        "explored", "Explored", "Explored, no claim: few seeds, and those that agents are chosen by.",
        "dev", 30, 1, BOTH, (NOOP, RANDOM, DEMONSTRATOR, KNOWING, ENDING, SAMPLED, DAGGER, SEARCH, HYBRID),
    ),
    Table(
        "villages", "Villages", "Explored, no claim: few seeds, and those that agents are chosen by.",
        "dev", 30, 1, VILLAGES, (NOOP, RANDOM, DEMONSTRATOR, KNOWING, ENDING),
    ),
    Table(
        "sizes", "Sizes of frames", "Explored, no claim: one checkpoint, trained at one size and played at two.",
        "dev", 50, 1, ("find_cave",),
        (Row("at_640x360", "bc at 640x360", ("bc",), learns=True), Row("at_128x72", "bc at 128x72", ("bc",), learns=True)),
        paired="at_640x360",
    ),
)  # fmt: skip
"""All planned tables, in order of the page."""

Runs = dict[tuple[str, str, str, str], list[Evaluation]]
"""Evaluations by table, task, world version and row; one for each training run."""


def load(folder: Path) -> Runs:
    """The evaluations in a folder: `VERSION/TABLE-TASK-ROW.json`, with `-SEED` for a training run.

    Raises:
        ConfigError: A file is not an evaluation, has no place in a table, or does not fit its place.
    """
    found: Runs = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        table, row = _place(file)
        record = Evaluation.read(file)
        _check(record, table, row, str(file))
        if file != (expected := folder / _name(record, table, row)):
            raise ConfigError(f"{file}: expected as {expected}; move it")
        key = (table.name, record.task, record.world_version, row.name)
        found.setdefault(key, []).append(record)
    return found


def _place(file: Path) -> tuple[Table, Row]:
    table, _, row = (*file.stem.split("-"), "", "")[:3]
    return _row(table, row, str(file))


def _row(table: str, row: str, where: str) -> tuple[Table, Row]:
    try:
        planned = next(one for one in TABLES if one.name == table)
        return planned, next(one for one in planned.rows if one.name == row)
    except StopIteration:
        rows = "; ".join(f"{one.name}: {', '.join(row.name for row in one.rows)}" for one in TABLES)
        raise ConfigError(
            f"{where}: expected a table and one of its rows, got {table!r} and {row!r}; available: {rows}"
        ) from None


def _name(record: Evaluation, table: Table, row: Row) -> str:
    run = "" if record.training_seed is None or not row.learns else f"-{record.training_seed}"
    return f"{record.world_version}/{table.name}-{record.task}-{row.name}{run}.json"


def _check(record: Evaluation, table: Table, row: Row, where: str) -> None:
    """Refuse a record that does not fit its place."""
    task, limit = get_task(record.task), STEP_LIMITS.get(record.task)
    others = [one.seed for one in record.episodes if split_of(task, one.seed) != table.split]
    wrong = {
        f"task {' or '.join(table.tasks)}": record.task not in table.tasks,
        f"agent {' or '.join(row.agents)}": record.name not in row.agents,
        f"step limit {limit}": record.step_limit != limit,
        f"{table.split} seeds": bool(others),
        "no change of the world": record.edit is not None,
        f"an agent that {'learns' if row.learns else 'does not learn'}": record.learns
        != row.learns,
        "paths inside the folder of the command": any(_outside(record.agent)),
    }
    for name, value in row.settings:
        found = record.agent.get(name)
        if value is ...:
            wrong[f"a setting agent.{name}"] = found is None
        else:
            wrong[f"agent.{name}={_value(value)}"] = found != value
    if faults := [expected for expected, is_wrong in wrong.items() if is_wrong]:
        raise ConfigError(f"{where}: expected {', '.join(faults)}")


def _outside(settings: Mapping[str, Any]) -> Iterator[str]:
    for value in settings.values():
        if isinstance(value, Mapping):
            yield from _outside(value)
        elif isinstance(value, str) and Path(value).is_absolute():
            yield value


def add(folder: Path, table_name: str, row_name: str, evaluations: Sequence[Path]) -> list[Path]:
    """Copy evaluations to their places.

    Args:
        folder: Folder of the records.
        table_name: Name of the table.
        row_name: Name of the row.
        evaluations: Folders of `basalt evaluate`, or files.

    Returns:
        Their places.

    Raises:
        ConfigError: One does not fit its place, or another evaluation is there.
    """
    table, row = _row(table_name, row_name, "add")
    found = [
        (path, Evaluation.read(path / FILE if path.is_dir() else path)) for path in evaluations
    ]
    for path, one in found:
        _check(one, table, row, str(path))
    places = [folder / _name(one, table, row) for _, one in found]
    if twice := [str(place) for place, count in Counter(places).items() if count > 1]:
        raise ConfigError(
            f"add: expected evaluations of different training runs, got several for {twice[0]}; leave one out"
        )
    for place, (path, one) in zip(places, found, strict=True):
        if place.is_file() and Evaluation.read(place).agent_hash != one.agent_hash:
            raise ConfigError(f"{path}: {place} has another agent; remove that, or leave this out")
    for place, (_, one) in zip(places, found, strict=True):
        place.parent.mkdir(parents=True, exist_ok=True)
        one.write(place)
    return places


# ---- the page ----


def tables(runs: Runs) -> str:
    """All tables in Markdown: each task in its newest world version, then earlier versions, never mixed."""
    versions = _versions(runs)
    parts = []
    for table in TABLES:
        parts += [f"### {table.title}", f"{table.about} {_plan(table)}"]
        for task in table.tasks:
            newest = next(iter(versions.get(task, [])), "")
            parts += _section(table, task, newest, runs)
    earlier = [
        (table, task, version)
        for table in TABLES
        for task in table.tasks
        for version in versions.get(task, [])[1:]
        if any(key[:3] == (table.name, task, version) for key in runs)
    ]
    if earlier:
        parts += ["### Earlier world versions", "Not comparable with the tables above."]
        for table, task, version in earlier:
            parts += [f"**{table.title}**", *_section(table, task, version, runs, is_newest=False)]
    return "\n\n".join(parts) + "\n"


def _versions(runs: Runs) -> dict[str, list[str]]:
    """World versions of each task, the one of the latest record first."""
    latest: dict[tuple[str, str], datetime] = {}
    for (_, task, version, _), records in runs.items():
        times = [one.finished or datetime.min.replace(tzinfo=UTC) for one in records]
        latest[task, version] = max([latest.get((task, version), times[0]), *times])
    order = sorted(latest, key=lambda key: (latest[key], key[1]), reverse=True)
    return {task: [version for name, version in order if name == task] for task, _ in order}


def _plan(table: Table) -> str:
    runs = (
        f", and {table.trainings} training runs of an agent that learns"
        if table.trainings > 1
        else ""
    )
    kind = {"heldout": "held-out"}.get(table.split, table.split)
    return f"Planned: {table.seeds} {kind} seeds{runs}."


def _section(
    table: Table, task: str, version: str, runs: Runs, *, is_newest: bool = True
) -> list[str]:
    title = get_task(task).env_id
    rows = [
        (row, records)
        for row in table.rows
        if (records := runs.get((table.name, task, version, row.name)))
    ]
    missing = [text for row in table.rows if (text := _missing(table, row, dict(rows).get(row)))]
    parts = []
    if rows:
        limit = f"{STEP_LIMITS[task]:,}"
        parts.append(f"**{title}**, world version `{version}`, at most {limit} steps an episode:")
        parts.append(_markdown(table, task, rows))
        by_name = {row.name: (row, found) for row, found in rows}
        if table.against in by_name:
            parts += _verdicts(by_name, table.against)
        if table.paired in by_name:
            parts += _differences(by_name, table.paired)
        commands = [_command(one) for _, records in rows for one in records]
        parts.append("\n".join(["```", *commands, "```"]))
    if is_newest and missing:
        parts.append(f"**{title}** is not finished; missing: {', '.join(missing)}.")
    return parts


def _missing(table: Table, row: Row, records: Sequence[Evaluation] | None) -> str:
    """What a row still misses; empty for a finished one."""
    if not records:
        return row.title
    trainings = table.trainings if row.learns else 1
    parts = []
    if len(records) < trainings:
        parts.append(f"{len(records)} of {trainings} training runs")
    if (seeds := min(len(one.episodes) for one in records)) < table.seeds:
        parts.append(f"{seeds} of {table.seeds} seeds")
    return f"{row.title} ({', '.join(parts)})" if parts else ""


def _title(row: Row, records: Sequence[Evaluation]) -> str:
    """Title of a row; where several agents may stand there, with the name of the one that does."""
    return row.title if len(row.agents) == 1 else f"{records[0].agent['name']}, {row.title}"


def _markdown(table: Table, task: str, rows: Sequence[tuple[Row, list[Evaluation]]]) -> str:
    names = [one.name for one in get_task(task).milestones]
    head = ["agent", "seeds", "success", *(name.replace("_", " ") for name in names)]
    head += ["how it ended", "steps, median", "harm in all", "agent's hash and record"]
    lines = [head, ["---"] * len(head)]
    for row, records in rows:
        links = [
            f"[`{one.agent_hash[:8]}`]({RECORDS.name}/{_name(one, table, row)})" for one in records
        ]
        lines.append([_title(row, records), *_figures(records, names), ", ".join(links)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(records: Sequence[Evaluation], names: Sequence[str]) -> list[str]:
    played = [one for each in records for one in each.played.values()]
    missing = sum(one.missing for one in records)
    seeds = str(min(len(one.episodes) for one in records))
    if len(records) > 1:
        seeds += f" x {len(records)} runs"
    if missing:
        seeds += f", {missing} missing"
    ended = [one.ended or one.play for one in played]
    ends = ", ".join(f"{end} {ended.count(end)}" for end in sorted(set(ended)))
    steps = sorted(one.steps for one in played)
    harm = {
        name: sum(one.harm.get(name, 0.0) for one in played) for name in (*HARM_FACTS, "deaths")
    }
    hurt = ", ".join(f"{name.replace('_', ' ')} {total:g}" for name, total in harm.items() if total)
    return [
        seeds,
        *(_share(records, name) for name in (ENDED_THERE, *names)),
        ends,
        f"{steps[len(steps) // 2]:,}" if steps else "-",
        hurt or "-",
    ]


def _share(records: Sequence[Evaluation], name: str) -> str:
    """Share of the episodes that reached a milestone, and its interval.

    Of several training runs it is the mean of their shares. They played the same seeds, so the interval is Wilson's
    for as many episodes as one run has.
    """
    values = [
        [float(one[name] or 0) for one in each.milestones.values() if one[name] is not None]
        if name != ENDED_THERE
        else [float(one.success) for one in each.played.values()]
        for each in records
    ]
    n = min(map(len, values))
    if not n:
        return "not known"
    mean = sum(sum(one) / len(one) for one in values) / len(values)
    low, high = rate_interval(mean * n, n)
    return f"{mean:.0%} ({low:.0%} to {high:.0%})"


def _verdicts(rows: Mapping[str, tuple[Row, list[Evaluation]]], against: str) -> list[str]:
    title, baseline = rows[against][0].title, rows[against][1]
    lines = []
    for row, records in rows.values():
        if row.name != against:
            verdict, *details = compare(records, baseline).lines(_title(row, records), title)
            lines.append(f"- **{verdict}**: {'; '.join(line.strip() for line in details)}.")
    return ["\n".join(lines)] if lines else []


def _differences(rows: Mapping[str, tuple[Row, list[Evaluation]]], paired: str) -> list[str]:
    title, (baseline, *_) = rows[paired][0].title, rows[paired][1]
    lines = []
    for row, (record, *_) in rows.values():
        seeds = sorted(record.played.keys() & baseline.played.keys())
        if row.name == paired or not seeds:
            continue
        arms = [[[float(one.played[seed].success) for seed in seeds]] for one in (record, baseline)]
        found = paired_difference(*arms)
        low, high = found.interval
        lines.append(
            f"- {row.title} minus {title}: {found.mean:+.1%} (95% interval {low:+.1%} to {high:+.1%}) on "
            f"{found.seeds} paired seeds."
        )
    return ["\n".join(lines)] if lines else []


def _command(record: Evaluation) -> str:
    """The command whose episodes a record holds."""
    words = ["basalt evaluate", f"agent={record.name}"]
    settings = dict(record.agent)
    if (checkpoint := settings.pop("checkpoint", None)) is not None:
        words.append(f"checkpoint={checkpoint}")
    defaults = play_settings(record.name) if record.name in AGENTS else {}
    words += [
        f"agent.{name}={_value(value)}"
        for name, value in settings.items()
        if value != defaults.get(name)
    ]
    words.append(f"task={record.task}")
    if record.world != "luanti":
        words.append(f"world={record.world}")
    words += [f"+world.args.{name}={_value(value)}" for name, value in record.world_args.items()]
    words += [f"seeds={_seeds(record)}", f"max_steps={record.step_limit}"]
    return " ".join(words)


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "'{" + ",".join(f"{name}:{_value(one)}" for name, one in value.items()) + "}'"
    return str(value)


def _seeds(record: Evaluation) -> str:
    task, seeds = get_task(record.task), [one.seed for one in record.episodes]
    for spec in (f"dev:{len(seeds)}", f"heldout:{len(seeds)}", "official"):
        if sorted(parse_seeds(spec, task)) == seeds:
            return spec
    if seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1:
        return f"{seeds[0]}..{seeds[-1]}"
    return f"[{','.join(map(str, seeds))}]"


def with_tables(page: str, runs: Runs) -> str:
    """The page with today's tables.

    Raises:
        ConfigError: The page has no marks between which tables are.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ConfigError(f"{PAGE.name}: expected once, in this order, {BEGIN!r} and {END!r}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(runs)}\n{END}{rest.split(END)[1]}"


def main(argv: list[str] | None = None) -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.results", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    adding = commands.add_parser("add", help="copy evaluations to docs/results/ first")
    adding.add_argument("table", help="name of the table")
    adding.add_argument("row", help="name of the row")
    adding.add_argument("evaluations", nargs="+", type=Path, help="folders of basalt evaluate")
    options = parser.parse_args(argv)
    try:
        if options.command == "add":
            for place in add(RECORDS, options.table, options.row, options.evaluations):
                print(place)
        page = with_tables(PAGE.read_text(encoding="utf-8"), load(RECORDS))
        with replacing(PAGE) as partial:
            partial.write_text(page, encoding="utf-8")
    except BasaltError as err:
        print(f"tools.results: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
