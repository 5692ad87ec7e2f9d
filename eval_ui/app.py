"""The server of the app: Streamlit's pages, and beside them the API, the videos and the login.

Videos are sent by the API with range requests, so a browser can seek; Streamlit's own media store would
hold whole files in memory. Everything is of one origin: cookies stay here, and one address is enough.
"""

import gc
from pathlib import Path

from starlette.middleware import Middleware
from starlette.routing import Mount
from streamlit.starlette import App

# With what the pages use: the first rater need not wait until it is read.
from eval_ui import charts, downloads, watch  # noqa: F401
from eval_ui.judging import pair_judging  # noqa: F401
from eval_ui.login import routes as login
from eval_ui.session import RaterCookie
from eval_ui.store_access import the_store
from eval_ui.study_admin import sections  # noqa: F401
from leaderboard.http.api import create_app

SERVED = [Mount("/api", create_app(the_store)), *login.ROUTES, *downloads.ROUTES]
"""What is served beside Streamlit's own addresses."""

app = App(
    Path(__file__).resolve().with_name("main.py"),
    routes=SERVED,
    middleware=[Middleware(RaterCookie)],
)

# Streamlit collects garbage after every run of a script, and would look through all modules each time:
# that was two thirds of the work. What is loaded now stays anyway.
gc.collect()
gc.freeze()
