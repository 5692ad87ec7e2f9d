"""Streamlit's entry script: the navigation above the pages.

Each file of `views/` is a page and says its own TITLE, ORDER and AUDIENCE (`eval_ui.page_rights`). The folder is
not called `pages/`: Streamlit would serve that by its older rules, without this frame.
"""

import ast
from pathlib import Path
from typing import Any

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.page_rights import listed_audiences, may_open, refuse

# Our own file: Streamlit would fetch its named icons from another site.
ICON = Path(__file__).resolve().with_name("icon.png")
VIEWS = Path(__file__).resolve().with_name("views")


def page_facts(path: Path) -> dict[str, Any]:
    """The constants at the top of a page's file; running it would draw the page."""
    facts = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                facts[name] = value
    return facts


@st.cache_resource(show_spinner=False)  # this script runs again at every click
def pages(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The pages of a folder in their order."""
    found = ((path, page_facts(path)) for path in folder.glob("[!_]*.py"))
    return sorted(found, key=lambda page: page[1]["ORDER"])


def run() -> None:
    """Draw the navigation and the page that is open, if this browser may open it."""
    listed = listed_audiences()
    shown = {
        st.Page(
            f"views/{path.name}",
            title=facts["TITLE"],
            default=number == 0,
            visibility="visible" if listed is None or facts.get("AUDIENCE") in listed else "hidden",
        ): facts
        for number, (path, facts) in enumerate(pages(VIEWS))
    }
    page = st.navigation(list(shown), position="top")
    facts = shown[page]
    if may_open(facts.get("AUDIENCE")):
        page.run()
    else:
        refuse(facts.get("AUDIENCE"), facts["TITLE"])


st.set_page_config(page_title="BASALT", page_icon=ICON, layout="wide")
try:
    run()
except BasaltError as err:
    st.info(str(err))
