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


def player_key(pair: str) -> str:
    """Under which Streamlit keeps the player's state."""
    return f"player-{pair}"


def pair_player(pair: str, left: str, right: str) -> list[dict[str, Any]]:
    """Show the player.

    Args:
        pair: opaque id of the pair; another one loads other videos.
        left, right: addresses of the videos.

    Returns:
        What was done with it so far: ``type`` (``play``, ``pause``, ``ended``, ``quarter-1`` to
        ``quarter-4``), ``at`` in seconds of the video, ``clock`` in milliseconds since 1970.
    """
    result = _component(
        key=player_key(pair),
        data={"pair": pair, "left": left, "right": right},
        on_events_change=lambda: None,
    )
    return reported_events(result)


def reported_events(state: Any) -> list[dict[str, Any]]:
    """The events in the player's state, as the browser sent them; nothing where they are malformed."""
    events = state.get("events") if hasattr(state, "get") else None
    if not isinstance(events, list):
        return []
    return [event for event in events if isinstance(event, dict)]
