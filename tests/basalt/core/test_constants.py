"""Facts that many modules use are defined once."""

import ast
from collections import Counter
from pathlib import Path

import basalt

ROOT = Path(basalt.__file__).resolve().parents[1]
FACTS = {
    "DEGREES_PER_PIXEL", "FRAME_SIZE", "N_BUTTONS", "N_CAMERA", "N_CAMERA_BINS", "STEPS_PER_SECOND",
}  # fmt: skip
VALUES = {(640, 360), 8641}  # degrees per pixel, 0.15, are too common a number


def defined(tree: ast.Module) -> list[object]:
    """The names of `FACTS` that a module assigns, and the `VALUES` that it assigns to any name."""
    found: list[object] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found += [node.targets[0].id] if node.targets[0].id in FACTS else []
            try:
                value = ast.literal_eval(node.value)
                found += [value] if value in VALUES and node.targets[0].id not in FACTS else []
            except (ValueError, TypeError):
                pass
    return found


def test_each_fact_has_one_home() -> None:
    counts: Counter[object] = Counter()
    for package in ("basalt", "agents", "leaderboard", "eval_ui"):
        for file in (ROOT / package).rglob("*.py"):
            counts.update(defined(ast.parse(file.read_text(encoding="utf-8"))))
    assert counts == Counter(FACTS)


def test_a_second_definition_is_found() -> None:
    assert defined(ast.parse("PICTURE = 640, 360")) == [(640, 360)]
    assert defined(ast.parse("N_CAMERA = 121")) == ["N_CAMERA"]
