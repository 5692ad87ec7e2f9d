"""List what a checkout offers its users, to see that a change of the code loses nothing.

`python tools/inventory.py --root CHECKOUT > inventory.json` lists the commands with their flags and
settings, the pages of the app, the addresses of the HTTP API, tables of the store, fields of records,
names of files that are read or written, installable extras and pages of the documentation. Commands are
listed from their help texts, everything else is read from the source, so it works on old checkouts too.
"""

import argparse
import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

PACKAGES = ("basalt", "agents", "leaderboard", "eval_ui")
FLAG = re.compile(r"^[\s│*]*(?:-\w\b[^-\s]*,?\s+)?(--[a-z][a-z0-9-]*)")
LISTED = re.compile(r"^[\s│]{2,8}([a-z][a-z0-9-]*)(?:\s{2,}\S.*)?$")
SETTING = re.compile(r"^\s+([a-z_][a-z0-9_.]*)=")
FILE_NAME = re.compile(
    r"^[\w{][\w.{}*-]*\.(json|jsonl|parquet|safetensors|csv|html|mp4|sqlite|yaml|png|svg|zip|model|weights)$"
)
VARIANTS = {"rollout": ("agent", "world"), "train": ("data",)}


def help_text(run: Callable[[list[str]], int], arguments: list[str]) -> str:
    """What a command prints for `--help`."""
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        run([*arguments, "--help"])
    return out.getvalue()


def listed(text: str) -> list[str]:
    """Names that a help text lists under a heading of commands."""
    names: list[str] = []
    listing = False
    for line in text.splitlines():
        if re.match(r"(usage: basalt .*\.\.\.|positional arguments:|benchmarks:|.*Commands)", line):
            listing = True
        elif re.match(r"(options|examples|settings|╰|Options|Task names)", line):
            listing = False
        elif listing and (match := LISTED.match(line)):
            names.append(match[1])
    return [name for name in names if name not in ("basalt", "name", "rest", "file")]


def settings(text: str) -> list[str]:
    """Dotted names of the settings in a help text, and the options of its groups."""
    if "== Config ==" not in text:
        found = [match[1] for line in text.splitlines() if (match := SETTING.match(line))]
        groups = re.findall(r"^options of (\w+)=: (.+)$", text, re.MULTILINE)
        return [name for name in found if name != "key"] + options(groups)
    listing, config = text.split("== Config ==")
    composed = yaml.safe_load(config.split("Powered by Hydra")[0].split("\n", 2)[2])
    groups = re.findall(r"^([\w/]+): (.+)$", listing, re.MULTILINE)
    # Hydra lists the groups of all commands; those of this one became a part of its configuration.
    own = [(group, names) for group, names in groups if isinstance(composed.get(group), dict)]
    return options(own) + list(dotted(composed))


def options(groups: list[tuple[str, str]]) -> list[str]:
    """Each option of each group as `group=option`."""
    return [f"{group}={name}" for group, names in groups for name in names.split(", ")]


def dotted(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of the leaves of a nested mapping."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def commands(root: Path) -> dict[str, list[str]]:
    """Commands of a checkout, each with its flags and settings."""
    script = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["basalt"]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--commands-of", script.split(":")[0]],
        cwd=root,
        env=os.environ
        | {"PYTHONPATH": str(root), "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"cannot list the commands of {root}: {done.stderr[-2000:]}")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def crawl(module: str) -> dict[str, list[str]]:
    """Commands of the checkout on the import path, in this process."""
    import importlib

    run = importlib.import_module(module).run
    found: dict[str, list[str]] = {}

    def visit(path: list[str]) -> None:
        text = help_text(run, path)
        flags = {m[1] for line in text.splitlines() if (m := FLAG.match(line))} - {"--help"}
        names = settings(text) if path else []
        for group in VARIANTS.get(" ".join(path), ()):
            for name in [one for one in names if one.startswith(f"{group}=")]:
                names += settings(help_text(run, [*path, name]))
        found[" ".join(["basalt", *path])] = sorted(flags | set(names))
        if len(path) < 3 and "== Config ==" not in text:
            for name in listed(text):
                if path != ["bench"] or name != "bench":
                    visit([*path, name])

    visit([])
    return found


def trees(root: Path) -> Iterator[ast.Module]:
    """Syntax trees of the installed modules of a checkout."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "bench" not in path.as_posix():
                yield ast.parse(path.read_text())


def constant(node: ast.AST) -> str | None:
    """A string in the source, with {} for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return None


def fields(node: ast.ClassDef) -> list[str]:
    """Annotated attributes of a class."""
    return [
        part.target.id
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]


def base_names(node: ast.ClassDef) -> set[str]:
    """Names of the classes that a class inherits from directly."""
    return {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases}


def model_names(parsed: list[ast.Module]) -> set[str]:
    """Names of the pydantic models: what is written to files or sent is one of them."""
    bases = {
        node.name: base_names(node)
        for tree in parsed
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    models = {"BaseModel"}
    while more := {name for name, above in bases.items() if above & models} - models:
        models |= more
    return models


def source_facts(root: Path) -> dict[str, list[str]]:
    """Pages, addresses, tables, record fields and file names, from the source."""
    pages, addresses, tables, records, plain, files = (set[str]() for _ in range(6))
    parsed = list(trees(root))
    models = model_names(parsed)
    for tree in parsed:
        for node in ast.walk(tree):
            text = constant(node)
            if text and FILE_NAME.match(text):
                files.add(text)
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PAGES":
                pages |= {ast.literal_eval(page)[1] for page in getattr(node.value, "elts", [])}
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TITLE":
                pages.add(str(constant(node.value)))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                "get", "post", "put", "delete",
            ) and node.args and (text := constant(node.args[0])) and re.match(r"^/\w", text):  # fmt: skip
                addresses.add(f"{getattr(node.func, 'attr', '').upper()} {text}")
            if isinstance(node, ast.ClassDef):
                named = next(
                    (
                        constant(part.value)
                        for part in node.body
                        if isinstance(part, ast.Assign)
                        and getattr(part.targets[0], "id", "") == "__tablename__"
                    ),
                    None,
                )
                if named:
                    tables |= {f"{named}.{field}" for field in fields(node)}
                elif base_names(node) & models:
                    records |= set(fields(node))
                else:
                    plain |= set(fields(node))
    return {
        "pages": sorted(pages),
        "addresses": sorted(addresses),
        "tables": sorted(tables),
        "record fields": sorted(records),
        "plain fields": sorted(plain),
        "file names": sorted(files),
    }


def inventory(root: Path) -> dict[str, Any]:
    """Everything that a checkout offers its users."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return {
        "commands": commands(root),
        **source_facts(root),
        "extras": sorted(project["optional-dependencies"]),
        "documentation": sorted(str(p.relative_to(root)) for p in (root / "docs").glob("*.md")),
    }


def main() -> None:
    """Print the inventory of a checkout as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--commands-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.commands_of:
        sys.path[0] = str(Path.cwd())
        print(json.dumps(crawl(options.commands_of)))
    else:
        print(json.dumps(inventory(options.root.resolve()), indent=1))


if __name__ == "__main__":
    main()
