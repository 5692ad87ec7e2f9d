"""Browser elements of the app: HTML, CSS and JavaScript files, most of them around one video player."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from eval_ui.texts import catalogues

_FOLDER = Path(__file__).resolve().parent

PLAYER_SLOT = "<!-- player -->"
"""Marks the place of the player in an element's HTML."""


def component(
    name: str, *, frame: str, styles: Sequence[str], scripts: Sequence[str], player: bool = True
) -> Callable[..., Any]:
    """Register a Streamlit component.

    Args:
        name: Name, unique in the app.
        frame: HTML file that contains `PLAYER_SLOT`.
        styles: CSS files, added after the player's.
        scripts: JavaScript files, added after the player's; the last one exports the element.
        player: False for an element without the player.
    """
    if player:
        styles, scripts = ("player.css", *styles), ("texts.js", "player.js", *scripts)
    return st.components.v2.component(
        name,
        html=_text(frame).replace(PLAYER_SLOT, _text("player.html")),
        css="\n".join(_text(file) for file in styles),
        js=f"const CATALOGUES = {json.dumps(catalogues())};\n"
        + "\n".join(_text(file) for file in scripts),
    )


def _text(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
