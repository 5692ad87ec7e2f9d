"""Whether a command line, as a page shows it, would be accepted: its command, flags and settings exist."""

import contextlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

from basalt.cli.main import run
from tools.inventory import FLAG, help_text, listed

COMPOSED = "--cfg job"
"""What the help of a command that Hydra composes mentions: it prints the settings."""


@cache
def _help(command: tuple[str, ...]) -> str:
    return help_text(run, list(command))


def shown_in(page: Path) -> list[str]:
    """Lines of code blocks and of inline code in a Markdown page that begin with `basalt`."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"(?<!`)`(basalt [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    # `mine` is what pages call a part that comes from a package of the reader.
    return [line for line in lines if re.match(r"basalt [a-z](?!.*\bmine\b)", line)]


def _first(word: str) -> str:
    """A setting of a sweep with the first of its values."""
    key, _, values = word.partition("=")
    if values.startswith("range("):
        return f"{key}=0"
    return re.sub(r"^(\[[^\]]*\]|[^,\[]*),.*", rf"{key}=\1", values) if "," in values else word


def fault(line: str) -> str | None:
    """What is wrong with a command line; None if nothing is."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word not in ("...", "--help")]
    if not _help((words[0],)):  # hidden commands have a help, too
        return f"{line}: unknown command {words[0]!r}"
    path: tuple[str, ...] = (words[0],)
    text = _help(path)
    while len(path) < len(words) and COMPOSED not in text and (subcommands := listed(text)):
        path = tuple(words[: len(path) + 1])
        if path[-1] not in subcommands:
            return f"{line}: unknown command {' '.join(path)!r}"
        text = _help(path)
    if COMPOSED in text:
        out = io.StringIO()
        if sweep := {"-m", "--multirun"} & set(words):
            words = [_first(word) for word in words if word not in sweep and "launcher" not in word]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = run([*path, *words[len(path) :], "--cfg", "job"])
        return None if status == 0 else f"{line}: {out.getvalue().strip()}"
    flags = {match[1] for row in text.splitlines() if (match := FLAG.match(row))}
    for word in words[len(path) :]:
        if word.startswith("--") and word.split("=")[0] not in flags:
            return f"{line}: unknown flag {word}"
        if (match := re.match(r"([a-z_]+)=", word)) and not re.search(rf"\b{match[1]}=", text):
            return f"{line}: unknown setting {match[1]}"
    return None
