"""Streamlit's script: the frame around the pages.

They lie in ``views/``: a folder named ``pages/`` beside this script would be served by Streamlit's older
rules, without this frame, to whoever opens a page by its address first.
"""

from pathlib import Path

import streamlit as st

from eval_ui.style import STYLE

# A file of ours: Streamlit would fetch its named icons from another site.
ICON = Path(__file__).resolve().with_name("icon.png")

st.set_page_config(page_title="BASALT", page_icon=ICON, layout="wide")
st.html(STYLE)
st.navigation(
    [
        st.Page("views/judge.py", title="Judge", icon=":material/compare:", default=True),
        st.Page("views/leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    ],
    position="top",
).run()
