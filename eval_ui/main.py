"""Streamlit's script: the frame around the pages.

They lie in ``views/``: a folder named ``pages/`` beside this script would be served by Streamlit's older
rules, without this frame, to whoever opens a page by its address first.
"""

from pathlib import Path

import streamlit as st

from eval_ui.style import STYLE

# A file of ours: Streamlit would fetch its named icons from another site.
ICON = Path(__file__).resolve().with_name("icon.png")
VIEWS = Path(__file__).resolve().with_name("views")

# File in views/, title and icon. Each page decides itself, on the server, what it shows to whom.
PAGES = (
    ("judge", "Judge", ":material/compare:"),
    ("leaderboard", "Leaderboard", ":material/leaderboard:"),
    ("episodes", "Episodes", ":material/movie:"),
    ("probes", "Probes", ":material/biotech:"),
    ("study", "Study", ":material/tune:"),
)

st.set_page_config(page_title="BASALT", page_icon=ICON, layout="wide")
st.html(STYLE)
st.navigation(
    [
        st.Page(f"views/{name}.py", title=title, icon=icon, default=name == "judge")
        for name, title, icon in PAGES
        if (VIEWS / f"{name}.py").is_file()
    ],
    position="top",
).run()
