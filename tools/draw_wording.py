"""Draw texts of the repository to read them afresh: fifty docstrings and fifty messages, with their places.

`python tools/draw_wording.py --seed 1` draws others than `--seed 2`. What sounds odd at first reading is
to be rewritten. `tests/test_wording.py` uses the same texts: messages, docstrings, comments and
documentation of all files that git tracks.
"""

import argparse
import ast
import io
import random
import re
import subprocess
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("basalt/", "agents/", "leaderboard/", "eval_ui/", "benchmarks/", "tools/")
PROSE = {".md", ".cff"}
COMMENTED = {".lua", ".c", ".js", ".css", ".html", ".yaml", ".yml", ".toml", ".mako", ".jinja"}


class Text(NamedTuple):
    """One text and its place."""

    file: str
    line: int
    kind: str
    """"docstring", "message", "comment" or "prose"."""
    text: str


def python_texts(source: str, file: str) -> Iterator[Text]:
    """Docstrings, messages (strings of several words) and comments of a Python file."""
    tree = ast.parse(source)
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                inner.add(id(node.value))
                yield Text(file, node.lineno, "docstring", node.value.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.search(r"\w\s+\w", node.value):
                yield Text(file, node.lineno, "message", node.value)
        elif isinstance(node, ast.JoinedStr):
            words = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
            if re.search(r"\w\s+\w", words):
                yield Text(file, node.lineno, "message", words)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(file, token.start[0], "comment", token.string.lstrip("# "))


def texts(root: Path = ROOT) -> Iterator[Text]:
    """All texts of the files that git tracks."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        path = root / name
        if path.suffix not in {".py"} | PROSE | COMMENTED and path.name != "Makefile":
            continue
        if not path.is_file():
            continue
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            yield from python_texts(source, name)
        else:
            kind = "prose" if path.suffix in PROSE else "comment"
            for number, line in enumerate(source.splitlines(), 1):
                yield Text(name, number, kind, line)


def draw(seed: int, count: int = 50) -> dict[str, list[Text]]:
    """A random sample of docstrings and messages of the packages, the same for the same seed."""
    rng = random.Random(seed)
    own = [text for text in texts() if text.file.startswith(PACKAGES)]
    return {
        kind: rng.sample([text for text in own if text.kind == kind], count)
        for kind in ("docstring", "message")
    }


def main() -> None:
    """Print a sample."""
    parser = argparse.ArgumentParser(description="Draw texts to read them afresh.")
    parser.add_argument("--seed", type=int, default=0, help="which sample to draw (default: 0)")
    for kind, drawn in draw(parser.parse_args().seed).items():
        print(f"# {len(drawn)} {kind}s")
        for text in drawn:
            print(f"\n{text.file}:{text.line}\n{textwrap.indent(text.text.strip(), '    ')}")
        print()


if __name__ == "__main__":
    main()
