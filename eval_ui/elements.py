"""Small elements that several pages use. Names were written by strangers: in HTML every text is escaped."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from basalt.io.errors import BasaltError
from basalt.io.spreadsheet import inert_table


def percent(share: float) -> str:
    """A share as a percentage, as it is written all over the app."""
    return f"{share:.0%}"


def show_text(text: str) -> None:
    """Show an admin's Markdown without its pictures: browsers would load them from other sites.

    Args:
        text: Markdown; a picture in it is shown as it was typed.
    """
    st.markdown(text.replace("![", "!\\["))


def facts_html(facts: dict[str, str], *, small: bool = False) -> str:
    """A few facts side by side, each under its name."""
    items = "".join(
        f'<div><span class="what">{escape(name)}</span><span class="value">{escape(value)}</span></div>'
        for name, value in facts.items()
    )
    return f'<div class="facts{" small" if small else ""}">{items}</div>'


def show_table(columns: Mapping[str, Any] | pd.DataFrame, **options: Any) -> None:
    """Show a table as wide as the page.

    Streamlit offers each table as a CSV file, so its texts are made `inert` for spreadsheets.

    Args:
        columns: Values by title of the column, or a table.
        options: Further arguments of `st.dataframe`; with `on_select`, `key` names the selection in the session's state.
    """
    table = inert_table(pd.DataFrame(columns))
    st.dataframe(table, hide_index=True, width="stretch", **options)


def attempt(
    action: Callable[..., object],
    *args: Any,
    words: Callable[[BasaltError], str] = str,
    **options: Any,
) -> None:
    """Do what a button says and draw the page again, or show why it was refused.

    Args:
        action: Function to call.
        args: Its arguments.
        words: What to say of a refusal; its own message where the page is not for raters.
        options: Its arguments by name.
    """
    try:
        action(*args, **options)
    except BasaltError as err:
        st.error(words(err))
    else:
        st.rerun()
