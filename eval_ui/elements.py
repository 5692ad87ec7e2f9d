"""Small elements that several pages use. Names were written by strangers: in HTML every text is escaped."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from basalt.io.errors import BasaltError


def percent(share: float) -> str:
    """A share as a percentage, as it is written all over the app."""
    return f"{share:.0%}"


def facts_html(facts: dict[str, str], *, small: bool = False) -> str:
    """A few facts side by side, each under its name."""
    items = "".join(
        f'<div><span class="what">{escape(name)}</span><span class="value">{escape(value)}</span></div>'
        for name, value in facts.items()
    )
    return f'<div class="facts{" small" if small else ""}">{items}</div>'


def show_table(columns: Mapping[str, Any], **options: Any) -> None:
    """Show a table as wide as the page.

    Args:
        columns: Values by title of the column.
        options: Further arguments of `st.dataframe`.
    """
    st.dataframe(pd.DataFrame(columns), hide_index=True, width="stretch", **options)


def attempt(action: Callable[..., object], *args: Any, **options: Any) -> None:
    """Do what a button says and draw the page again, or show why it was refused.

    Args:
        action: Function to call.
        args: Its arguments.
        options: Its arguments by name.
    """
    try:
        action(*args, **options)
    except BasaltError as err:
        st.error(str(err))
    else:
        st.rerun()
