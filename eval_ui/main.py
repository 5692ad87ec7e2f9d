"""Streamlit's script: the frame around the pages."""

from pathlib import Path

import streamlit as st

from eval_ui.style import STYLE

# A file of ours: Streamlit would fetch its named icons from another site.
ICON = Path(__file__).resolve().with_name("icon.png")

st.set_page_config(page_title="BASALT", page_icon=ICON, layout="wide")
st.html(STYLE)
st.navigation(
    [
        st.Page("pages/judge.py", title="Judge", icon=":material/compare:", default=True),
        st.Page("pages/leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    ],
    position="top",
).run()
