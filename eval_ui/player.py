"""Two videos side by side that play in step, as a Streamlit component."""

from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).resolve().parent

_component = st.components.v2.component(
    "basalt_pair_player",
    html=(_FOLDER / "player.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "player.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "player.js").read_text(encoding="utf-8"),
)


_KEY = "player"


def pair_player(pair: str, left: str, right: str) -> None:
    """Show the player.

    Args:
        pair: opaque id of the pair; another one loads other videos.
        left, right: addresses of the videos.
    """
    # One element for all pairs: the page does not jump when the next one comes.
    _component(
        key=_KEY,
        data={"pair": pair, "left": left, "right": right},
        on_watched_change=lambda: None,
    )


def player_events(pair: str) -> list[dict[str, Any]]:
    """What was done so far with a pair's videos, as the browser reports it.

    Returns:
        Events with ``type`` (``play``, ``pause``, ``ended``, ``quarter-1`` to ``quarter-4``), ``at`` in
        seconds of the video, ``clock`` in milliseconds since 1970; none for another pair.
    """
    state = st.session_state.get(_KEY)
    watched = state.get("watched") if state is not None else None
    if not isinstance(watched, dict) or watched.get("pair") != pair:
        return []
    events = watched.get("events")
    return (
        [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    )
