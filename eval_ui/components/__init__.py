"""The app's own browser elements: HTML, CSS and JavaScript beside this file, built on one player."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).resolve().parent

PLAYER_HERE = "<!-- player -->"
"""Where an element's HTML wants the player."""


def component(
    name: str, *, frame: str, styles: Sequence[str], scripts: Sequence[str], player: bool = True
) -> Callable[..., Any]:
    """A Streamlit component, as a rule around the player.

    Args:
        name: unique in the app.
        frame: HTML file with :data:`PLAYER_HERE` in it.
        styles: CSS files, after the player's.
        scripts: JavaScript files, after the player's; the last one exports the element.
        player: False for an element without it.
    """
    if player:
        styles, scripts = ("player.css", *styles), ("player.js", *scripts)
    return st.components.v2.component(
        name,
        html=_text(frame).replace(PLAYER_HERE, _text("player.html")),
        css="\n".join(_text(file) for file in styles),
        js="\n".join(_text(file) for file in scripts),
    )


def _text(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
